package field_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/test/support/corpus"
	"github.com/peregrine-sec/peregrine/test/support/fieldtest"
)

// procfs is a directory that looks like /proc for process 14.
func procfs(t testing.TB) string {
	root := t.TempDir()
	dir := filepath.Join(root, "14")
	for name, data := range map[string]string{
		"status": "Name:\tcat\nVmSize:\t  5000 kB\nVmRSS:\t  300 kB\nVmSwap:\t  7 kB\nThreads:\t3\n",
		"stat":   "14 (a) b) S 1 2 3 4 5 6 111 0 222 0 1 1 0 0 20 0 1 0 500 1 1",
		"limits": "Limit  Soft Limit  Hard Limit  Units\nMax open files            2048                 4096                 files\n",
		"net/tcp": "  sl  local_address rem_address   st\n" +
			"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 501 1\n" +
			"   1: 0100000A:9C40 0200000A:01BB 01 00000000:00000000 00:00000000 00000000     0        0 502 1\n",
		"net/tcp6": "  sl  local_address rem_address   st\n" +
			"   0: 00000000000000000000000001000000:0016 00000000000000000000000001000000:9C41 01 0:0 0:0 0 0 0 503 1\n",
		"net/unix": "Num RefCount Protocol Flags Type St Inode Path\n00000000: 00000002 00000000 00010000 0001 01 504 /run/a b\n",
		"fd/x":     "not a number",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for fd, to := range map[string]string{
		"0": "socket:[502]", "1": "pipe:[600]", "2": dir, "3": "anon_inode:[eventpoll]", "4": "/memfd:x (deleted)",
		"5": "socket:[501]", "6": "socket:[503]", "7": "socket:[504]", "8": "socket:[999]", "9": filepath.Join(dir, "stat"),
		"10": "strange",
	} {
		if err := os.Symlink(to, filepath.Join(dir, "fd", fd)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestProcfs shows a row of docs/compatibility.md.
func TestProcfs(t *testing.T) {
	w := shells(t)
	w.Context.Static.Proc = procfs(t)
	c := w.Event(t, 14, event.KindPoll, fieldtest.Text("fds", fds(5, 0, 1, 6, 77)))
	check(t, c, map[string]string{
		"proc.vmsize": "5000", "proc.vmrss": "300", "proc.vmswap": "7", "thread.vmsize": "5000", "thread.vmrss": "300",
		"thread.pfminor": "111", "thread.pfmajor": "222", "proc.nthreads": "3", "proc.nchilds": "2",
		"proc.fdopencount": "12", "proc.fdlimit": "2048", "proc.fdusage": "0.5859375",
		"proc.stdin.type": "ipv4", "proc.stdin.name": "10.0.0.1:40000->10.0.0.2:443",
		"proc.stdout.type": "pipe", "proc.stdout.name": "pipe:[600]", "proc.stderr.type": "directory",
		"fd.types":    "directory,eventpoll,file,ipv4,ipv6,memfd,pipe,unix",
		"fd.types[7]": "unix", "fd.types[99]": "-",
		"fdlist.nums": "5,0,1,6,77", "fdlist.names": "127.0.0.1:8080,10.0.0.1:40000->10.0.0.2:443,pipe:[600],::1:40001->::1:22",
		"fdlist.sips": "127.0.0.1,10.0.0.2,::1", "fdlist.cips": "10.0.0.1,::1", "fdlist.sports": "8080,443,22", "fdlist.cports": "40000,40001",
		"evt.arg.fds": "5:41 0:41 1:p1 6:61 77:?1",
	})
}

// What an event tells of descriptors counts, and /proc only says what it leaves
// open: those above 63, and all types where the probe has not looked at all.
func TestOpenFDsOfEvent(t *testing.T) {
	const told, more = 1 << 4, 1 << 63 // EVENT_OPEN_FDS, FDS_MORE of probe/bpf
	w := shells(t)
	w.Context.Static.Proc = procfs(t)
	for _, tt := range []struct{ types, want string }{{"whole", "inotify"}, {"more", "directory,eventpoll,file,ipv4,ipv6,memfd,pipe,unix"}} {
		c := w.Event(t, 14, event.KindClose)
		fds := event.OpenFDs{Types: 1 << event.FDInotify}
		if tt.types == "more" {
			fds.Types |= more
		}
		for i := range fds.Of {
			fds.Of[i] = 0xff // FD_CLOSED
		}
		fds.Of[1] = uint8(event.FDInotify)
		h := *c.Event.Header()
		var b event.Builder
		h.Flags |= told
		b.Start(event.KindClose, h)
		raw, err := binary.Append(b.Finish(), binary.NativeEndian, fds)
		if err != nil {
			t.Fatal(err)
		}
		binary.NativeEndian.PutUint32(raw[8:], uint32(len(raw))) // Header.Len
		if err := c.Event.Reset(raw); err != nil {
			t.Fatal(err)
		}
		check(t, c, map[string]string{"fd.types": tt.want, "proc.stdin.type": "-", "proc.stdout.type": "inotify", "fd.types[7]": "-", "fd.types[99]": "-"})
	}
}

// fds encodes an FDList of these descriptors, each waiting for POLLIN.
func fds(list ...int64) string {
	var b bytes.Buffer
	b.Write(binary.NativeEndian.AppendUint16(nil, uint16(len(list))))
	for _, fd := range list {
		b.Write(binary.NativeEndian.AppendUint64(nil, uint64(fd)))
		b.Write([]byte{1, 0})
	}
	return b.String()
}

func TestProcfsGone(t *testing.T) {
	w := shells(t)
	w.Context.Static.Proc = t.TempDir()
	check(t, w.Event(t, 14, event.KindClose), map[string]string{
		"proc.vmsize": "-", "proc.fdopencount": "-", "proc.fdlimit": "1024", "proc.fdusage": "-", "proc.stdin.type": "-", "fd.types": "-", "proc.nthreads": "1", "thread.pfmajor": "0",
	})
}

// Checks against the real /proc, in case the imitation above is wrong.
func TestProcfsReal(t *testing.T) {
	pid := os.Getpid()
	w := fieldtest.New(t, fieldtest.Proc{PID: pid, Comm: "test"})
	w.Context.Static.Proc = "/proc"
	c := w.Event(t, pid, event.KindClose)
	for _, name := range []string{"proc.vmsize", "proc.vmrss", "proc.nthreads", "proc.fdopencount", "fd.types", "proc.stdin.type"} {
		if got := value(t, c, name); got == "-" || got == "0" || got == "" {
			t.Errorf("%s = %q", name, got)
		}
	}
}

// Every field that the rule files of the corpus show or ask for is in the
// catalogue.
func TestCorpusFields(t *testing.T) {
	var files []string
	for _, set := range corpus.Rules(t) {
		files = append(files, set.Files...)
	}
	names := regexp.MustCompile(`\b(?:evt|proc|thread|user|group|fd|fs|container|k8s)\.[a-z_.0-9]*[a-z_0-9](?:\[[^\]]*\])?`)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		comments := regexp.MustCompile(`(?m)^\s*#.*$`)
		for _, name := range names.FindAllString(comments.ReplaceAllString(string(data), ""), -1) {
			if _, _, err := field.Lookup(name); err != nil && !notFields[name] {
				t.Errorf("%s: %v", filepath.Base(file), err)
			}
		}
	}
}

// notFields look like fields, but are values, or names in a description.
var notFields = map[string]bool{"k8s.io": true, "user.log": true, "evt.arg.res_or_fd": true}
