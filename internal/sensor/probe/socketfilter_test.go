package probe

import (
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan/pathset"
)

// Tests each fact that the probe knows about a call on a socket: with a filter
// that needs every combination containing that fact, a call is sent if the fact
// holds.
func TestSocketFacts(t *testing.T) {
	const ok, tcp, udp, connected, loopback = event.SocketSuccess, event.SocketTcp, event.SocketUdp, event.SocketConnected, event.SocketLoopback
	p := loadOwn(t)
	server4, port4 := listener(t, unix.AF_INET)
	server6, port6 := listener(t, unix.AF_INET6)
	dial := func(family, kind int, to []byte) int {
		fd := socket(t, family, kind)
		if res := raw(unix.SYS_CONNECT, fd, ptr(to), len(to)); res != 0 {
			t.Fatalf("connect: %d", res)
		}
		return fd
	}
	tcp4 := dial(unix.AF_INET, unix.SOCK_STREAM, sockaddr4(loopback4, port4))
	tcp6 := dial(unix.AF_INET6, unix.SOCK_STREAM, sockaddr6(loopback6, port6))
	peer := socket(t, unix.AF_INET, unix.SOCK_DGRAM)
	if err := unix.Bind(peer, &unix.SockaddrInet4{Addr: loopback4}); err != nil {
		t.Fatal(err)
	}
	to, other := sockaddr4(loopback4, localPort(t, peer)), sockaddr4(other4, 9)
	udp4, unconnected := dial(unix.AF_INET, unix.SOCK_DGRAM, to), socket(t, unix.AF_INET, unix.SOCK_DGRAM)
	idle := socket(t, unix.AF_INET, unix.SOCK_STREAM)
	rawSocket, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(rawSocket)
	if res := raw(unix.SYS_CONNECT, rawSocket, ptr(to), len(to)); res != 0 { // which gives it a port
		t.Fatalf("connect: %d", res)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range pair {
		defer unix.Close(fd)
	}
	data := []byte("x")
	send := func(fd int) func() {
		return func() { raw(unix.SYS_SENDTO, fd, ptr(data), 1, unix.MSG_NOSIGNAL, nil, 0) }
	}
	accept := func(server, port int) func() {
		family, to := unix.AF_INET, sockaddr4(loopback4, port)
		if server == server6 {
			family, to = unix.AF_INET6, sockaddr6(loopback6, port)
		}
		return func() {
			unix.Close(int(raw(unix.SYS_ACCEPT4, server, nil, nil, 0))) // one before it is in the queue
			dial(family, unix.SOCK_STREAM, to)
		}
	}
	for _, tc := range []struct {
		name string
		kind event.Kind
		call func()
		want event.SocketFacts
	}{
		{"TCP to loopback", event.KindSendto, send(tcp4), ok | tcp | connected | loopback},
		{"TCP to IPv6 loopback", event.KindSendto, send(tcp6), ok | tcp | connected},
		{"TCP without a connection", event.KindSendto, send(idle), tcp},
		{"UDP, connected", event.KindSendto, send(udp4), ok | udp | connected | loopback},
		{"UDP, not connected", event.KindSendto, func() {
			raw(unix.SYS_SENDTO, unconnected, ptr(data), 1, 0, ptr(to), len(to))
		}, ok | udp},
		{"UDP, to another than it is connected to", event.KindSendto, func() {
			raw(unix.SYS_SENDTO, udp4, ptr(data), 1, 0, ptr(other), len(other))
		}, ok | udp},
		{"unix", event.KindSendto, send(pair[0]), ok | event.SocketUnix | connected},
		{"raw, connected to loopback", event.KindSendto, send(rawSocket), ok | udp | connected},
		{"no socket", event.KindSendto, send(int(os.Stdout.Fd())), 0},
		{"no descriptor", event.KindSendto, send(-1), 0},
		{"an accepted connection", event.KindAccept4, accept(server4, port4), ok | tcp | connected | loopback},
		{"an accepted IPv6 connection", event.KindAccept4, accept(server6, port6), ok | tcp | connected},
		{"accept of no socket", event.KindAccept4, func() { raw(unix.SYS_ACCEPT4, -1, nil, nil, 0) }, 0},
		{"connect to loopback", event.KindConnect, func() { dial(unix.AF_INET, unix.SOCK_STREAM, sockaddr4(loopback4, port4)) }, ok | tcp | connected | loopback},
		{"listen", event.KindListen, func() { raw(unix.SYS_LISTEN, server4, 7) }, ok | tcp},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got event.SocketFacts
			for fact := event.SocketFacts(1); fact < event.NumSocketFacts; fact <<= 1 {
				var with uint64
				for f := range event.NumSocketFacts {
					if f&fact != 0 {
						with |= 1 << f
					}
				}
				filter := &SocketFilter{Always: map[event.Kind]uint64{tc.kind: with}}
				tr := traceInterest(t, p, Interest{Syscalls: ids(tc.kind.String()), Sockets: filter}, tc.call)
				if len(tr.of(tc.kind, os.Getpid())) > 0 {
					got |= fact
				}
			}
			if got != tc.want {
				t.Errorf("facts %#x, want %#x", got, tc.want)
			}
		})
	}
}

// The sender of the first datagram is known, whether its event was requested or
// not, and although the receiver did not ask who it was.
func TestSocketFilterLearnsRoles(t *testing.T) {
	for _, receives := range []uint64{0, ^uint64(0)} {
		p := loadOwn(t)
		server, client := socket(t, unix.AF_INET, unix.SOCK_DGRAM), socket(t, unix.AF_INET, unix.SOCK_DGRAM)
		// A port chosen by the kernel is not a server's.
		for _, fd := range []int{server, client} {
			if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: loopback4, Port: freePort(t)}); err != nil {
				t.Fatal(err)
			}
		}
		data, buf := []byte("x"), make([]byte, 10)
		to, back := sockaddr4(loopback4, localPort(t, server)), sockaddr4(loopback4, localPort(t, client))
		tr := traceInterest(t, p, Interest{Syscalls: ids("sendto", "recvfrom"), Sockets: &SocketFilter{Always: map[event.Kind]uint64{event.KindRecvfrom: receives}}}, func() {
			raw(unix.SYS_SENDTO, client, ptr(data), 1, 0, ptr(to), len(to))
			raw(unix.SYS_RECVFROM, server, ptr(buf), len(buf), 0, nil, nil)
			raw(unix.SYS_SENDTO, server, ptr(data), 1, 0, ptr(back), len(back))
		})
		sent, received := tr.of(event.KindSendto, os.Getpid()), len(tr.of(event.KindRecvfrom, os.Getpid()))
		if len(sent) != 2 || (received > 0) != (receives > 0) {
			t.Fatalf("%d sent and %d received, with receives %#x", len(sent), received, receives)
		}
		for i, want := range []event.FileFlags{event.FileClient, event.FileServer} {
			var file event.FileInfo
			if !sent[i].FileInfo(sent[i].Info().File, &file) || file.Flags&(event.FileClient|event.FileServer) != want {
				t.Errorf("message %d: flags %#x, want %#x, with receives %#x", i, file.Flags, want, receives)
			}
		}
	}
}

// Calls that are needed only of programs with some names.
func TestSocketFilterNames(t *testing.T) {
	p := loadOwn(t)
	set, err := pathset.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	all := ^uint64(0)
	for _, tc := range []struct {
		opens bool
		names map[string]uint64
		want  bool
	}{
		{true, map[string]uint64{"bash": all}, true},
		{true, map[string]uint64{"zsh": all}, false},
		{true, map[string]uint64{"bash": 0, "a name that no process has": all}, false},
		{false, map[string]uint64{"zsh": all}, true}, // without the other filter no name is known
	} {
		in := Interest{Syscalls: ids("connect"), Sockets: &SocketFilter{
			Always: map[event.Kind]uint64{event.KindConnect: 0}, Named: map[event.Kind]uint64{event.KindConnect: all}, Names: tc.names,
		}}
		if tc.opens {
			in.Opens = byFacts(set)
		}
		var pid int
		tr := traceInterest(t, p, in, func() {
			cmd := exec.Command("/bin/bash", "-c", "exec 3<>/dev/udp/127.0.0.1/9")
			if err := cmd.Run(); err != nil {
				t.Fatal(err)
			}
			pid = cmd.Process.Pid
		})
		if sent := len(tr.of(event.KindConnect, pid)) > 0; sent != tc.want {
			t.Errorf("names %v, opens filtered %v: sent %v, want %v", tc.names, tc.opens, sent, tc.want)
		}
	}
}

// Calls of names that do not fit into the table are always sent.
func TestNamesWithoutRoom(t *testing.T) {
	f := &SocketFilter{Always: map[event.Kind]uint64{event.KindConnect: 1}, Named: map[event.Kind]uint64{event.KindConnect: 6}, Names: map[string]uint64{}}
	for i := range maxNames/2 + 1 {
		f.Names[string(rune('a'+i%26))+num(i)] = 2
	}
	in := Interest{Sockets: f}
	names := in.names()
	if len(names) != maxNames/2 {
		t.Errorf("%d names", len(names))
	}
	table := f.table(names)
	if got, want := table[event.KindConnect], (socketNeeds{3, 6}); got != want {
		t.Errorf("needs %+v, want %+v", got, want)
	}
	if got := table[event.KindBind].Always; got != ^uint64(0) {
		t.Errorf("a kind that the filter does not speak of: needs %#x", got)
	}
	delete(f.Names, string(rune('a'))+num(0))
	if got := f.table(in.names())[event.KindConnect].Always; got != 1 {
		t.Errorf("with room for all names: needs %#x", got)
	}
}

// freePort is a UDP port that was free just now.
func freePort(t *testing.T) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: loopback4}); err != nil {
		t.Fatal(err)
	}
	return localPort(t, fd)
}
