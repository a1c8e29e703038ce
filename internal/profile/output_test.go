package profile

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// An older file stays as it was until there is a whole new one.
func TestOutput(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "p.json"), filepath.Join(dir, "link.json")
	check(t, os.WriteFile(path, []byte("old"), 0o600))
	check(t, os.Symlink("p.json", link))
	text := func() string {
		text, err := os.ReadFile(path)
		check(t, err)
		return string(text)
	}
	o, err := Create(link)
	check(t, err)
	check(t, o.Discard())
	if text() != "old" {
		t.Errorf("discarded: %q", text())
	}
	if err := (&Profile{Rate: math.NaN()}).WriteFile(link); err == nil || !strings.Contains(err.Error(), "p.json") || text() != "old" {
		t.Errorf("no JSON of it: %v, %q", err, text())
	}
	check(t, sample().WriteFile(link))
	if _, err := ReadFile(path); err != nil {
		t.Error(err)
	}
	info, err := os.Stat(path)
	check(t, err)
	left, err := os.ReadDir(dir)
	check(t, err)
	if info.Mode() != 0o600 || len(left) != 2 {
		t.Errorf("mode %v, %v", info.Mode(), left)
	}
}

// An unwritable output is an error before the profile is made.
func TestOutputRefused(t *testing.T) {
	for _, path := range []string{t.TempDir(), "/nowhere/p.json", "/proc/p.json"} {
		if o, err := Create(path); err == nil {
			t.Errorf("%s: no error", path)
			check(t, o.Discard())
		}
	}
	check(t, sample().WriteFile(os.DevNull))
	if info, err := os.Stat(os.DevNull); err != nil || info.Mode().IsRegular() {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}
