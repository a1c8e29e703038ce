package needs

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// recorder is a test that notes how it ended.
type recorder struct {
	testing.TB
	ended string
}

func (r *recorder) Helper()               {}
func (r *recorder) Fatalf(string, ...any) { r.end("failed") }
func (r *recorder) Skipf(string, ...any)  { r.end("skipped") }

// end keeps the first end: a real test does not go on after it.
func (r *recorder) end(how string) {
	if r.ended == "" {
		r.ended = how
	}
}

// Within asks until it is so, or the time is over.
func TestWithin(t *testing.T) {
	n := 0
	if !Within(Patience, func() bool { n++; return n == 3 }) || n != 3 {
		t.Errorf("not seen in call 3 of %d", n)
	}
	if Within(-1, func() bool { n++; return false }) || n != 4 {
		t.Errorf("asked %d times, want 4", n)
	}
}

// The host is one test's at a time, until that ends.
func TestHost(t *testing.T) {
	root, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	another := func() error { return unix.Flock(int(root.Fd()), unix.LOCK_EX|unix.LOCK_NB) }
	t.Run("one", func(t *testing.T) {
		Host(t)
		if err := another(); err != unix.EWOULDBLOCK {
			t.Errorf("another test beside it: %v", err)
		}
	})
	if err := another(); err != unix.EWOULDBLOCK && err != nil { // a test of another package may have it now
		t.Error(err)
	}
}

func TestProgram(t *testing.T) {
	if path := Program(t, "sh"); !filepath.IsAbs(path) {
		t.Errorf("sh is %q", path)
	}
}

func TestNeeds(t *testing.T) {
	for _, test := range []struct {
		name string
		need func(testing.TB)
		met  bool
	}{
		{"root", Root, os.Geteuid() == 0},
		{"no error", func(t testing.TB) { That(t, "a mount", nil) }, true},
		{"an error", func(t testing.TB) { That(t, "a mount", errors.New("no")) }, false},
		{"programs", func(t testing.TB) { Programs(t, "sh", "cat") }, true},
		{"a program that is not there", func(t testing.TB) { Programs(t, "sh", "no-such-program") }, false},
	} {
		for value, want := range map[string]string{"": "skipped", "1": "failed"} {
			t.Setenv(required, value)
			r := &recorder{}
			if test.need(r); test.met && r.ended != "" || !test.met && r.ended != want {
				t.Errorf("%s with %s=%q: %q", test.name, required, value, r.ended)
			}
		}
	}
}
