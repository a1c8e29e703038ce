package probe

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// sockaddr is a socket address as the kernel takes it.
func sockaddr4(ip [4]byte, port int) []byte {
	b := binary.NativeEndian.AppendUint16(nil, unix.AF_INET)
	b = binary.BigEndian.AppendUint16(b, uint16(port))
	return append(append(b, ip[:]...), make([]byte, 8)...)
}

func sockaddr6(ip [16]byte, port int) []byte {
	b := binary.NativeEndian.AppendUint16(nil, unix.AF_INET6)
	b = binary.BigEndian.AppendUint16(b, uint16(port))
	b = append(b, 0, 0, 0, 0)
	return append(append(b, ip[:]...), 0, 0, 0, 0)
}

func sockaddrUnix(path string) []byte {
	return append(binary.NativeEndian.AppendUint16(nil, unix.AF_UNIX), path...)
}

func ptr(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

// localPort is the port that a socket is bound to.
func localPort(t testing.TB, fd int) int {
	t.Helper()
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return sa.Port
	case *unix.SockaddrInet6:
		return sa.Port
	}
	t.Fatalf("socket %T", sa)
	return 0
}

func socket(t testing.TB, family, kind int) int {
	t.Helper()
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

var (
	loopback4 = [4]byte{127, 0, 0, 1}
	loopback6 = [16]byte{15: 1}
	mapped    = [16]byte{10: 0xff, 11: 0xff, 12: 127, 15: 1}
)

// listener is a TCP socket that listens on a free port.
func listener(t testing.TB, family int) (fd, port int) {
	t.Helper()
	fd = socket(t, family, unix.SOCK_STREAM)
	var sa unix.Sockaddr = &unix.SockaddrInet4{Addr: loopback4}
	if family == unix.AF_INET6 {
		sa = &unix.SockaddrInet6{} // any, and IPv4 too
	}
	if err := unix.Bind(fd, sa); err != nil {
		t.Skipf("bind: %v", err)
	}
	if err := unix.Listen(fd, 7); err != nil {
		t.Fatal(err)
	}
	return fd, localPort(t, fd)
}

// TestTCP shows a row of docs/compatibility.md.
func TestTCP(t *testing.T) {
	for _, tc := range []struct {
		name         string
		listen, dial int // families
		to           func(port int) []byte
		ip           string // as it must be shown
		any          string // the listener's own address
		fdType       event.FDType
	}{
		{"IPv4", unix.AF_INET, unix.AF_INET, func(p int) []byte { return sockaddr4(loopback4, p) }, "127.0.0.1", "127.0.0.1", event.FDIPv4},
		{"IPv6", unix.AF_INET6, unix.AF_INET6, func(p int) []byte { return sockaddr6(loopback6, p) }, "[::1]", "::", event.FDIPv6},
		{"mapped", unix.AF_INET6, unix.AF_INET6, func(p int) []byte { return sockaddr6(mapped, p) }, "127.0.0.1", "::", event.FDIPv4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server, port := listener(t, tc.listen)
			client := socket(t, tc.dial, unix.SOCK_STREAM)
			to := tc.to(port)
			var res, accepted int64
			tr := trace(t, []string{"connect", "accept4"}, func() {
				res = raw(unix.SYS_CONNECT, client, ptr(to), len(to))
				accepted = raw(unix.SYS_ACCEPT4, server, nil, nil, unix.SOCK_CLOEXEC)
			})
			if res != 0 || accepted < 0 {
				t.Fatalf("connect %d, accept %d", res, accepted)
			}
			defer unix.Close(int(accepted))
			own := localPort(t, client)
			from, dest := fmt.Sprintf("%s:%d", tc.ip, own), fmt.Sprintf("%s:%d", tc.ip, port)
			bare := tc.ip
			if tc.fdType == event.FDIPv6 {
				bare = "::1"
			}
			e := tr.one(event.KindConnect)
			e.want(t, map[string]string{
				"res": "0", "tuple": from + "->" + dest, "fd": num(client), "addr": dest,
				"file": fmt.Sprintf("%d %s:%d->%s:%d proto 6 connected client", tc.fdType, bare, own, bare, port),
			})
			checkHeader(t, &e, 0, "connect")
			e = tr.one(event.KindAccept4)
			e.want(t, map[string]string{
				"fd": num(accepted), "tuple": from + "->" + dest, "queuepct": "0", "queuelen": "0", "queuemax": "7", "flags": num(unix.SOCK_CLOEXEC),
				"file": fmt.Sprintf("%d %s:%d->%s:%d proto 6 connected server", tc.fdType, bare, port, bare, own),
			})
			checkHeader(t, &e, accepted, "accept4")
		})
	}
}

// TestConnectFailures shows a row of docs/compatibility.md.
func TestConnectFailures(t *testing.T) {
	unused := func(t *testing.T) int {
		fd := socket(t, unix.AF_INET, unix.SOCK_STREAM)
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: loopback4}); err != nil {
			t.Fatal(err)
		}
		return localPort(t, fd) // bound, but nobody listens
	}
	t.Run("refused", func(t *testing.T) {
		port, fd := unused(t), socket(t, unix.AF_INET, unix.SOCK_STREAM)
		to := sockaddr4(loopback4, port)
		var res int64
		tr := trace(t, []string{"connect"}, func() { res = raw(unix.SYS_CONNECT, fd, ptr(to), len(to)) })
		e := tr.one(event.KindConnect)
		f := e.fields()
		if f["res"] != num(-int64(unix.ECONNREFUSED)) || f["tuple"] != "-" || f["addr"] != fmt.Sprintf("127.0.0.1:%d", port) {
			t.Errorf("%d: %v", res, f)
		}
		var info event.FileInfo
		if !e.FileInfo(e.Info().File, &info) || info.DPort != 0 || info.Flags != 0 {
			t.Errorf("the socket keeps a peer: %s", f["file"])
		}
	})
	t.Run("in progress", func(t *testing.T) {
		_, port := listener(t, unix.AF_INET)
		fd := socket(t, unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK)
		to := sockaddr4(loopback4, port)
		var res int64
		tr := trace(t, []string{"connect"}, func() { res = raw(unix.SYS_CONNECT, fd, ptr(to), len(to)) })
		e := tr.one(event.KindConnect)
		f := e.fields()
		own := localPort(t, fd)
		if f["res"] != num(-int64(unix.EINPROGRESS)) || f["tuple"] != fmt.Sprintf("127.0.0.1:%d->127.0.0.1:%d", own, port) {
			t.Errorf("%d: %v", res, f)
		}
	})
	t.Run("bad descriptor", func(t *testing.T) {
		to := sockaddr4(loopback4, 1)
		tr := trace(t, []string{"connect"}, func() { raw(unix.SYS_CONNECT, 9999, ptr(to), len(to)) })
		e := tr.one(event.KindConnect)
		e.want(t, map[string]string{"res": num(-int64(unix.EBADF)), "tuple": "-", "fd": "9999", "addr": "127.0.0.1:1", "file": "-"})
	})
}

// UDP: the address is the message's, no matter which end called bind.
//
// It shows a row of docs/compatibility.md.
func TestUDP(t *testing.T) {
	for _, tc := range []struct {
		name   string
		family int
		to     func(port int) []byte
		bind   unix.Sockaddr
		ip     string
		kind   event.FDType
	}{
		{"IPv4", unix.AF_INET, func(p int) []byte { return sockaddr4(loopback4, p) }, &unix.SockaddrInet4{Addr: loopback4}, "127.0.0.1", event.FDIPv4},
		{"IPv6", unix.AF_INET6, func(p int) []byte { return sockaddr6(loopback6, p) }, &unix.SockaddrInet6{Addr: loopback6}, "::1", event.FDIPv6},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server, client := socket(t, tc.family, unix.SOCK_DGRAM), socket(t, tc.family, unix.SOCK_DGRAM)
			for _, fd := range []int{server, client} {
				if err := unix.Bind(fd, tc.bind); err != nil {
					t.Skipf("bind: %v", err)
				}
			}
			port, own := localPort(t, server), localPort(t, client)
			to := tc.to(port)
			data := []byte("hello")
			var from [28]byte
			fromLen := uint32(len(from))
			buf := make([]byte, 100)
			iov := unix.Iovec{Base: &data[0], Len: uint64(len(data))}
			msg := unix.Msghdr{Name: &to[0], Namelen: uint32(len(to)), Iov: &iov, Iovlen: 1}
			riov := unix.Iovec{Base: &buf[0], Len: uint64(len(buf))}
			rmsg := unix.Msghdr{Name: &from[0], Namelen: fromLen, Iov: &riov, Iovlen: 1}
			tr := trace(t, []string{"sendto", "recvfrom", "sendmsg", "recvmsg"}, func() {
				raw(unix.SYS_SENDTO, client, ptr(data), len(data), 0, ptr(to), len(to))
				raw(unix.SYS_RECVFROM, server, ptr(buf), len(buf), 0, unsafe.Pointer(&from), unsafe.Pointer(&fromLen))
				raw(unix.SYS_SENDMSG, client, unsafe.Pointer(&msg), 0)
				raw(unix.SYS_RECVMSG, server, unsafe.Pointer(&rmsg), 0)
			})
			addr := func(port int) string {
				if tc.family == unix.AF_INET6 {
					return fmt.Sprintf("[%s]:%d", tc.ip, port)
				}
				return fmt.Sprintf("%s:%d", tc.ip, port)
			}
			tuple := addr(own) + "->" + addr(port)
			sender := fmt.Sprintf("%d %s:%d->%s:%d proto 17 client", tc.kind, tc.ip, own, tc.ip, port)
			receiver := fmt.Sprintf("%d %s:%d->%s:%d proto 17", tc.kind, tc.ip, port, tc.ip, own)
			check := func(k event.Kind, want map[string]string) {
				t.Helper()
				e := tr.one(k)
				got := e.fields()
				if k == event.KindRecvfrom || k == event.KindRecvmsg {
					got["file"] = strings.TrimSuffix(strings.TrimSuffix(got["file"], " server"), " client") // both ports were chosen freely
				}
				for name, v := range want {
					if got[name] != v {
						t.Errorf("%s %s = %s, want %s", k, name, got[name], v)
					}
				}
			}
			check(event.KindSendto, map[string]string{"res": "5", "data": `"hello"`, "fd": num(client), "size": "5", "tuple": tuple, "file": sender})
			check(event.KindSendmsg, map[string]string{"res": "5", "data": `"hello"`, "fd": num(client), "size": "5", "tuple": tuple, "file": sender})
			check(event.KindRecvfrom, map[string]string{"res": "5", "data": `"hello"`, "fd": num(server), "size": "100", "tuple": tuple, "file": receiver})
			check(event.KindRecvmsg, map[string]string{"res": "5", "data": `"hello"`, "fd": num(server), "size": "5", "tuple": tuple, "file": receiver, "msgcontrol": `""`})
		})
	}
}

// The kernel sends datagrams to addresses without a family, too: the event has the
// other end wherever one goes there.
func TestNoFamily(t *testing.T) {
	server := socket(t, unix.AF_INET, unix.SOCK_DGRAM)
	if err := unix.Bind(server, &unix.SockaddrInet4{Addr: loopback4}); err != nil {
		t.Fatal(err)
	}
	port := localPort(t, server)
	for _, tc := range []struct {
		name         string
		family, kind int
		to           []byte
		res, file    string
	}{
		{"IPv4", unix.AF_INET, unix.SOCK_DGRAM, sockaddr4(loopback4, port), "1", fmt.Sprintf("->127.0.0.1:%d", port)},
		{"raw IPv4", unix.AF_INET, unix.SOCK_RAW, sockaddr4(loopback4, 0), "1", "->127.0.0.1:0"},
		{"IPv6", unix.AF_INET6, unix.SOCK_DGRAM, sockaddr6(loopback6, port), "-89", "->:::0"},
		{"raw IPv6", unix.AF_INET6, unix.SOCK_RAW, sockaddr6(loopback6, 0), "1", "->::1:0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			protocol := 0
			if tc.kind == unix.SOCK_RAW {
				protocol = unix.IPPROTO_UDP
			}
			client, err := unix.Socket(tc.family, tc.kind|unix.SOCK_CLOEXEC, protocol)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(client)
			binary.NativeEndian.PutUint16(tc.to, unix.AF_UNSPEC)
			data := []byte("x")
			e := trace(t, []string{"sendto"}, func() { raw(unix.SYS_SENDTO, client, ptr(data), 1, 0, ptr(tc.to), len(tc.to)) }).one(event.KindSendto)
			if got := e.fields(); got["res"] != tc.res || !strings.Contains(got["file"], tc.file+" ") {
				t.Errorf("res %s, file %s; want %s and %s", got["res"], got["file"], tc.res, tc.file)
			}
		})
	}
}

// TestUnixSockets shows a row of docs/compatibility.md.
func TestUnixSockets(t *testing.T) {
	dir := t.TempDir()
	for _, tc := range []struct{ name, addr, shown string }{
		{"path", filepath.Join(dir, "s") + "\x00", filepath.Join(dir, "s")},
		{"abstract", "\x00peregrine-test-no-nul", "@peregrine-test-no-nul"},
		{"NUL inside", "\x00peregrine\x00test", "@peregrine\x00test"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server, client := socket(t, unix.AF_UNIX, unix.SOCK_STREAM), socket(t, unix.AF_UNIX, unix.SOCK_STREAM)
			to := sockaddrUnix(tc.addr)
			var accepted int64
			tr := trace(t, []string{"bind", "listen", "connect", "accept4", "sendto"}, func() {
				raw(unix.SYS_BIND, server, ptr(to), len(to))
				raw(unix.SYS_LISTEN, server, 3)
				raw(unix.SYS_CONNECT, client, ptr(to), len(to))
				accepted = raw(unix.SYS_ACCEPT4, server, nil, nil, 0)
				raw(unix.SYS_SENDTO, client, "hi", 2, 0, nil, 0)
			})
			defer unix.Close(int(accepted))
			e := tr.one(event.KindBind)
			e.want(t, map[string]string{"res": "0", "addr": "unix " + quote(tc.shown), "fd": num(server),
				"file": fmt.Sprintf("%d %q->\"\"", event.FDUnix, tc.shown)})
			e = tr.one(event.KindListen)
			e.want(t, map[string]string{"res": "0", "fd": num(server), "backlog": "3",
				"file": fmt.Sprintf("%d %q->\"\" listening", event.FDUnix, tc.shown)})
			e = tr.one(event.KindConnect)
			e.want(t, map[string]string{"res": "0", "tuple": `unix ""->unix ` + quote(tc.shown), "fd": num(client), "addr": "unix " + quote(tc.shown),
				"file": fmt.Sprintf("%d \"\"->%q connected", event.FDUnix, tc.shown)})
			e = tr.one(event.KindAccept4)
			e.want(t, map[string]string{"fd": num(accepted), "tuple": `unix ""->unix ` + quote(tc.shown), "queuepct": "0", "queuelen": "0", "queuemax": "3", "flags": "0",
				"file": fmt.Sprintf("%d %q->\"\" connected", event.FDUnix, tc.shown)})
			e = tr.one(event.KindSendto)
			e.want(t, map[string]string{"res": "2", "data": `"hi"`, "fd": num(client), "size": "2", "tuple": `unix ""->unix ` + quote(tc.shown),
				"file": fmt.Sprintf("%d \"\"->%q connected", event.FDUnix, tc.shown)})
		})
	}
}

// TestSocketCalls shows a row of docs/compatibility.md.
func TestSocketCalls(t *testing.T) {
	fd := socket(t, unix.AF_INET, unix.SOCK_STREAM)
	tcp := func(extra string) string {
		return fmt.Sprintf("%d 0.0.0.0:0->0.0.0.0:0 proto 6%s", event.FDIPv4, extra)
	}
	one := int32(1)
	size := uint32(4)
	timeout := unix.Timeval{Sec: 2, Usec: 500}
	pair := [2]int32{-1, -1}
	defer func() {
		unix.Close(int(pair[0]))
		unix.Close(int(pair[1]))
	}()
	value := func(kind event.Type, n int64) string {
		b := append([]byte{byte(kind)}, binary.NativeEndian.AppendUint64(nil, uint64(n))...)
		return quote(string(b))
	}
	runCalls(t, []call{
		{syscall: "socket", opens: true, do: func() int64 {
			return raw(unix.SYS_SOCKET, unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		},
			want: fields{"domain": "10", "type": num(unix.SOCK_DGRAM | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK), "proto": "0", "flags": num(fCLOEXEC | 1<<6),
				"file": fmt.Sprintf("%d :::0->:::0 proto 17", event.FDIPv6)}},
		{name: " netlink", syscall: "socket", opens: true, do: func() int64 { return raw(unix.SYS_SOCKET, unix.AF_NETLINK, unix.SOCK_RAW, 0) },
			want: fields{"domain": "16", "type": "3", "proto": "0", "flags": "0", "file": fmt.Sprintf("%d \"\"", event.FDNetlink)}},
		{name: " failed", syscall: "socket", fails: true, do: func() int64 { return raw(unix.SYS_SOCKET, 99, 1, 0) },
			want: fields{"domain": "99", "type": "1", "proto": "0", "flags": "0", "file": "-"}},
		{syscall: "socketpair", do: func() int64 {
			return raw(unix.SYS_SOCKETPAIR, unix.AF_UNIX, unix.SOCK_STREAM, 0, unsafe.Pointer(&pair))
		},
			dynamic: func(int64) fields {
				var a, b unix.Stat_t
				if unix.Fstat(int(pair[0]), &a) != nil || unix.Fstat(int(pair[1]), &b) != nil {
					t.Fatal("fstat")
				}
				return fields{"fd1": num(int(pair[0])), "fd2": num(int(pair[1])), "source": num(a.Ino), "peer": num(b.Ino), "domain": "1", "type": "1",
					"proto": "0", "file": fmt.Sprintf("%d \"\"->\"\" connected", event.FDUnix)}
			}},
		{syscall: "setsockopt", do: func() int64 {
			return raw(unix.SYS_SETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, unsafe.Pointer(&one), 4)
		}, want: fields{"fd": num(fd), "level": "1", "optname": "2", "val": value(event.Uint32, 1), "optlen": "4", "file": tcp("")}},
		{name: " time", syscall: "setsockopt", do: func() int64 {
			return raw(unix.SYS_SETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, unsafe.Pointer(&timeout), int(unsafe.Sizeof(timeout)))
		}, want: fields{"fd": num(fd), "level": "1", "optname": "20", "val": value(event.RelTime, 2_000_500_000), "optlen": "16", "file": tcp("")}},
		{name: " TCP", syscall: "setsockopt", do: func() int64 {
			return raw(unix.SYS_SETSOCKOPT, fd, unix.SOL_TCP, unix.TCP_NODELAY, unsafe.Pointer(&one), 4)
		}, want: fields{"fd": num(fd), "level": "2", "optname": "0", "val": quote(string([]byte{byte(event.Bytes), 1, 0, 0, 0})), "optlen": "4", "file": tcp("")}},
		{syscall: "getsockopt", do: func() int64 {
			return raw(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_ERROR, unsafe.Pointer(&one), unsafe.Pointer(&size))
		}, want: fields{"fd": num(fd), "level": "1", "optname": "4", "val": value(event.Errno, 0), "optlen": "4", "file": tcp("")}},
		{syscall: "shutdown", fails: true, do: func() int64 { return raw(unix.SYS_SHUTDOWN, fd, unix.SHUT_RDWR) },
			want: fields{"fd": num(fd), "how": "2", "file": tcp("")}},
		{syscall: "getsockname", do: func() int64 { size = 28; return raw(unix.SYS_GETSOCKNAME, fd, buffer(28), unsafe.Pointer(&size)) }, want: fields{}},
		{syscall: "getpeername", fails: true, do: func() int64 { size = 28; return raw(unix.SYS_GETPEERNAME, fd, buffer(28), unsafe.Pointer(&size)) }, want: fields{}},
		{syscall: "bind", do: func() int64 { a := sockaddr4(loopback4, 0); return raw(unix.SYS_BIND, fd, ptr(a), len(a)) },
			dynamic: func(int64) fields {
				return fields{"addr": "127.0.0.1:0", "fd": num(fd), "file": fmt.Sprintf("%d 127.0.0.1:%d->0.0.0.0:0 proto 6", event.FDIPv4, localPort(t, fd))}
			}},
		{syscall: "listen", do: func() int64 { return raw(unix.SYS_LISTEN, fd, 5) },
			dynamic: func(int64) fields {
				return fields{"fd": num(fd), "backlog": "5", "file": fmt.Sprintf("%d 127.0.0.1:%d->0.0.0.0:0 proto 6 server listening", event.FDIPv4, localPort(t, fd))}
			}},
	})
}

func TestMessages(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	long := bytes.Repeat([]byte("x"), 200)
	iovs := []unix.Iovec{{Base: &[]byte("abc")[0], Len: 3}, {Base: &long[0], Len: 200}}
	type mmsg struct {
		hdr unix.Msghdr
		len uint32
		_   [4]byte
	}
	out := mmsg{hdr: unix.Msghdr{Iov: &iovs[0], Iovlen: 2}}
	in := make([]byte, 300)
	riov := unix.Iovec{Base: &in[0], Len: 300}
	back := mmsg{hdr: unix.Msghdr{Iov: &riov, Iovlen: 1}}
	file := fmt.Sprintf("%d \"\"->\"\" connected", event.FDUnix)
	cut := quote("abc" + string(long[:DefaultSnaplen-3]))
	runCalls(t, []call{
		{syscall: "sendmmsg", do: func() int64 { return raw(unix.SYS_SENDMMSG, pair[0], unsafe.Pointer(&out), 1, 0) },
			want: fields{"fd": num(pair[0]), "size": "203", "data": cut, "tuple": `unix ""->unix ""`, "file": file}},
		{syscall: "recvmmsg", do: func() int64 { return raw(unix.SYS_RECVMMSG, pair[1], unsafe.Pointer(&back), 1, 0, nil) },
			want: fields{"fd": num(pair[1]), "size": "300", "data": cut, "tuple": `unix ""->unix ""`, "msgcontrol": `""`, "file": file}},
		{name: " nothing", syscall: "recvfrom", fails: true, do: func() int64 { return raw(unix.SYS_RECVFROM, pair[1], ptr(in), 10, unix.MSG_DONTWAIT, nil, nil) },
			want: fields{"data": "-", "tuple": "-", "fd": num(pair[1]), "size": "10", "file": file}},
	})
}

// A descriptor received by SCM_RIGHTS is known to every process that uses it.
//
// It shows a row of docs/compatibility.md.
func TestReceivedDescriptor(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "secret"), "text")
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Sendmsg(pair[0], []byte("x"), unix.UnixRights(int(f.Fd())), nil, 0); err != nil {
		t.Fatal(err)
	}
	f.Close()
	oob := make([]byte, unix.CmsgSpace(4))
	if _, _, _, _, err := unix.Recvmsg(pair[1], make([]byte, 1), oob, 0); err != nil {
		t.Fatal(err)
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		t.Fatal(err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	buf := make([]byte, 10)
	tr := trace(t, []string{"read"}, func() { raw(unix.SYS_READ, fds[0], ptr(buf), len(buf)) })
	e := tr.one(event.KindRead)
	e.want(t, map[string]string{"res": "4", "data": `"text"`, "fd": num(fds[0]), "size": "10", "file": regular(file)})
}

// TestDatagramRoles shows a row of docs/compatibility.md: of datagram sockets
// that chose their ports, the one that sends first is the
// client, also if it has the lower one.
func TestDatagramRoles(t *testing.T) {
	socks := []int{socket(t, unix.AF_INET, unix.SOCK_DGRAM), socket(t, unix.AF_INET, unix.SOCK_DGRAM)}
	for _, fd := range socks {
		free := socket(t, unix.AF_INET, unix.SOCK_DGRAM) // whose port is taken over: only its choice matters
		if err := unix.Bind(free, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			t.Fatal(err)
		}
		port := localPort(t, free)
		unix.Close(free)
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port}); err != nil {
			t.Fatal(err)
		}
	}
	client, server := socks[0], socks[1]
	if localPort(t, client) > localPort(t, server) {
		client, server = server, client
	}
	buf := make([]byte, 10)
	tr := trace(t, []string{"sendto", "recvfrom"}, func() {
		for _, from := range []int{client, server} { // a question, then its answer
			to := client + server - from
			if err := unix.Sendto(from, []byte("x"), 0, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: localPort(t, to)}); err != nil {
				t.Fatal(err)
			}
			if _, _, err := unix.Recvfrom(to, buf, 0); err != nil {
				t.Fatal(err)
			}
		}
	})
	for _, k := range []event.Kind{event.KindSendto, event.KindRecvfrom} {
		for _, e := range tr.of(k, unix.Getpid()) {
			var f event.FileInfo
			if !e.FileInfo(e.Info().File, &f) {
				t.Fatal("no file")
			}
			want := event.FileServer
			if int(f.SPort) == localPort(t, client) {
				want = event.FileClient
			}
			if f.Flags&(event.FileServer|event.FileClient) != want {
				t.Errorf("%s on port %d: flags %b, want %b", k, f.SPort, f.Flags, want)
			}
		}
	}
}
