package probe

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan/pathset"
)

// byFacts is a filter with a need of one clause in each combination of facts.
func byFacts(set *pathset.Set) *OpenFilter {
	all := ^uint64(0)
	f := &OpenFilter{Paths: set, Rest: [pathset.NumClauses]uint64{0, all, all, all}}
	for facts := range f.Facts {
		f.Facts[facts] = 1 << facts
	}
	return f
}

// askOpens has the probe send opens that these patterns ask for.
func askOpens(t *testing.T, p *Probe, patterns ...pathset.Pattern) {
	t.Helper()
	set, err := pathset.New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.SetInterest(Interest{Syscalls: ids("openat"), Opens: byFacts(set)}); err != nil {
		t.Fatal(err)
	}
}

// asked meets the first clause of needs.
func asked(needs uint64) pathset.Clauses {
	return pathset.Clauses{Met: [pathset.NumClauses]uint64{needs}}
}

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
	const readDirectory, writeFailed = 1 << (event.FactRead | event.FactSuccess | event.FactDirectory), 1 << (event.FactRead | event.FactWrite)
	const readOK, readFailed, created = 1 << (1 | 4), 1 << 1, 1 << (event.FactRead | event.FactSuccess | event.FactCreate)
	set, err := pathset.New([]pathset.Pattern{
		{Text: dir + "/secret", Kind: pathset.Exact, Mask: asked(readOK | readFailed)},
		{Text: dir + "/deep/", Kind: pathset.Prefix, Mask: asked(readOK)},
		{Text: ".key", Kind: pathset.Suffix, Mask: asked(readOK)},
		{Text: "/missing", Kind: pathset.Contains, Mask: asked(readFailed)},
		{Text: "raw", Kind: pathset.Exact, Mask: asked(readOK)},
		{Text: dir + "/other", Kind: pathset.Exact, Mask: asked(created)},
		{Text: filepath.Dir(dir), Kind: pathset.Exact, Mask: asked(writeFailed)},
		{Text: "/..", Kind: pathset.Suffix, Mask: asked(readDirectory)},
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
		{long + "/other", unix.O_RDONLY, thisObject(t) == "oldest"},
		{dir + "/nothing", unix.O_RDONLY, false},
		{dir + "/missing", unix.O_RDONLY, true},
		{dir + "/new", unix.O_RDWR | unix.O_TMPFILE, true},
		{dir, unix.O_DIRECTORY, false},
		{"..", unix.O_RDWR, true}, // by its name
		{"..", unix.O_RDONLY, false},
		{"sub/..", unix.O_RDONLY, true},       // by its text
		{dir + "/other", unix.O_CREAT, false}, // it has a mode of setuid files
		{dir + "/other", unix.O_CREAT | unix.O_PATH, true},
	} {
		tr := &tracer{t: t, probe: p}
		tr.drain(now())
		if err := p.SetInterest(Interest{Syscalls: ids("openat"), Opens: byFacts(set)}); err != nil {
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

// Paths are read in pieces; the longest are always sent.
func TestOpenFilterLong(t *testing.T) {
	p := loadOwn(t)
	dir := cwd(t, t.TempDir())
	const failed = 1 << 1
	set, err := pathset.New([]pathset.Pattern{
		{Text: "/missing", Kind: pathset.Contains, Mask: asked(failed)},
		{Text: dir + "/not", Kind: pathset.Prefix, Mask: pathset.Clauses{Excluded: failed}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.SetInterest(Interest{Syscalls: ids("openat"), Opens: byFacts(set)}); err != nil {
		t.Fatal(err)
	}
	tr := &tracer{t: t, probe: p}
	check := func(path string, want bool) {
		t.Helper()
		tr.drain(now())
		if fd := raw(unix.SYS_OPENAT, unix.AT_FDCWD, path, unix.O_RDONLY, 0); fd >= 0 {
			t.Fatalf("%s is there", path)
		}
		sent := false
		for _, e := range tr.drain(now()) {
			name, _ := openName(&e)
			sent = sent || name == path
		}
		if sent != want {
			t.Errorf("path of %d bytes, ...%s: sent %v, want %v", len(path), path[len(path)-12:], sent, want)
		}
	}
	pad := func(path string, n int) string { return path + strings.Repeat("x", n-len(path)) }
	always := func(n int) bool { return thisObject(t) == "oldest" && n >= 255 }
	for _, n := range []int{200, 246, 247, 248, 249, 250, 251, 252, 253, 254, 255, 256, 300, 505, 506, 507, 508, 509, 510, 760, 765, 1000} {
		check(pad(dir+"/", n), always(n))
		check(pad(dir+"/", n)+"/", always(n+1))
		check(pad(dir+"/", n)+"/missing", true)
		check(pad(dir+"/not", n)+"/missing", always(n+8))
		check(pad("rel", n), !judgesRelative(t) || len(dir)+1+n >= 1020)
		check(pad("rel", n-len(dir))+"/missing", true)
	}
	check(pad(dir+"/", 1019), always(1019))
	check(pad(dir+"/", 1020), true)
	check(pad(dir+"/", 4000), true)
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
		filter := byFacts(set)
		filter.Names = names
		if err := p.SetInterest(Interest{Syscalls: ids("openat"), Opens: filter}); err != nil {
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
