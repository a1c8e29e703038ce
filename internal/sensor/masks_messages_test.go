package sensor

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// message is what a call sends or receives, and the memory of the other end's
// address.
type message struct {
	address []byte  // nil: no address
	at      uintptr // where it is instead, if that cannot be read
	flags   int
}

// rawSockaddr is an address of a family, which says nothing of its size: both
// may be wrong.
func rawSockaddr(family uint16, at netip.AddrPort) []byte {
	b := make([]byte, unix.SizeofSockaddrInet4, unix.SizeofSockaddrInet6)
	ip := b[4:8]
	if at.Addr().Is6() {
		b = b[:unix.SizeofSockaddrInet6]
		ip = b[8:24]
	}
	binary.NativeEndian.PutUint16(b, family)
	binary.BigEndian.PutUint16(b[2:], at.Port())
	copy(ip, at.Addr().AsSlice())
	return b
}

func (m *message) pointer() uintptr {
	if m.at != 0 {
		return m.at
	}
	return uintptr(unsafe.Pointer(unsafe.SliceData(m.address)))
}

// header is that of a message of one byte. Its name is written last, as memory
// that no pointer may lead to.
func (m *message) header(data *byte) *unix.Msghdr {
	h := &unix.Msghdr{Namelen: uint32(len(m.address)), Iov: &unix.Iovec{Base: data}}
	h.Iov.SetLen(1)
	h.SetIovlen(1)
	*(*uintptr)(unsafe.Pointer(&h.Name)) = m.pointer()
	return h
}

// many is struct mmsghdr.
type many struct {
	unix.Msghdr
	_ uint32
}

// messageCall is a system call that sends or receives messages.
type messageCall func(fd int, m, second *message) unix.Errno

var sendKinds, receiveKinds = []string{"sendto", "sendmsg", "sendmmsg"}, []string{"recvfrom", "recvmsg", "recvmmsg"}

// messageCalls are those that name a destination, or are told a source. The last of
// each have two messages.
var messageCalls = map[string]messageCall{
	"sendto": func(fd int, m, _ *message) unix.Errno {
		data := byte('x')
		_, _, errno := unix.Syscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&data)), 1, uintptr(m.flags), m.pointer(), uintptr(len(m.address)))
		runtime.KeepAlive(m)
		return errno
	},
	"sendmsg":  func(fd int, m, _ *message) unix.Errno { return headed(unix.SYS_SENDMSG, fd, m) },
	"sendmmsg": func(fd int, m, second *message) unix.Errno { return headedMany(unix.SYS_SENDMMSG, fd, m, second) },
	"recvfrom": func(fd int, m, _ *message) unix.Errno {
		var data byte
		n := uint32(len(m.address))
		_, _, errno := unix.Syscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&data)), 1, uintptr(m.flags), m.pointer(), uintptr(unsafe.Pointer(&n)))
		runtime.KeepAlive(m)
		return errno
	},
	"recvmsg":  func(fd int, m, _ *message) unix.Errno { return headed(unix.SYS_RECVMSG, fd, m) },
	"recvmmsg": func(fd int, m, second *message) unix.Errno { return headedMany(unix.SYS_RECVMMSG, fd, m, second) },
}

func headed(nr uintptr, fd int, m *message) unix.Errno {
	var data byte
	_, _, errno := unix.Syscall(nr, uintptr(fd), uintptr(unsafe.Pointer(m.header(&data))), uintptr(m.flags))
	runtime.KeepAlive(m)
	return errno
}

func headedMany(nr uintptr, fd int, m, second *message) unix.Errno {
	var data [2]byte
	headers := [2]many{{Msghdr: *m.header(&data[0])}, {Msghdr: *second.header(&data[1])}}
	_, _, errno := unix.Syscall6(nr, uintptr(fd), uintptr(unsafe.Pointer(&headers)), 2, uintptr(m.flags), 0, 0)
	runtime.KeepAlive(m)
	runtime.KeepAlive(second)
	return errno
}
