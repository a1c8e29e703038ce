package action

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// networkReplays are calls about sockets: of the recorded families where it is
// about those, otherwise UDP on loopback, whose receiver does not read, and pairs
// of unix sockets, of which one holds a message that is looked at again and again.
var networkReplays = map[string]replay{
	"socket":        {nr: unix.SYS_SOCKET, args: []word{likeFamily, likeType, zero}, fails: []word{number(-1), zero, zero}, besides: closes, after: closeResult},
	"socketpair":    {nr: unix.SYS_SOCKETPAIR, fails: []word{number(-1), zero, zero, zero}, besides: map[string]int{"close": 2}, run: pairs(unix.SYS_SOCKETPAIR, [3]uintptr{unix.AF_UNIX, unix.SOCK_DGRAM | unix.SOCK_CLOEXEC})},
	"connect":       {nr: unix.SYS_CONNECT, run: connects, fails: []word{noFD, loopbackAddress, number(unix.SizeofSockaddrInet4)}},
	"bind":          {nr: unix.SYS_BIND, fails: []word{noFD, loopbackAddress, number(unix.SizeofSockaddrInet4)}, besides: map[string]int{"socket": 1, "close": 1}, run: binds},
	"listen":        {nr: unix.SYS_LISTEN, args: []word{server, number(16)}, fails: []word{noFD, zero}},
	"accept4":       {nr: unix.SYS_ACCEPT4, fails: []word{server, zero, zero, zero}, besides: accepted("connect"), run: accepts(unix.SYS_ACCEPT4, 0)},
	"accept":        {nr: unix.SYS_ACCEPT, fails: []word{server, zero, zero}, besides: accepted("connect"), run: accepts(unix.SYS_ACCEPT, 0)},
	"accept4.late":  {besides: accepted("connect" + failedSuffix), run: accepts(unix.SYS_ACCEPT4, unix.SOCK_NONBLOCK)},
	"accept.late":   {besides: accepted("connect" + failedSuffix), run: accepts(unix.SYS_ACCEPT, unix.SOCK_NONBLOCK)},
	"sendto":        {nr: unix.SYS_SENDTO, args: []word{udpSender, fromMemory, size, zero, zero, zero}, fails: []word{noFD, fromMemory, size, zero, zero, zero}},
	"sendmsg":       {nr: unix.SYS_SENDMSG, args: []word{udpSender, message(replayZeros), zero}, fails: []word{noFD, zero, zero}},
	"recvfrom":      {nr: unix.SYS_RECVFROM, args: []word{waiting, toMemory, size, number(unix.MSG_PEEK), zero, zero}, fails: []word{emptySocket, toMemory, size, zero, zero, zero}},
	"recvmsg":       {nr: unix.SYS_RECVMSG, args: []word{waiting, message(&replayMemory[0]), number(unix.MSG_PEEK)}, fails: []word{emptySocket, message(&replayMemory[0]), zero}},
	"shutdown":      {nr: unix.SYS_SHUTDOWN, args: []word{udpSender, number(unix.SHUT_RD)}, fails: []word{noFD, zero}},
	"setsockopt":    {nr: unix.SYS_SETSOCKOPT, args: []word{udpSender, number(unix.SOL_SOCKET), number(unix.SO_PRIORITY), fromMemory, number(4)}, fails: []word{noFD, zero, zero, zero, zero}},
	"getsockopt":    {nr: unix.SYS_GETSOCKOPT, args: []word{udpSender, number(unix.SOL_SOCKET), number(unix.SO_TYPE), toMemory, four}, fails: []word{noFD, zero, zero, zero, zero}},
	"getsockname":   {nr: unix.SYS_GETSOCKNAME, args: []word{udpSender, toMemory, sixteen}, fails: []word{noFD, zero, zero}},
	"getpeername":   {nr: unix.SYS_GETPEERNAME, args: []word{udpSender, toMemory, sixteen}, fails: []word{noFD, zero, zero}},
	"epoll_create1": {nr: unix.SYS_EPOLL_CREATE1, args: []word{number(unix.EPOLL_CLOEXEC)}, fails: []word{number(-1)}, besides: closes, after: closeResult},
	"epoll_ctl":     {nr: unix.SYS_EPOLL_CTL, args: []word{epoll, number(unix.EPOLL_CTL_MOD), watched, fromMemory}, fails: []word{noFD, zero, zero, zero}},
	"epoll_pwait":   {nr: unix.SYS_EPOLL_PWAIT, args: []word{epoll, toMemory, number(1), zero, zero, number(8)}, fails: []word{noFD, toMemory, number(1), zero, zero, number(8)}},
	"ppoll":         {nr: unix.SYS_PPOLL, args: []word{zero, zero, fromMemory, zero, number(8)}, fails: []word{number(8), number(1), fromMemory, zero, number(8)}},
	"pselect6":      {nr: unix.SYS_PSELECT6, args: []word{zero, zero, zero, zero, fromMemory, zero}, fails: []word{number(-1), zero, zero, zero, fromMemory, zero}},
}

// The kernel writes the length of a name or an option where it read how much
// room there is: the same numbers.
var (
	fourBytes, sixteenBytes uint32 = 4, 16

	four    = pointer(unsafe.Pointer(&fourBytes))
	sixteen = pointer(unsafe.Pointer(&sixteenBytes))
)

// message is a msghdr of one part.
func message(of *byte) word {
	m := &unix.Msghdr{Iov: &unix.Iovec{Base: of, Len: 64}, Iovlen: 1}
	return pointer(unsafe.Pointer(m))
}

// receiver is a UDP socket on loopback without a reader; datagrams that do not
// fit are dropped, without an error for the sender.
func (p *prep) receiver() (*unix.SockaddrInet4, error) {
	fd, err := p.opened(socket(unix.AF_INET, unix.SOCK_DGRAM))
	if err != nil {
		return nil, err
	}
	if err := unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 1); err != nil {
		return nil, err
	}
	if err := unix.Bind(int(fd), &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return nil, err
	}
	name, err := unix.Getsockname(int(fd))
	if err != nil {
		return nil, err
	}
	return name.(*unix.SockaddrInet4), nil
}

func udpSender(p *prep) (uintptr, error) {
	to, err := p.receiver()
	if err != nil {
		return 0, err
	}
	fd, err := p.opened(socket(unix.AF_INET, unix.SOCK_DGRAM))
	if err == nil {
		err = unix.Connect(int(fd), to)
	}
	return fd, err
}

// replayAddress is port 9 (discard) on loopback: to connect a UDP socket sends nothing.
var replayAddress = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: 9 << 8, Addr: [4]byte{127, 0, 0, 1}}

var loopbackAddress = pointer(unsafe.Pointer(&replayAddress))

// socketPair is a pair of unix sockets that do not wait.
func (p *prep) socketPair() (a, b int, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return 0, 0, err
	}
	_, err = p.opened(pair[0], nil)
	if err == nil {
		_, err = p.opened(pair[1], nil)
	}
	return pair[0], pair[1], err
}

// waiting is a socket with a message to read.
func waiting(p *prep) (uintptr, error) {
	a, b, err := p.socketPair()
	if err == nil {
		_, err = unix.Write(b, make([]byte, 64))
	}
	return uintptr(a), err
}

func emptySocket(p *prep) (uintptr, error) {
	a, _, err := p.socketPair()
	return uintptr(a), err
}

func server(p *prep) (uintptr, error) {
	fd, err := p.listen(loopback)
	return uintptr(fd), err
}

// epoll watches a pipe that stays empty: it is descriptor watched.
func epoll(p *prep) (uintptr, error) {
	fd, err := p.opened(unix.EpollCreate1(unix.EPOLL_CLOEXEC))
	if err != nil {
		return 0, err
	}
	pipe, err := emptyPipe(p)
	if err != nil {
		return 0, err
	}
	p.watched = pipe
	return fd, unix.EpollCtl(int(fd), unix.EPOLL_CTL_ADD, int(pipe), &unix.EpollEvent{})
}

func watched(p *prep) (uintptr, error) { return p.watched, nil }

func binds(*prep) (func() error, error) {
	address := &unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: [4]byte{127, 0, 0, 1}}
	return func() error {
		fd, err := socket(unix.AF_INET, unix.SOCK_DGRAM)
		if err != nil {
			return err
		}
		_, _, errno := unix.RawSyscall(unix.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(address)), unix.SizeofSockaddrInet4)
		_ = closeFD(fd)
		return check(errno)
	}, nil
}

// Late is the accept of a connection whose connect had failed with EINPROGRESS:
// that of a client that does not wait.
func Late(accept string) string { return accept + ".late" }

func accepted(connect string) map[string]int {
	return map[string]int{"socket": 1, connect: 1, "close": 2}
}

const (
	// acceptSeconds is how long an accept waits for its connection.
	acceptSeconds = 1
	// acceptTries is how many signals may interrupt it: with a time limit, the
	// kernel does not go on by itself (signal(7)). The Go runtime sends one every
	// 10 ms at most.
	acceptTries = 100
)

// accepts connects to a TCP server of its own and accepts that. The server's end
// is closed first, with a reset, so that no port stays in TIME_WAIT.
//
// A late one may have no connection to wait for: a firewall may drop packets on
// loopback.
func accepts(nr uintptr, flags int) func(*prep) (func() error, error) {
	return func(p *prep) (func() error, error) {
		fd, err := p.listen(loopback)
		if err != nil {
			return nil, err
		}
		// The client's last packet may still be on its way.
		if err := unix.SetNonblock(fd, false); err != nil {
			return nil, err
		}
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: acceptSeconds}); err != nil {
			return nil, err
		}
		// What it accepts inherits this.
		if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
			return nil, err
		}
		name, err := unix.Getsockname(fd)
		if err != nil {
			return nil, err
		}
		to := sockaddr(netip.AddrPortFrom(loopback.Addr(), uint16(name.(*unix.SockaddrInet4).Port)))
		from, length := new(unix.RawSockaddrInet4), new(uint32)
		return func() error {
			client, err := socket(unix.AF_INET, unix.SOCK_STREAM|flags)
			if err != nil {
				return err
			}
			_, _, errno := unix.RawSyscall(unix.SYS_CONNECT, uintptr(client), uintptr(unsafe.Pointer(to)), unsafe.Sizeof(*to))
			if errno == 0 || errno == unix.EINPROGRESS {
				var connection uintptr
				*length = unix.SizeofSockaddrInet4
				for range acceptTries {
					connection, _, errno = unix.RawSyscall6(nr, uintptr(fd), uintptr(unsafe.Pointer(from)), uintptr(unsafe.Pointer(length)), 0, 0, 0)
					if errno != unix.EINTR {
						break
					}
				}
				if errno == 0 {
					_ = closeFD(int(connection))
				}
			}
			_ = closeFD(client)
			return check(errno)
		}, nil
	}
}
