package probe

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan/pathset"
)

// Opens that the filter rules out are counted and not sent; all that it may
// need are sent.
func TestOpenFilter(t *testing.T) {
	p := loadOwn(t)
	dir := cwd(t, t.TempDir())
	if err := os.Mkdir("sub", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"secret", "other", "x.key", "raw", "sub/x"} {
		write(t, name, "x")
	}
	if err := os.Symlink("secret", "link"); err != nil {
		t.Fatal(err)
	}
	// A path that leads so deep is cut by the objects for older kernels.
	deep := "deep" + strings.Repeat("/d", 60)
	if err := errors.Join(os.MkdirAll(deep, 0o700), os.WriteFile(deep+"/file", nil, 0o600), os.Symlink(deep+"/file", "shallow")); err != nil {
		t.Fatal(err)
	}
	const readOK, readFailed, created = 1 << (1 | 4), 1 << 1, 1 << (event.FactRead | event.FactSuccess | event.FactCreate)
	set, err := pathset.New([]pathset.Pattern{
		{Text: dir + "/secret", Kind: pathset.Exact, Mask: readOK | readFailed},
		{Text: dir + "/deep/", Kind: pathset.Prefix, Mask: readOK},
		{Text: ".key", Kind: pathset.Suffix, Mask: readOK},
		{Text: "/missing", Kind: pathset.Contains, Mask: readFailed},
		{Text: "raw", Kind: pathset.Exact, Mask: readOK},
		{Text: dir + "/other", Kind: pathset.Exact, Mask: created},
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
		{dir + "/shallow", unix.O_RDONLY, true},
		{"other", unix.O_RDONLY, false},
		{"secret", unix.O_RDONLY, true}, // by its absolute path
		{"link", unix.O_RDONLY, true},
		{"sub/../other", unix.O_RDONLY, false}, // the rules' patterns cover such paths, if needed
		{"missing", unix.O_RDONLY, true},
		{"nothing", unix.O_RDONLY, false},
		{"raw", unix.O_RDONLY, true}, // as given
		{dir + "/raw", unix.O_RDONLY, false},
		{".", unix.O_DIRECTORY, false},
		{long + "/other", unix.O_RDONLY, true},
		{dir + "/nothing", unix.O_RDONLY, false},
		{dir + "/missing", unix.O_RDONLY, true},
		{dir + "/new", unix.O_RDWR | unix.O_TMPFILE, true},
		{dir, unix.O_DIRECTORY, false},
		{dir + "/other", unix.O_CREAT, false}, // it has a mode of setuid files
		{dir + "/other", unix.O_CREAT | unix.O_PATH, true},
	} {
		tr := &tracer{t: t, probe: p}
		tr.drain(now())
		if err := p.SetInterest(Interest{Syscalls: ids("openat"), Opens: &OpenFilter{Paths: set, Always: 0}}); err != nil {
			t.Fatal(err)
		}
		fd := raw(unix.SYS_OPENAT, unix.AT_FDCWD, tc.path, tc.flags, 0o4600)
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
		want := tc.sent || tc.path[0] != '/' && !judgesRelative(t)
		if sent != want {
			t.Errorf("%s with %#o: sent %v, want %v", tc.path, tc.flags, sent, want)
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

// A process that the rules name, however it calls itself since its exec.
func TestOpenFilterNames(t *testing.T) {
	p := loadOwn(t)
	set, err := pathset.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	all := ^uint64(0)
	opens := func(names map[string]uint64, script string) (n int) {
		t.Helper()
		tr := &tracer{t: t, probe: p}
		tr.drain(now())
		if err := p.SetInterest(Interest{Syscalls: ids("openat"), Opens: &OpenFilter{Paths: set, Names: names}}); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("/bin/sh", "-c", script)
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		for _, e := range tr.drain(now()) {
			if path, _ := openName(&e); path == "/etc/hostname" {
				n++
			}
		}
		return n
	}
	for _, tc := range []struct {
		names  map[string]uint64
		script string
		want   int
	}{
		{map[string]uint64{"cat": all}, "cat /etc/hostname", 1},
		{map[string]uint64{"cat": 0, "tac": all}, "cat /etc/hostname", 0},
		{map[string]uint64{"sh": all}, "( read x < /etc/hostname ); true", 1}, // the fork has its parent's name
		{map[string]uint64{"sh": all}, "cat /etc/hostname; true", 0},
		{map[string]uint64{"sh": all}, "echo other > /proc/self/comm; read x < /etc/hostname", 1},
		{nil, "cat /etc/hostname", 0},
	} {
		if got := opens(tc.names, tc.script); got != tc.want {
			t.Errorf("names %v, %q: %d opens, want %d", tc.names, tc.script, got, tc.want)
		}
	}
}

// judgesRelative says whether the filter can rule out opens of relative paths.
func judgesRelative(t *testing.T) bool { return thisObject(t) != "oldest" }

func openName(e *recorded) (string, bool) {
	if e.Kind() != event.KindOpenat {
		return "", false
	}
	return e.Str(e.Info().Slot("name"))
}
