package probe

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan/pathset"
)

// Calls on unix sockets whose name no pattern asks for are left out.
func TestUnixFilter(t *testing.T) {
	p := loadOwn(t)
	dir := cwd(t, t.TempDir())
	const succeeded, failed = 1, 2
	long := strings.Repeat("x", 105)
	patterns := []pathset.Pattern{
		{Text: "/asked", Kind: pathset.Suffix, Mask: asked(succeeded)},
		{Text: "@asked\x00a", Kind: pathset.Contains, Mask: asked(succeeded)},
		{Text: long + "/of", Kind: pathset.Suffix, Mask: asked(succeeded)},
		{Text: "/bound", Kind: pathset.Suffix, Mask: asked(failed)},
	}
	both := pathset.Pattern{Text: "@left->@right", Kind: pathset.Exact, Mask: asked(succeeded)}
	set, err := pathset.New(append(patterns, both))
	if err != nil {
		t.Fatal(err)
	}
	filter := byFacts(set)
	sockets := &SocketFilter{Always: map[event.Kind]uint64{}}
	kinds := []event.Kind{event.KindConnect, event.KindBind, event.KindAccept4, event.KindSendto, event.KindRecvmsg}
	for _, k := range kinds {
		filter.Calls[k] = [2]uint64{failed, succeeded}
	}
	for _, k := range append(kinds, event.KindSocket, event.KindGetsockname) {
		sockets.Always[k] = ^uint64(0) >> 1 // all but facts that no socket has
	}
	bound := func(name string) int {
		fd, at := socket(t, unix.AF_UNIX, unix.SOCK_STREAM), sockaddrUnix(name)
		if res := raw(unix.SYS_BIND, fd, ptr(at), len(at)); res != 0 {
			t.Fatalf("bind %q: %d", name, res)
		}
		return fd
	}
	server := func(name string) int {
		fd := bound(name)
		if err := unix.Listen(fd, 10); err != nil {
			t.Fatal(err)
		}
		return fd
	}
	connect := func(fd int, name string) func() {
		at := sockaddrUnix(name)
		return func() { raw(unix.SYS_CONNECT, fd, ptr(at), len(at)) }
	}
	send := func(fd int) func() {
		return func() { raw(unix.SYS_SENDTO, fd, "x", 1, unix.MSG_NOSIGNAL, nil, 0) }
	}
	stream := func() int { return socket(t, unix.AF_UNIX, unix.SOCK_STREAM) }
	path, other, wide := filepath.Join(dir, "asked"), filepath.Join(dir, "other"), long+"/of"
	listening := server(path)
	server(other)
	server("\x00asked\x00a")
	server("\x00asked\x00b")
	server("\x00right")
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range pair {
		defer unix.Close(fd)
	}
	again, err := unix.Dup(listening)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(again)
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		kind event.Kind
		call func()
		sent bool
	}{
		{"a path", event.KindConnect, connect(stream(), path+"\x00"), true},
		{"another", event.KindConnect, connect(stream(), other+"\x00"), false},
		{"the same socket by a relative path", event.KindConnect, connect(stream(), "asked\x00"), true},
		{"none that is there", event.KindConnect, connect(stream(), "missing\x00"), false},
		{"from a bound socket that fails", event.KindConnect, connect(bound(filepath.Join(dir, "bound")), "missing\x00"), true},
		{"an abstract name", event.KindConnect, connect(stream(), "\x00asked\x00a"), true},
		{"one that is different behind the NUL", event.KindConnect, connect(stream(), "\x00asked\x00b"), false},
		{"both ends", event.KindConnect, connect(bound("\x00left"), "\x00right"), true},
		{"one of them", event.KindConnect, connect(bound("\x00other"), "\x00right"), false},
		{"a path that fills the address", event.KindBind, func() {
			at := sockaddrUnix(wide)
			raw(unix.SYS_BIND, stream(), ptr(at), len(at))
		}, true},
		{"an address that is too long", event.KindBind, func() {
			at := sockaddrUnix(wide + "asked")
			raw(unix.SYS_BIND, stream(), ptr(at), len(at))
		}, false},
		{"a name that the kernel chooses", event.KindBind, func() {
			at := sockaddrUnix("")
			raw(unix.SYS_BIND, stream(), ptr(at), len(at))
		}, false},
		{"a pair without names", event.KindSendto, send(pair[0]), false},
		{"no connection", event.KindSendto, send(listening), false},
		{"no socket", event.KindSendto, send(int(os.Stdout.Fd())), true},
		{"another family", event.KindSendto, send(socket(t, unix.AF_INET, unix.SOCK_DGRAM)), true},
		{"a new socket, while its family is the descriptor of a unix socket", event.KindSocket, func() {
			unix.Close(int(raw(unix.SYS_SOCKET, again, -1, 0))) // it need not succeed
		}, true},
		{"the name of a socket, which is not asked for by name", event.KindGetsockname, func() {
			raw(unix.SYS_GETSOCKNAME, listening, ptr(make([]byte, 128)), ptr(make([]byte, 4)))
		}, true},
		{"an accepted connection", event.KindAccept4, func() { unix.Close(int(raw(unix.SYS_ACCEPT4, listening, nil, nil, 0))) }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := Interest{Syscalls: ids("connect", "bind", "accept4", "sendto", "recvmsg", "socket", "getsockname"), Opens: filter, Sockets: sockets}
			tr := traceInterest(t, p, in, tc.call)
			want := tc.sent || thisObject(t) == "oldest"
			if sent := len(tr.of(tc.kind, os.Getpid())) > 0; sent != want {
				t.Errorf("sent %v, want %v", sent, want)
			}
		})
	}
}
