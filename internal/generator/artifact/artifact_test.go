package artifact

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	check(t, os.WriteFile(path, []byte(text), 0o644))
}

// Whatever happens to an artifact, or puts in its place, is left.
func TestRemove(t *testing.T) {
	rewrite := func(text string) func(*testing.T, string) {
		return func(t *testing.T, path string) { write(t, path, text) }
	}
	nothing := func(*testing.T, string) {}
	replace := func(text string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			write(t, path+".new", text)
			check(t, os.Rename(path+".new", path))
		}
	}
	for name, test := range map[string]struct {
		artifact Artifact
		meddle   func(t *testing.T, path string)
		left     string // part of the reason; "" if it is removed
	}{
		"file":           {Artifact{Kind: File, Content: "abc"}, nothing, ""},
		"empty file":     {Artifact{Kind: File}, nothing, ""},
		"half written":   {Artifact{Kind: File, Content: "abc"}, rewrite("ab"), ""},
		"appended to":    {Artifact{Kind: File, Content: "abc"}, rewrite("abcd"), "content"},
		"rewritten":      {Artifact{Kind: File, Content: "abc"}, rewrite("axc"), "content"},
		"replaced":       {Artifact{Kind: File, Content: "abc"}, replace("abc"), "another inode"},
		"file, now link": {Artifact{Kind: File, Content: "abc"}, func(t *testing.T, path string) { check(t, os.Remove(path)); check(t, os.Symlink("abc", path)) }, "left"},
		"file, now pipe": {Artifact{Kind: File, Content: "abc"}, func(t *testing.T, path string) { check(t, os.Remove(path)); check(t, unix.Mkfifo(path, 0o600)) }, "left"},
		"copy":           {Artifact{Kind: File, CopyOf: "/proc/self/exe"}, nothing, ""},
		"half a copy":    {Artifact{Kind: File, CopyOf: "/proc/self/exe"}, func(t *testing.T, path string) { check(t, os.Truncate(path, 100_000)) }, ""},
		"changed copy":   {Artifact{Kind: File, CopyOf: "/proc/self/exe"}, rewrite("text"), "content"},
		"lost original":  {Artifact{Kind: File, CopyOf: "/nonexistent"}, rewrite("text"), "content"},
		"link":           {Artifact{Kind: Link, Content: "/etc"}, nothing, ""},
		"other link":     {Artifact{Kind: Link, Content: "/etc"}, func(t *testing.T, path string) { check(t, os.Remove(path)); check(t, os.Symlink("/usr", path)) }, "left"},
		"directory":      {Artifact{Kind: Directory}, nothing, ""},
		"used directory": {Artifact{Kind: Directory}, func(t *testing.T, path string) { write(t, path+"/precious", "x") }, `"precious"`},
		"gone":           {Artifact{Kind: File}, func(t *testing.T, path string) { check(t, os.Remove(path)) }, ""},
	} {
		for _, identified := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				if !identified && name == "replaced" {
					return // by the same content: nothing tells it apart
				}
				a := test.artifact
				a.Path = filepath.Join(t.TempDir(), "artifact")
				make1(t, a)
				if identified {
					check(t, a.Identify())
				}
				test.meddle(t, a.Path)
				_, before := os.Lstat(a.Path)
				did, err := a.Remove()
				var left *Left
				if test.left != "" && (!errors.As(err, &left) || did || !strings.Contains(err.Error(), test.left) || left.Path != a.Path) {
					t.Errorf("%v, %v; want it left: %s", did, err, test.left)
				}
				if test.left == "" && (err != nil || did != (before == nil)) {
					t.Errorf("%v, %v", did, err)
				}
				if _, err := os.Lstat(a.Path); (err == nil) != (test.left != "") {
					t.Errorf("afterwards: %v", err)
				}
			})
		}
	}
}

func make1(t *testing.T, a Artifact) {
	t.Helper()
	switch a.Kind {
	case File:
		text := []byte(a.Content)
		if a.CopyOf != "" {
			text, _ = os.ReadFile(a.CopyOf)
		}
		write(t, a.Path, string(text))
	case Link:
		check(t, os.Symlink(a.Content, a.Path))
	case Directory:
		check(t, os.Mkdir(a.Path, 0o755))
	}
}

// A hard link is removed while it is one.
func TestName(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "precious")
	a := Artifact{Path: file + "-name", Kind: Name, Content: file}
	check(t, os.Link(file, a.Path))
	if did, err := a.Remove(); !did || err != nil {
		t.Errorf("%v, %v", did, err)
	}
	write(t, a.Path, "precious")
	var left *Left
	if did, err := a.Remove(); did || !errors.As(err, &left) {
		t.Errorf("another file: %v, %v", did, err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "precious" {
		t.Errorf("%q, %v", text, err)
	}
}
