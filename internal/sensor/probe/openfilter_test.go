package probe

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan/pathset"
)

// Opens that the filter does not ask for are counted and not sent; those that
// it might ask for are sent.
func TestOpenFilter(t *testing.T) {
	needBPF(t)
	p, err := Load(Options{CPUsPerRing: 1, Legacy: legacy()})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	dir := cwd(t, t.TempDir())
	for _, name := range []string{"secret", "other", "x.key"} {
		write(t, name, "x")
	}
	if err := os.Symlink("secret", "link"); err != nil {
		t.Fatal(err)
	}
	const readOK, readFailed = 1 << (1 | 4), 1 << 1
	set, err := pathset.New([]pathset.Pattern{
		{Text: dir + "/secret", Kind: pathset.Exact, Mask: readOK | readFailed},
		{Text: ".key", Kind: pathset.Suffix, Mask: readOK},
		{Text: "/missing", Kind: pathset.Contains, Mask: readFailed},
	})
	if err != nil {
		t.Fatal(err)
	}
	long := dir
	for len(long) < 300 {
		long += "/."
	}
	for _, tc := range []struct {
		path  string
		flags int
		sent  bool
	}{
		{dir + "/secret", unix.O_RDONLY, true},
		{dir + "/secret", unix.O_WRONLY, false},
		{dir + "/other", unix.O_RDONLY, false},
		{dir + "/x.key", unix.O_RDONLY, true},
		{dir + "/link", unix.O_RDONLY, true}, // by where it leads
		{"other", unix.O_RDONLY, true},       // relative: nothing can be said
		{long + "/other", unix.O_RDONLY, true},
		{dir + "/nothing", unix.O_RDONLY, false},
		{dir + "/missing", unix.O_RDONLY, true},
		{dir + "/new", unix.O_RDWR | unix.O_TMPFILE, true},
		{dir, unix.O_DIRECTORY, false},
	} {
		tr := &tracer{t: t, probe: p}
		tr.drain(now())
		if err := p.SetInterest(Interest{Syscalls: ids("openat"), Opens: &OpenFilter{Paths: set, Always: 0}}); err != nil {
			t.Fatal(err)
		}
		fd := raw(unix.SYS_OPENAT, unix.AT_FDCWD, tc.path, tc.flags, 0o600)
		if fd >= 0 {
			unix.Close(int(fd))
		}
		sent := false
		for _, e := range tr.drain(now()) {
			if e.Kind() != event.KindOpenat || e.Header().PID != uint32(os.Getpid()) {
				continue
			}
			if path, _ := e.Str(e.Info().Slot("name")); path == tc.path {
				sent = true
			}
		}
		if sent != tc.sent {
			t.Errorf("%s with %#o: sent %v, want %v", tc.path, tc.flags, sent, tc.sent)
		}
	}
	if err := p.Detach(); err != nil {
		t.Fatal(err)
	}
	c, err := p.Counters()
	if err != nil {
		t.Fatal(err)
	}
	if c.Filtered < 4 || c.Seen != c.Filtered+c.Delivered+c.Dropped() {
		t.Errorf("counters %+v", c)
	}
}
