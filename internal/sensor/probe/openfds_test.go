package probe

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/test/support/needs"
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
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	counter, err := unix.Eventfd(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(counter)
	needs.That(t, "10000 descriptors", allowFDs(10_000))

	if fds, _ := fdsOfThread(t, p, 300, event.KindUnlink, event.KindExecve); fds != nil {
		t.Error("told, although asked for other events")
	}
	for _, high := range []int{300, 5000} {
		fds, links := fdsOfThread(t, p, high, event.KindUnlinkat, event.KindExecve)
		if fds == nil {
			t.Fatal("not told")
		}
		checkFDs(t, fds, links)
		if _, all := fds.All(); all != (high == 300) {
			t.Errorf("descriptor %d is open: all are told: %v", high, all)
		}
		for _, want := range []event.FDType{event.FDPipe, event.FDDirectory, event.FDEvent, event.FDIPv6, event.FDEventPoll} {
			if fds.Types&(1<<want) == 0 {
				t.Errorf("no descriptor of type %d in %b", want, fds.Types)
			}
		}
		if _, _, known := fds.At(int64(high)); known {
			t.Errorf("descriptor %d is known", high)
		}
	}
}

// allowFDs raises the limit of descriptors to n, if it is lower.
func allowFDs(n uint64) error {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil || l.Cur >= n {
		return err
	}
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: max(n, l.Max)})
}

// fdsOfThread is what an unlinkat tells when the probe is asked for the
// descriptors at these kinds of events, and the targets of the first descriptors
// in /proc. A thread with descriptors of its own, one of which is high, makes the
// call: nothing else closes them in between.
func fdsOfThread(t *testing.T, p *Probe, high int, kinds ...event.Kind) (told *event.OpenFDs, links [64]string) {
	t.Helper()
	in := Interest{Syscalls: ids("unlinkat")}
	for _, k := range kinds {
		in.OpenFDs.Add(k)
	}
	path := filepath.Join(t.TempDir(), "none")
	var tid int
	var err error
	tr := traceInterest(t, p, in, func() {
		done := make(chan struct{})
		go func() {
			defer close(done)
			runtime.LockOSThread() // the thread ends with the function
			if err = unix.Unshare(unix.CLONE_FILES); err != nil {
				return
			}
			if _, err = unix.FcntlInt(0, unix.F_DUPFD, high); err != nil {
				return
			}
			tid = unix.Gettid()
			raw(unix.SYS_UNLINKAT, unix.AT_FDCWD, path, 0)
			for fd := range links {
				links[fd], _ = os.Readlink(fmt.Sprintf("/proc/thread-self/fd/%d", fd))
			}
		}()
		<-done
	})
	if err != nil {
		t.Fatalf("thread with descriptor %d: %v", high, err)
	}
	tr.tid = uint32(tid)
	e := tr.one(event.KindUnlinkat)
	told, _ = e.OpenFDs()
	return told, links
}

// checkFDs compares the first descriptors with their links in /proc.
func checkFDs(t *testing.T, fds *event.OpenFDs, links [64]string) {
	t.Helper()
	for fd, link := range links {
		kind, open, known := fds.At(int64(fd))
		if !known || open != (link != "") {
			t.Errorf("descriptor %d: open %v, known %v; it is %q", fd, open, known, link)
		}
		if want, ok := byLink[strings.TrimRight(link, "[]0123456789")]; ok && kind != want {
			t.Errorf("descriptor %d: type %d, want %d for %s", fd, kind, want, link)
		}
	}
}

// byLink maps prefixes of the links in /proc/PID/fd to types.
var byLink = map[string]event.FDType{
	"pipe:": event.FDPipe, "anon_inode:[eventpoll": event.FDEventPoll, "anon_inode:[eventfd": event.FDEvent,
	"anon_inode:bpf-map": event.FDBPF, "anon_inode:bpf-prog": event.FDBPF, "/dev/null": event.FDFile,
}
