package child

import (
	"bytes"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

func connect(args []string) error {
	to, err := netip.ParseAddrPort(args[1])
	if err != nil {
		return err
	}
	kind, protocol := unix.SOCK_DGRAM, unix.IPPROTO_UDP
	if args[0] == "tcp" {
		kind, protocol = unix.SOCK_STREAM, unix.IPPROTO_TCP
	}
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if args[0] == "tcp" {
		// Closing resets the connection, so that no port stays in TIME_WAIT.
		if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
			return err
		}
	}
	err = unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())})
	if err == unix.EINPROGRESS {
		return nil
	}
	return err
}

func listen(args []string) error {
	on, err := netip.ParseAddr(args[0])
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: on.As4()}); err != nil {
		return err
	}
	return unix.Listen(fd, 1)
}

func receive(args []string) error {
	content, err := strconv.Unquote(args[0])
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	self, err := unix.Getsockname(fd)
	if err != nil {
		return err
	}
	if err := unix.Sendto(fd, []byte(content), 0, self); err != nil {
		return err
	}
	buffer := make([]byte, 2*len(content))
	n, _, err := unix.Recvfrom(fd, buffer, unix.MSG_DONTWAIT)
	if err != nil {
		return err
	}
	if !bytes.Equal(buffer[:n], []byte(content)) {
		return unix.EBADMSG
	}
	return nil
}
