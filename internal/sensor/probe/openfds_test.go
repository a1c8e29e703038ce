package probe

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// An event has the types of all open descriptors, if requested.
//
// It shows a row of docs/compatibility.md.
func TestOpenFDs(t *testing.T) {
	p := loadOwn(t)
	if legacy() || !kernelCanCast(btf.NewCache()) {
		t.Skip("kernels before 6.2 do not tell")
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv6zero})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	dir, err := unix.Open(t.TempDir(), unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(dir)
	const high = 300
	if err := unix.Dup3(dir, high, 0); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(high)
	counter, err := unix.Eventfd(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(counter)

	for _, asked := range []bool{true, false} {
		tr := traceInterest(t, p, Interest{Syscalls: ids("unlinkat"), OpenFDs: asked}, func() { raw(unix.SYS_UNLINKAT, dir, "none", 0) })
		e := tr.one(event.KindUnlinkat)
		fds, told := e.OpenFDs()
		if told != asked {
			t.Fatalf("asked %v, told %v", asked, told)
		}
		if !asked {
			continue
		}
		for fd := range 64 {
			link, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
			kind, open, known := fds.At(int64(fd))
			if !known || open != (err == nil) {
				t.Errorf("descriptor %d: open %v, known %v; it is %q", fd, open, known, link)
			}
			if want, ok := byLink[strings.TrimRight(link, "[]0123456789")]; ok && kind != want {
				t.Errorf("descriptor %d: type %d, want %d for %s", fd, kind, want, link)
			}
		}
		for _, want := range []event.FDType{event.FDPipe, event.FDDirectory, event.FDEvent, event.FDIPv6, event.FDEventPoll} {
			if fds.Types&(1<<want) == 0 {
				t.Errorf("no descriptor of type %d in %b", want, fds.Types)
			}
		}
		if _, _, known := fds.At(high); known {
			t.Errorf("descriptor %d is known", high)
		}
	}
}

// byLink maps prefixes of the links in /proc/PID/fd to types.
var byLink = map[string]event.FDType{
	"pipe:": event.FDPipe, "anon_inode:[eventpoll": event.FDEventPoll, "anon_inode:[eventfd": event.FDEvent,
	"anon_inode:bpf-map": event.FDBPF, "anon_inode:bpf-prog": event.FDBPF, "/dev/null": event.FDFile,
}
