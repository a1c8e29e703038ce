package action

import (
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Where actions connect to. The addresses are those of documentation
// (RFC 5737), of a cloud's metadata service and of a private network. In the
// sandbox they all are on the loopback device.
var (
	outside         = netip.MustParseAddr("192.0.2.1")
	sshOn443        = netip.AddrPortFrom(outside, 443)
	nameService     = netip.AddrPortFrom(outside, 53)
	unusualPort     = netip.AddrPortFrom(outside, 8192)
	metadataService = netip.MustParseAddrPort("169.254.169.254:80")
	discard         = netip.MustParseAddrPort("10.2.3.4:9")
	loopback        = netip.MustParseAddrPort("127.0.0.1:0")
)

// Addresses are those that must be on this host for actions that need the
// private network.
func Addresses() []netip.Addr {
	return []netip.Addr{outside, metadataService.Addr(), discard.Addr()}
}

func socket(family, kind int) (int, error) {
	fd, _, errno := unix.RawSyscall(unix.SYS_SOCKET, uintptr(family), uintptr(kind|unix.SOCK_CLOEXEC), 0)
	return int(fd), check(errno)
}

// sockaddr is an IPv4 address as the kernel wants it.
func sockaddr(a netip.AddrPort) *unix.RawSockaddrInet4 {
	port := a.Port()<<8 | a.Port()>>8 // network byte order; all our platforms are little endian
	return &unix.RawSockaddrInet4{Family: unix.AF_INET, Port: port, Addr: a.Addr().As4()}
}

// connect may wait for an answer from another host.
func connect(fd int, to *unix.RawSockaddrInet4) error {
	_, _, errno := unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(to)), unsafe.Sizeof(*to))
	return check(errno)
}

// udpConnects is the prepare function of actions that connect a UDP socket,
// which sends nothing.
func udpConnects(to netip.AddrPort) func(*prep) (func() error, error) {
	return func(*prep) (func() error, error) {
		address := sockaddr(to)
		return func() error {
			fd, err := socket(unix.AF_INET, unix.SOCK_DGRAM)
			if err != nil {
				return err
			}
			if err := connect(fd, address); err != nil {
				_ = closeFD(fd)
				return err
			}
			return closeFD(fd)
		}, nil
	}
}

// listen makes a TCP server that several workers may have at the same address.
func (p *prep) listen(on netip.AddrPort) (fd int, err error) {
	if fd, err = socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK); err != nil {
		return 0, fmt.Errorf("socket: %w", err)
	}
	p.undo(func() error { return closeFD(fd) })
	for _, option := range []int{unix.SO_REUSEADDR, unix.SO_REUSEPORT} {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, 1); err != nil {
			return 0, fmt.Errorf("setsockopt: %w", err)
		}
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: on.Addr().As4(), Port: int(on.Port())}); err != nil {
		return 0, fmt.Errorf("bind %v: %w", on, err)
	}
	if err := unix.Listen(fd, 128); err != nil {
		return 0, fmt.Errorf("listen on %v: %w", on, err)
	}
	return fd, nil
}

// drain accepts and closes the waiting connections of a server.
func drain(server int) error {
	for {
		fd, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(server), 0, 0, unix.SOCK_CLOEXEC, 0, 0)
		switch errno {
		case 0:
			if err := closeFD(int(fd)); err != nil {
				return err
			}
		case unix.EAGAIN:
			return nil
		default:
			return errno
		}
	}
}

// client connects to a server of this process.
type client struct {
	to     *unix.RawSockaddrInet4
	linger unix.Linger
}

func (p *prep) client(server int) (*client, error) {
	name, err := unix.Getsockname(server)
	if err != nil {
		return nil, err
	}
	at, ok := name.(*unix.SockaddrInet4)
	if !ok {
		return nil, unix.EAFNOSUPPORT
	}
	to := sockaddr(netip.AddrPortFrom(netip.AddrFrom4(at.Addr), uint16(at.Port)))
	return &client{to: to, linger: unix.Linger{Onoff: 1}}, nil
}

// connect opens a connection and closes it with a reset, so that no port
// stays in TIME_WAIT: four syscalls.
func (c *client) connect() error {
	fd, err := socket(unix.AF_INET, unix.SOCK_STREAM)
	if err != nil {
		return err
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_LINGER, uintptr(unsafe.Pointer(&c.linger)), unsafe.Sizeof(c.linger), 0)
	if errno == 0 {
		err = connect(fd, c.to)
	} else {
		err = errno
	}
	if err != nil {
		_ = closeFD(fd)
		return err
	}
	return closeFD(fd)
}
