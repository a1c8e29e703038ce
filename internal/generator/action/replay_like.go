package action

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/profile"
)

// Replayed calls take turns with their arguments, so that these are like those of
// the recording: paths, sockets, and the arguments of programs. This costs a call
// the few nanoseconds of a lookup.

// turns are the values that one argument takes, one after the other.
type turns struct {
	arg    int
	values []uintptr
}

// inTurn gives the argument that is being prepared several values. Arguments of
// one call go on together.
func (p *prep) inTurn(values []uintptr) uintptr {
	if len(values) > 1 {
		p.turning = values
	}
	return values[0]
}

// words prepares the arguments of a call.
func (p *prep) words(words []word) (args [6]uintptr, all []turns, err error) {
	for i, w := range words {
		p.turning = nil
		if args[i], err = w(p); err != nil {
			return args, nil, err
		}
		if p.turning != nil {
			all = append(all, turns{i, p.turning})
		}
	}
	return args, all, nil
}

// turn puts values of place n into the arguments.
func turn(args *[6]uintptr, all []turns, n int) {
	for i := range all {
		args[all[i].arg] = all[i].values[n%len(all[i].values)]
	}
}

// variants is how many values an argument has: enough for the shares of
// different kinds, and few enough to be made for each call of each worker.
const variants = 32

// mostPaths is how many different paths a call has: they are files of each worker,
// made before it starts.
const mostPaths = 128

// mostDepth keeps paths, whatever a profile says, shorter than the kernel takes:
// PATH_MAX, of which the directory at the top needs some.
const mostDepth = 1000

// quantile is the value below which a share of the samples lies, between those
// that are known.
func quantile(q *profile.Quantiles, at float64) float64 {
	between := func(from, to, low, high float64) float64 { return low + (high-low)*(at-from)/(to-from) }
	switch {
	case at <= 0.5:
		return between(0, 0.5, min(1, q.P50), q.P50)
	case at <= 0.99:
		return between(0.5, 0.99, q.P50, q.P99)
	}
	return between(0.99, 1, q.P99, q.Max)
}

// scattered is place i of n values that lie evenly from 0 to 1, in an order without
// a pattern.
func scattered(i int, by float64) float64 { _, f := math.Modf((float64(i) + 0.5) * by); return f }

const (
	golden = 0.6180339887498949
	silver = 0.4142135623730950
)

// named is a file by its absolute path, and by the one that a call gives.
type named struct{ path, given string }

// files are names in the scratch directory, as deep as the recorded paths and
// relative to the working directory as often.
func (p *prep) files(name string) (list []named, err error) {
	base, err := p.inScratch("")
	if err != nil {
		return nil, err
	}
	if p.Like == nil || p.Like.Paths == nil || p.Like.Paths.Depth == nil {
		path := filepath.Join(base, name)
		return []named{{path, path}}, nil
	}
	like := p.Like.Paths
	here, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	for i := range int(max(1, min(mostPaths, math.Round(like.Distinct*float64(like.Sampled))))) {
		relative := scattered(i, silver) < like.Relative
		depth := int(min(mostDepth, math.Round(quantile(like.Depth, scattered(i, golden)))))
		list = append(list, under(base, fmt.Sprint(name, i), here, relative, depth))
	}
	return list, nil
}

// under is a file below a directory, so far down that what a call gives is at
// least so deep.
func under(base, name, here string, relative bool, depth int) named {
	path := filepath.Join(base, name)
	from, err := filepath.Rel(here, path)
	relative = relative && err == nil
	have := strings.Count(path, "/")
	if relative {
		have = 1 + strings.Count(from, "/")
	}
	path = filepath.Join(base, strings.Repeat("d/", max(0, depth-have)), name)
	if relative {
		if from, err = filepath.Rel(here, path); err == nil {
			return named{path, from}
		}
	}
	return named{path, path}
}

// existing and missing are paths in the scratch directory.
func existing(p *prep) (uintptr, error) {
	list, err := p.files("data")
	for _, f := range list {
		if err == nil && !exists(f.path) {
			if err = p.dir(filepath.Dir(f.path)); err == nil {
				err = p.file(f.path, "harmless\n", 0o644)
			}
		}
	}
	return p.given(list, err)
}

func missing(p *prep) (uintptr, error) { return p.given(p.files("missing")) }

// given are the paths of files for an argument.
func (p *prep) given(list []named, err error) (uintptr, error) {
	if err != nil {
		return 0, err
	}
	var values []uintptr
	for _, f := range list {
		values = append(values, p.held(c(f.given)))
	}
	return p.inTurn(values), nil
}

// arguments are argument lists of programs, as long as the recorded ones.
func (p *prep) arguments(program string) [][]cpath {
	like := profile.Processes{}
	if p.Like != nil && p.Like.Processes != nil {
		like = *p.Like.Processes
	}
	if like.Arguments == nil || like.ArgumentBytes == nil {
		return [][]cpath{{c(program), nil}}
	}
	var lists [][]cpath
	for i := range variants {
		n := int(min(mostArguments, math.Round(quantile(like.Arguments, scattered(i, golden)))))
		left := int(min(mostBytes, math.Round(quantile(like.ArgumentBytes, scattered(i, golden))))) - len(program) - 1
		list := []cpath{c(program)}
		for ; n > 1; n-- {
			length := max(0, left/(n-1)-1) // without its NUL
			left -= length + 1
			list = append(list, c(strings.Repeat("x", length)))
		}
		lists = append(lists, append(list, nil))
	}
	return lists
}

// The longest argument list.
const (
	mostArguments = 1000
	mostBytes     = 32 << 10
)

// kinds are the recorded sockets of a call that can be made harmlessly, each as
// often as its share says.
func (p *prep) kinds(call string, can func(profile.Socket) bool) (list []profile.Socket) {
	if p.Like == nil {
		return nil
	}
	var all []profile.Socket
	sum := 0.0
	for _, s := range p.Like.Sockets {
		if s.Call == call && can(s) {
			all = append(all, s)
			sum += s.Share
		}
	}
	for i := range variants {
		at := scattered(i, golden) * sum
		for _, s := range all {
			if at -= s.Share; at < 0 {
				list = append(list, s)
				break
			}
		}
	}
	return list
}

var (
	likeFamilies  = map[string]int{"unix": unix.AF_UNIX, "ipv4": unix.AF_INET, "ipv6": unix.AF_INET6, "netlink": unix.AF_NETLINK}
	likeProtocols = map[string]int{"stream": unix.SOCK_STREAM, "dgram": unix.SOCK_DGRAM, "raw": unix.SOCK_RAW, "seqpacket": unix.SOCK_SEQPACKET}
)

// sockets are the families and types of sockets like those recorded. Those that
// this host has not, or that are no socket without a connection, are left out.
func (p *prep) sockets() (families, types []uintptr) {
	for _, s := range p.kinds("socket", func(s profile.Socket) bool {
		family, known := likeFamilies[s.Family]
		if s.Protocol == "raw" && family != unix.AF_NETLINK || !known {
			return false
		}
		fd, err := socket(family, likeProtocols[s.Protocol])
		return err == nil && closeFD(fd) == nil
	}) {
		families = append(families, uintptr(likeFamilies[s.Family]))
		types = append(types, uintptr(likeProtocols[s.Protocol]|unix.SOCK_CLOEXEC))
	}
	if families == nil {
		return []uintptr{unix.AF_INET}, []uintptr{unix.SOCK_DGRAM | unix.SOCK_CLOEXEC}
	}
	return families, types
}

func likeFamily(p *prep) (uintptr, error) {
	families, _ := p.sockets()
	return p.inTurn(families), nil
}

func likeType(p *prep) (uintptr, error) {
	_, types := p.sockets()
	return p.inTurn(types), nil
}

// end is a socket and what to connect it to, which sends nothing.
type end struct {
	fd      uintptr
	address unsafe.Pointer
	length  uintptr
}

// ends makes one for each family that this host has.
var ends = map[string]func(*prep) (end, error){
	"ipv4": func(p *prep) (end, error) {
		fd, err := p.opened(socket(unix.AF_INET, unix.SOCK_DGRAM))
		return end{fd, unsafe.Pointer(&replayAddress), unix.SizeofSockaddrInet4}, err
	},
	"ipv6": func(p *prep) (end, error) {
		fd, err := p.opened(socket(unix.AF_INET6, unix.SOCK_DGRAM))
		return end{fd, unsafe.Pointer(&replayAddress6), unix.SizeofSockaddrInet6}, err
	},
	"unix": func(p *prep) (end, error) {
		receiver, err := p.opened(socket(unix.AF_UNIX, unix.SOCK_DGRAM))
		if err != nil {
			return end{}, err
		}
		// An empty name: the kernel chooses one, of no file (unix(7), autobind).
		if err := unix.Bind(int(receiver), &unix.SockaddrUnix{}); err != nil {
			return end{}, err
		}
		to := new(unix.RawSockaddrUnix)
		length := uint32(unsafe.Sizeof(*to))
		if _, _, errno := unix.RawSyscall(unix.SYS_GETSOCKNAME, receiver, uintptr(unsafe.Pointer(to)), uintptr(unsafe.Pointer(&length))); errno != 0 {
			return end{}, errno
		}
		fd, err := p.opened(socket(unix.AF_UNIX, unix.SOCK_DGRAM))
		return end{fd, unsafe.Pointer(to), uintptr(length)}, err
	},
}

// replayAddress6 is port 9 (discard) on loopback.
var replayAddress6 = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: 9 << 8, Addr: [16]byte{15: 1}}

func (e *end) connect() error {
	_, _, errno := unix.RawSyscall(unix.SYS_CONNECT, e.fd, uintptr(e.address), e.length)
	return check(errno)
}

// connects connects sockets of the recorded families.
func connects(p *prep) (func() error, error) {
	made := map[string]end{}
	var all []end
	for _, s := range p.kinds("connect", func(s profile.Socket) bool {
		if start, known := ends[s.Family]; known {
			if e, err := start(p); err == nil && e.connect() == nil {
				made[s.Family] = e
				return true
			}
		}
		return false
	}) {
		all = append(all, made[s.Family])
	}
	if all == nil {
		e, err := ends["ipv4"](p)
		if err != nil {
			return nil, err
		}
		return e.connect, nil
	}
	n := 0
	return func() error {
		n++
		return all[n%len(all)].connect()
	}, nil
}
