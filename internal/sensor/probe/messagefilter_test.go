package probe

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// A message that opens a connection is a connect, also where nobody asks for
// messages on TCP sockets.
func TestUnneededMessageConnects(t *testing.T) {
	p := loadOwn(t)
	_, port := listener(t, unix.AF_INET)
	client, data, to := socket(t, unix.AF_INET, unix.SOCK_STREAM), []byte("x"), sockaddr4(loopback4, port)
	interest := Interest{Syscalls: ids("sendto", "connect"), Sockets: &SocketFilter{Always: map[event.Kind]uint64{event.KindSendto: 0}}}
	tr := traceInterest(t, p, interest, func() {
		for _, flags := range []int{unix.MSG_FASTOPEN, 0} {
			if n := raw(unix.SYS_SENDTO, client, ptr(data), 1, flags, ptr(to), len(to)); n != 1 {
				t.Errorf("sendto with flags %#x: %d", flags, n)
			}
		}
	})
	connects, messages := tr.of(event.KindConnect, os.Getpid()), tr.of(event.KindSendto, os.Getpid())
	if len(connects) != 1 || len(messages) != 0 {
		t.Errorf("%d connects and %d messages, want the first connect", len(connects), len(messages))
	}
}

// Of sockets that are neither of TCP, of UDP, nor unix ones, messages are left out,
// too, unless somebody asks for them.
func TestMessagesOnOtherSockets(t *testing.T) {
	p := loadOwn(t)
	fd := socket(t, unix.AF_NETLINK, unix.SOCK_RAW)
	none := event.SocketFacts(0)
	for _, tt := range []struct {
		needs uint64
		want  int
	}{{0, 0}, {1 << event.SocketTcp, 0}, {1 << none, 1}} {
		filter := &SocketFilter{Always: map[event.Kind]uint64{event.KindSendto: tt.needs}}
		tr := traceInterest(t, p, Interest{Syscalls: ids("sendto"), Sockets: filter}, func() {
			raw(unix.SYS_SENDTO, fd, ptr([]byte("x")), 0, 0, nil, -1) // fails
		})
		if got := len(tr.of(event.KindSendto, os.Getpid())); got != tt.want {
			t.Errorf("needs %#x: %d sent, want %d", tt.needs, got, tt.want)
		}
	}
}
