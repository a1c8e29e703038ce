package config

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A pipe, as of a shell's <(command), is read once; it does not change.
func TestFilesPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w.WriteString("all")
	w.Close()
	files := NewFiles()
	for range 2 { // a reload gets the content read at start
		got, err := files.Read("/proc/self/fd/"+strconv.Itoa(int(r.Fd())), 1000)
		if err != nil || string(got) != "all" {
			t.Errorf("%q, %v", got, err)
		}
	}
	if paths := files.Paths(); len(paths) > 0 {
		t.Errorf("%q would be watched", paths)
	}
}

// A change is a change of content: of a file, of a directory's entries, of
// existence. Devices and pipes do not change.
func TestFilesChanged(t *testing.T) {
	dir := t.TempDir()
	file, below, absent := filepath.Join(dir, "falco.yaml"), filepath.Join(dir, "rules.d"), filepath.Join(dir, "absent.yaml")
	reset := func() *Files {
		os.RemoveAll(below)
		os.RemoveAll(absent)
		os.RemoveAll(file)
		if err := os.Mkdir(below, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, file, "a")
		write(t, below+"/x.yaml", "x")
		f := NewFiles()
		for _, path := range []string{below, absent} {
			list, err := f.Below(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range append(list, file, "/dev/null") {
				if _, err := f.Read(path, 1000); err != nil {
					t.Fatal(err)
				}
			}
		}
		return f
	}
	if f := reset(); f.Changed() || !slices.Equal(f.Paths(), []string{absent, file, below, below + "/x.yaml"}) {
		t.Errorf("changed %v, paths %q", f.Changed(), f.Paths())
	}
	for _, tt := range []struct {
		name    string
		change  func()
		changed bool
	}{
		{"written with the same", func() { write(t, file, "a") }, false},
		{"other times", func() { _ = os.Chtimes(file, time.Unix(1, 0), time.Unix(1, 0)) }, false},
		{"a file of another kind in the directory", func() { write(t, below+"/README", "r") }, false},
		{"written", func() { write(t, file, "b") }, true},
		{"removed", func() { os.Remove(file) }, true},
		{"grown too long", func() { write(t, file, strings.Repeat("a", 1001)) }, true},
		{"one more in the directory", func() { write(t, below+"/y.yaml", "y") }, true},
		{"one less in the directory", func() { os.Remove(below + "/x.yaml") }, true},
		{"the directory removed", func() { os.RemoveAll(below) }, true},
		{"another in the directory", func() { write(t, below+"/x.yaml", "y") }, true},
		{"absent came", func() { write(t, absent, "") }, true},
		{"absent came as a directory", func() { _ = os.MkdirAll(absent, 0o700); write(t, absent+"/z.yaml", "") }, true},
		{"became a directory", func() { os.Remove(file); _ = os.Mkdir(file, 0o700) }, true},
	} {
		f := reset()
		tt.change()
		if got := f.Changed(); got != tt.changed {
			t.Errorf("%s: changed %v", tt.name, got)
		}
	}
}
