package sensor

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	acts["network"] = func(a []string) error { return networkCalls(a[0], a[1]) }
	acts["connect"] = func(a []string) error { return connectLoop(a[0], a[1]) }
}

// networker makes calls on sockets at random, in a network of its own.
type networker struct {
	socketPool
	listeners []int
}

// socketPool has the last sockets that were made, of which calls choose at random.
type socketPool struct {
	*rand.Rand
	sockets []int
}

// keep has later calls use a socket.
func (p *socketPool) keep(fd int) {
	if p.sockets = append(p.sockets, fd); len(p.sockets) > 12 {
		unix.Close(p.sockets[0])
		p.sockets = p.sockets[1:]
	}
}

// some is one of the sockets, or no socket.
func (p *socketPool) some() int {
	if len(p.sockets) == 0 || p.IntN(20) == 0 {
		return p.IntN(3) - 1
	}
	return p.sockets[p.IntN(len(p.sockets))]
}

// ownAddress is one in newNetwork that is not known for loopback.
const ownAddress = "10.1.0.1"

// newNetwork gives the thread a network that has loopback alone.
func newNetwork() error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make a network namespace: %w", err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	loopback, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	loopback.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, loopback); err != nil {
		return err
	}
	second, err := unix.NewIfreq("lo:1")
	if err != nil {
		return err
	}
	own := netip.MustParseAddr(ownAddress).As4()
	if err := second.SetInet4Addr(own[:]); err != nil {
		return err
	}
	return unix.IoctlIfreq(fd, unix.SIOCSIFADDR, second)
}

// drawn is where n calls come from.
func drawn(seed, n string) (r *rand.Rand, count int, err error) {
	s, err := strconv.ParseUint(seed, 10, 64)
	if err != nil {
		return nil, 0, err
	}
	count, err = strconv.Atoi(n)
	return rand.New(rand.NewPCG(s, 1)), count, err
}

// networkCalls makes n calls that are drawn by a seed.
func networkCalls(seed, n string) error {
	r, count, err := drawn(seed, n)
	if err != nil {
		return err
	}
	if err := newNetwork(); err != nil {
		return err
	}
	w := &networker{socketPool: socketPool{Rand: r}}
	for _, at := range []string{"0.0.0.0:22", ownAddress + ":2222", "[::]:80", "[::1]:53"} {
		w.listen(at)
	}
	for range count {
		networkActs[w.IntN(len(networkActs))](w)
	}
	return nil
}

// sockaddr is an address for a socket of a family: an IPv4 one mapped for IPv6.
func sockaddr(family int, at string) unix.Sockaddr {
	a := netip.MustParseAddrPort(at)
	if family == unix.AF_INET {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}

func familyOf(at string) int {
	if netip.MustParseAddrPort(at).Addr().Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func (w *networker) listen(at string) {
	fd, err := unix.Socket(familyOf(at), unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err == nil && unix.Bind(fd, sockaddr(familyOf(at), at)) == nil && unix.Listen(fd, 100) == nil {
		w.listeners = append(w.listeners, fd)
	}
}

func (w *networker) pick(list ...string) string { return list[w.IntN(len(list))] }

// peer is an address, and a family of sockets that can reach it.
func (w *networker) peer() (family int, at string) {
	at = w.pick("127.0.0.1", "127.0.0.1", "127.0.0.2", ownAddress, "[::1]") + ":" + w.pick("22", "2222", "80", "53", "1", "0")
	if family = familyOf(at); w.IntN(3) == 0 {
		family = unix.AF_INET6
	}
	return family, at
}

// networkActs are the calls that are made; many of them fail.
var networkActs = []func(w *networker){
	func(w *networker) { w.dial(unix.SOCK_STREAM) },
	func(w *networker) { w.dial(unix.SOCK_STREAM) },
	func(w *networker) { w.dial(unix.SOCK_DGRAM) },
	func(w *networker) { w.accept() },
	func(w *networker) { w.accept() },
	func(w *networker) { w.datagram() },
	func(w *networker) {
		if fd, err := unix.Socket([]int{unix.AF_INET, unix.AF_INET6}[w.IntN(2)], unix.SOCK_RAW, unix.IPPROTO_UDP); err == nil {
			w.keep(fd)
		}
	},
	func(w *networker) {
		if pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM+w.IntN(2), 0); err == nil {
			w.keep(pair[0])
			w.keep(pair[1])
		}
	},
	func(w *networker) {
		if fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0); err == nil {
			unix.Bind(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("@network-%d", w.IntN(3))})
			unix.Listen(fd, 5)
			unix.Connect(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("@network-%d", w.IntN(3))})
			w.keep(fd)
		}
	},
	func(w *networker) { unix.Sendto(w.some(), []byte("x"), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, nil) },
	func(w *networker) { w.sendTo() },
	func(w *networker) { w.sendTo() },
	func(w *networker) { w.receive() },
	func(w *networker) { w.receive() },
	func(w *networker) { unix.Shutdown(w.some(), w.IntN(4)) },
	func(w *networker) { unix.SetsockoptInt(w.some(), unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1) },
	func(w *networker) { unix.GetsockoptInt(w.some(), unix.SOL_SOCKET, unix.SO_ERROR) },
	func(w *networker) { unix.Listen(w.some(), 1) },
	func(w *networker) {
		family, at := w.peer()
		unix.Connect(w.some(), sockaddr(family, at))
	},
	func(w *networker) { // disconnects datagram sockets
		unspecified := make([]byte, unix.SizeofSockaddrInet4)
		connectRaw(w.some(), unspecified)
	},
}

// dial connects, perhaps from an address that it chooses.
func (w *networker) dial(kind int) {
	family, at := w.peer()
	fd, err := unix.Socket(family, kind|w.IntN(2)*unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return
	}
	// A listener whose queue is full does not answer.
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Usec: 50_000})
	if w.IntN(4) == 0 {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		from := w.pick("127.0.0.1", ownAddress, "127.0.0.2") + ":" + w.pick("0", "1022", "5000")
		unix.Bind(fd, sockaddr(family, from))
	}
	unix.Connect(fd, sockaddr(family, at))
	w.keep(fd)
}

func (w *networker) accept() {
	if len(w.listeners) == 0 {
		return
	}
	if fd, _, err := unix.Accept4(w.listeners[w.IntN(len(w.listeners))], unix.SOCK_NONBLOCK); err == nil {
		w.keep(fd)
	}
}

// datagram makes a socket for datagrams, bound or not.
func (w *networker) datagram() {
	family := []int{unix.AF_INET, unix.AF_INET6}[w.IntN(2)]
	fd, err := unix.Socket(family, unix.SOCK_DGRAM, 0)
	if err != nil {
		return
	}
	if w.IntN(3) > 0 {
		hosts := []string{"127.0.0.1", "0.0.0.0", "127.0.0.2"}
		if family == unix.AF_INET6 {
			hosts = append(hosts, "[::]", "[::]", "[::1]")
		}
		unix.Bind(fd, sockaddr(family, w.pick(hosts...)+":"+w.pick("53", "2222", "0")))
	}
	w.keep(fd)
}

func (w *networker) sendTo() {
	family, at := w.peer()
	to := sockaddr(family, at)
	if w.IntN(2) == 0 {
		unix.Sendto(w.some(), []byte("x"), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, to)
		return
	}
	unix.Sendmsg(w.some(), []byte("x"), nil, to, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
}

func (w *networker) receive() {
	if w.IntN(2) == 0 {
		unix.Recvfrom(w.some(), make([]byte, 8), unix.MSG_DONTWAIT)
		return
	}
	unix.Recvmsg(w.some(), make([]byte, 8), nil, unix.MSG_DONTWAIT)
}

// connectLoop connects to itself n times, and accepts.
func connectLoop(at, n string) error {
	count, err := strconv.Atoi(n)
	if err != nil {
		return err
	}
	if err := newNetwork(); err != nil {
		return err
	}
	server, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	to := sockaddr(unix.AF_INET, at)
	if err := unix.Bind(server, to); err != nil {
		return err
	}
	if err := unix.Listen(server, 5); err != nil {
		return err
	}
	for range count {
		client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		if err := unix.Connect(client, to); err != nil {
			return err
		}
		fd, _, err := unix.Accept4(server, 0)
		if err != nil {
			return err
		}
		linger := unix.Linger{Onoff: 1} // leaves no port behind
		if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &linger); err != nil {
			return err
		}
		unix.Close(fd)
		unix.Close(client)
	}
	return nil
}

func connectRaw(fd int, to []byte) {
	binary.NativeEndian.PutUint16(to, unix.AF_UNSPEC)
	connectTo(fd, to)
}

func connectTo(fd int, to []byte) {
	unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(to))), uintptr(len(to)))
}
