package capture

import (
	"net/netip"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// fd is the file that an open descriptor refers to.
type fd struct {
	info    event.FileInfo
	cloexec bool
	// name is the path of anything that has one. addrs are the local and
	// the remote address of an IP socket, as FileInfo has them.
	name  string
	addrs [32]byte
	// local and remote are the paths of a unix socket.
	local, remote string
}

// fdTable holds the descriptors of a process. Low numbers, which nearly all
// are, have their place in a slice.
type fdTable struct {
	low  []fd
	high map[int64]fd
	// budget is the room that all tables have left together: a file may claim
	// any number of processes with any number of descriptors.
	budget *int
}

const (
	lowFDs = 1024
	maxFDs = 1 << 20 // of all processes
)

// get returns the descriptor with number n; nil if it is not known. The result
// is valid until the table changes.
func (t *fdTable) get(n int64) *fd {
	if n < 0 || n >= lowFDs {
		if f, ok := t.high[n]; ok {
			return &f
		}
		return nil
	}
	if n >= int64(len(t.low)) || t.low[n].info.Type == event.FDUnknown {
		return nil
	}
	return &t.low[n]
}

// set puts f at number n, if there is room.
func (t *fdTable) set(n int64, f *fd) {
	switch {
	case n < 0:
	case n < lowFDs:
		if t.grow(int(n) + 1) {
			t.low[n] = *f
		}
	default:
		if _, ok := t.high[n]; !ok {
			if *t.budget <= 0 {
				return
			}
			*t.budget--
		}
		if t.high == nil {
			t.high = make(map[int64]fd)
		}
		t.high[n] = *f
	}
}

// grow makes low at least n long; false if there is no room.
func (t *fdTable) grow(n int) bool {
	if n <= len(t.low) {
		return true
	}
	if n > cap(t.low) {
		c := max(min(2*cap(t.low), lowFDs), (n+31)&^31)
		if *t.budget -= c - cap(t.low); *t.budget < 0 {
			*t.budget += c - cap(t.low)
			return false
		}
		t.low = append(make([]fd, 0, c), t.low...)
	}
	t.low = t.low[:n]
	return true
}

func (t *fdTable) drop(n int64) {
	if n >= 0 && n < int64(len(t.low)) {
		t.low[n] = fd{}
	} else {
		t.dropHigh(n)
	}
}

func (t *fdTable) dropHigh(n int64) {
	if _, ok := t.high[n]; ok {
		delete(t.high, n)
		*t.budget++
	}
}

// dropRange drops the descriptors from first to last.
func (t *fdTable) dropRange(first, last int64) {
	for n := max(first, 0); n <= last && n < int64(len(t.low)); n++ {
		t.low[n] = fd{}
	}
	for n := range t.high {
		if n >= first && n <= last {
			t.dropHigh(n)
		}
	}
}

// exec drops the descriptors that are closed on exec.
func (t *fdTable) exec() {
	for n := range t.low {
		if t.low[n].cloexec {
			t.low[n] = fd{}
		}
	}
	for n, f := range t.high {
		if f.cloexec {
			t.dropHigh(n)
		}
	}
}

// copyFrom fills the empty t with the descriptors of q.
func (t *fdTable) copyFrom(q *fdTable) {
	if t.grow(len(q.low)) {
		copy(t.low, q.low)
	}
	for n, f := range q.high {
		t.set(n, &f)
	}
}

// reset empties t for another process.
func (t *fdTable) reset() {
	clear(t.low)
	t.low = t.low[:0]
	*t.budget += len(t.high)
	clear(t.high)
}

// free gives up the room of t.
func (t *fdTable) free() {
	t.reset()
	*t.budget += cap(t.low)
	t.low = nil
}

// setAddrs sets both ends of an IP socket. IPv4 addresses in IPv6 form are
// IPv4, as in the probe.
func (f *fd) setAddrs(local, remote netip.AddrPort) {
	l, r := unmap(local.Addr(), remote.Addr())
	f.info.Type, f.info.Family = event.FDIPv4, afInet
	if (l.IsValid() && !l.Is4()) || (r.IsValid() && !r.Is4()) {
		f.info.Type, f.info.Family = event.FDIPv6, afInet6
	}
	f.info.SPort, f.info.DPort = local.Port(), remote.Port()
	f.addrs = [32]byte{}
	n := f.addrLen()
	put := func(at int, a netip.Addr) {
		switch {
		case !a.IsValid():
		case n == 4:
			b := a.As4()
			copy(f.addrs[at:], b[:])
		default:
			b := a.As16()
			copy(f.addrs[at:], b[:])
		}
	}
	put(0, l)
	put(n, r)
}

func (f *fd) addrLen() int {
	if f.info.Type == event.FDIPv6 {
		return 16
	}
	return 4
}

// ends are both ends of an IP socket; the zero AddrPort for one that has none.
func (f *fd) ends() (local, remote netip.AddrPort) {
	if !f.isIP() {
		return
	}
	n := f.addrLen()
	l, _ := netip.AddrFromSlice(f.addrs[:n])
	r, _ := netip.AddrFromSlice(f.addrs[n : 2*n])
	return netip.AddrPortFrom(l, f.info.SPort), netip.AddrPortFrom(r, f.info.DPort)
}

func (f *fd) isIP() bool { return f.info.Type == event.FDIPv4 || f.info.Type == event.FDIPv6 }

// data appends the variable part of an encoded FileInfo.
func (f *fd) data(dst []byte, withName bool) []byte {
	switch {
	case f.isIP():
		return append(dst, f.addrs[:2*f.addrLen()]...)
	case f.info.Type == event.FDUnix:
		return append(append(append(dst, f.local...), 0), f.remote...)
	case withName:
		return append(dst, f.name...)
	}
	return dst
}

// paths keeps one copy of each name, so that a file that is opened again costs
// no memory. It forgets by generations.
type paths struct {
	young, old map[string]string
	size       int
	fresh      int // bytes of strings made since the world's were counted
}

const (
	pathBytes = 4 << 20
	maxPath   = 4096 // the kernel's PATH_MAX
)

func (p *paths) get(b []byte) string {
	b = b[:min(len(b), maxPath)]
	if len(b) == 0 {
		return ""
	}
	if s, ok := p.young[string(b)]; ok {
		return s
	}
	s, ok := p.old[string(b)]
	if !ok {
		s = string(b)
		p.fresh += len(s)
	}
	if p.size += len(s) + 48; p.size > pathBytes || p.young == nil {
		p.old, p.young, p.size = p.young, make(map[string]string), len(s)+48
	}
	p.young[s] = s
	return s
}

// FDTypes calls yield for every open descriptor of the process pid, as of the
// event that Next returned last. It is false if the capture does not have that
// process.
func (r *Reader) FDTypes(pid int32, yield func(n int64, t event.FDType)) bool {
	t := r.world.threads[pid]
	if t == nil {
		return false
	}
	fds := t.p.fds
	for n := range fds.low {
		if of := fds.low[n].info.Type; of != event.FDUnknown {
			yield(int64(n), of)
		}
	}
	for n, f := range fds.high {
		yield(n, f.info.Type)
	}
	return true
}
