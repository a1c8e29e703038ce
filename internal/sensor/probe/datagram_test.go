package probe

import (
	"fmt"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// destination is where a socket is connected to, whom a message names, and what
// the events have: the ends are those of a socket that is not bound, without its
// port.
type destination struct {
	name             string
	family, kind     int
	connected, named []byte
	control          []byte // of sendmsg alone, for calls that need it
	file             string
}

var (
	other4       = [4]byte{127, 0, 0, 2}
	otherMapped  = [16]byte{10: 0xff, 11: 0xff, 12: 127, 15: 2}
	destinations = []destination{
		{"the peer", unix.AF_INET, unix.SOCK_DGRAM, sockaddr4(loopback4, 9), sockaddr4(loopback4, 9), nil, "127.0.0.1 -> 127.0.0.1:9 connected"},
		{"nobody", unix.AF_INET, unix.SOCK_DGRAM, sockaddr4(loopback4, 9), nil, nil, "127.0.0.1 -> 127.0.0.1:9 connected"},
		{"another address", unix.AF_INET, unix.SOCK_DGRAM, sockaddr4(loopback4, 9), sockaddr4(other4, 9), nil, "127.0.0.1 -> 127.0.0.2:9"},
		{"another port", unix.AF_INET, unix.SOCK_DGRAM, sockaddr4(loopback4, 9), sockaddr4(loopback4, 7), nil, "127.0.0.1 -> 127.0.0.1:7"},
		{"an address without a family", unix.AF_INET, unix.SOCK_DGRAM, sockaddr4(loopback4, 9), unspecified(sockaddr4(other4, 7)), nil, "127.0.0.1 -> 127.0.0.2:7"},
		{"another raw address", unix.AF_INET, unix.SOCK_RAW, sockaddr4(loopback4, 9), sockaddr4(other4, 0), nil, "127.0.0.1 -> 127.0.0.2:0"},
		{"the IPv6 peer", unix.AF_INET6, unix.SOCK_DGRAM, sockaddr6(loopback6, 9), sockaddr6(loopback6, 9), nil, "::1 -> ::1:9 connected"},
		{"the peer, of IPv6", unix.AF_INET6, unix.SOCK_DGRAM, sockaddr6(mapped, 9), sockaddr4(loopback4, 9), nil, "127.0.0.1 -> 127.0.0.1:9 connected"},
		{"another IPv6 port", unix.AF_INET6, unix.SOCK_DGRAM, sockaddr6(loopback6, 9), sockaddr6(loopback6, 7), nil, "::1 -> ::1:7"},
		{"IPv6 without a family", unix.AF_INET6, unix.SOCK_DGRAM, sockaddr6(loopback6, 9), unspecified(sockaddr6(loopback6, 7)), nil, "::1 -> ::1:9 connected"},
		{"another mapped address", unix.AF_INET6, unix.SOCK_DGRAM, sockaddr6(mapped, 9), sockaddr6(otherMapped, 7), nil, "127.0.0.1 -> 127.0.0.2:7"},
		{"IPv4 instead of IPv6", unix.AF_INET6, unix.SOCK_DGRAM, sockaddr6(loopback6, 9), sockaddr6(otherMapped, 7), nil, "0.0.0.0 -> 127.0.0.2:7"},
		{"IPv4 of IPv6", unix.AF_INET6, unix.SOCK_DGRAM, sockaddr6(loopback6, 9), sockaddr4(other4, 7), nil, "0.0.0.0 -> 127.0.0.2:7"},
		{"IPv6 instead of IPv4", unix.AF_INET6, unix.SOCK_DGRAM, sockaddr6(mapped, 9), sockaddr6(loopback6, 7), from6(loopback6), ":: -> ::1:7"},
	}
)

func unspecified(address []byte) []byte { return append([]byte{unix.AF_UNSPEC, 0}, address[2:]...) }

// from6 is the control message of a datagram that is sent from an address.
func from6(ip [16]byte) []byte { return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: ip}) }

// dial is a connected datagram socket.
func (d *destination) dial(t *testing.T) int {
	protocol := 0
	if d.kind == unix.SOCK_RAW {
		protocol = unix.IPPROTO_UDP
	}
	fd, err := unix.Socket(d.family, d.kind|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if res := raw(unix.SYS_CONNECT, fd, ptr(d.connected), len(d.connected)); res != 0 {
		t.Fatalf("connect: %d", res)
	}
	return fd
}

// A datagram goes to whom the call names, whatever the socket is connected to:
// then the event has the ends of the datagram, which are not connected.
//
// It shows a row of docs/compatibility.md.
func TestNamedDestinations(t *testing.T) {
	for _, d := range destinations {
		t.Run(d.name, func(t *testing.T) {
			fd := d.dial(t)
			data := []byte("x")
			iov := unix.Iovec{Base: &data[0], Len: 1}
			m := struct {
				hdr unix.Msghdr
				len uint64
			}{hdr: unix.Msghdr{Name: unsafe.SliceData(d.named), Namelen: uint32(len(d.named)), Iov: &iov, Iovlen: 1}}
			m.hdr.Control, m.hdr.Controllen = unsafe.SliceData(d.control), uint64(len(d.control))
			quiet := func() { unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR) } // that nobody listens
			tr := trace(t, []string{"sendto", "sendmsg", "sendmmsg"}, func() {
				if d.control == nil {
					raw(unix.SYS_SENDTO, fd, ptr(data), 1, 0, ptr(d.named), len(d.named))
					quiet()
				}
				raw(unix.SYS_SENDMSG, fd, unsafe.Pointer(&m), 0)
				quiet()
				raw(unix.SYS_SENDMMSG, fd, unsafe.Pointer(&m), 1, 0)
			})
			for _, kind := range []event.Kind{event.KindSendto, event.KindSendmsg, event.KindSendmmsg} {
				if d.control == nil || kind != event.KindSendto {
					d.check(t, tr.one(kind))
				}
			}
		})
	}
}

// check compares the ends in an event.
func (d *destination) check(t *testing.T, e recorded) {
	t.Helper()
	var f event.FileInfo
	if res := e.fields()["res"]; res != "1" || !e.FileInfo(e.Info().File, &f) {
		t.Fatalf("%s: result %s, %v", e.Kind(), res, e.fields())
	}
	local, remote := f.Addrs()
	got := fmt.Sprintf("%v -> %v:%d", local, remote, f.DPort)
	if f.Flags&event.FileConnected != 0 {
		got += " connected"
	}
	if got != d.file {
		t.Errorf("%s: %s, want %s", e.Kind(), got, d.file)
	}
	to := fmt.Sprintf("->%v:%d", remote, f.DPort)
	if remote.Is6() {
		to = fmt.Sprintf("->[%v]:%d", remote, f.DPort)
	}
	if tuple := e.fields()["tuple"]; !strings.HasSuffix(tuple, to) {
		t.Errorf("%s: tuple %s, want %s at its end", e.Kind(), tuple, to)
	}
}

// TCP takes no notice of whom a call names.
func TestNamedByTCP(t *testing.T) {
	_, port := listener(t, unix.AF_INET)
	fd := socket(t, unix.AF_INET, unix.SOCK_STREAM)
	to, other := sockaddr4(loopback4, port), sockaddr4(other4, 7)
	if res := raw(unix.SYS_CONNECT, fd, ptr(to), len(to)); res != 0 {
		t.Fatalf("connect: %d", res)
	}
	e := trace(t, []string{"sendto"}, func() { raw(unix.SYS_SENDTO, fd, "x", 1, 0, ptr(other), len(other)) }).one(event.KindSendto)
	own := localPort(t, fd)
	got := e.fields()
	if want := fmt.Sprintf("127.0.0.1:%d->127.0.0.1:%d proto 6 connected client", own, port); got["res"] != "1" || !strings.HasSuffix(got["file"], want) {
		t.Errorf("res %s, file %s; want 1 and %s", got["res"], got["file"], want)
	}
	if want := fmt.Sprintf("127.0.0.1:%d->127.0.0.1:%d", own, port); got["tuple"] != want {
		t.Errorf("tuple %s, want %s", got["tuple"], want)
	}
}

// A unix datagram goes to whom the call names, too, which the tuple has; sockets
// that keep the order of messages take no notice of it.
//
// It shows a row of docs/compatibility.md.
func TestNamedUnixDestinations(t *testing.T) {
	dir := t.TempDir()
	for _, tc := range []struct {
		name string
		kind int
		want string
	}{
		{"datagrams", unix.SOCK_DGRAM, "other"},
		{"messages in order", unix.SOCK_SEQPACKET, "peer"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := func(name string) string { return fmt.Sprintf("%s/%d-%s", dir, tc.kind, name) }
			for _, name := range []string{"peer", "other"} {
				server := socket(t, unix.AF_UNIX, tc.kind)
				if err := unix.Bind(server, &unix.SockaddrUnix{Name: path(name)}); err != nil {
					t.Fatal(err)
				}
				if tc.kind == unix.SOCK_SEQPACKET {
					if err := unix.Listen(server, 1); err != nil {
						t.Fatal(err)
					}
				}
			}
			fd := socket(t, unix.AF_UNIX, tc.kind)
			if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path("peer")}); err != nil {
				t.Fatal(err)
			}
			other := sockaddrUnix(path("other"))
			e := trace(t, []string{"sendto"}, func() { raw(unix.SYS_SENDTO, fd, "x", 1, 0, ptr(other), len(other)) }).one(event.KindSendto)
			got := e.fields()
			if want := `unix ""->unix ` + quote(path(tc.want)); got["res"] != "1" || got["tuple"] != want {
				t.Errorf("res %s, tuple %s; want 1 and %s", got["res"], got["tuple"], want)
			}
		})
	}
}
