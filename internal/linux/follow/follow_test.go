package follow

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func poll(t *testing.T, f *File) []string {
	t.Helper()
	var lines []string
	if err := f.Poll(func(b []byte) { lines = append(lines, string(b)) }); err != nil {
		t.Fatal(err)
	}
	return lines
}

func write(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func TestAppearsLater(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	f, err := Open(path, true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := poll(t, f); got != nil {
		t.Errorf("lines %q of a file that is not there", got)
	}
	write(t, path, "a\nb\n\nc")
	if diff := cmp.Diff([]string{"a", "b", ""}, poll(t, f)); diff != "" {
		t.Error(diff)
	}
	write(t, path, "\n")
	if diff := cmp.Diff([]string{"c"}, poll(t, f)); diff != "" {
		t.Error(diff)
	}
}

func TestFromEndKeepsUnfinishedLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "old\n"+strings.Repeat("x", 300<<10))
	f, err := Open(path, true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	write(t, path, "\nnew\n")
	got := poll(t, f)
	if len(got) != 2 || len(got[0]) != 300<<10 || got[1] != "new" {
		t.Errorf("%d lines, want the long unfinished one and new", len(got))
	}
}

func TestOverlongLineIsDroppedAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "a\n"+strings.Repeat("x", 3<<20)+"\nb\n")
	f, err := Open(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if diff := cmp.Diff([]string{"a", "b"}, poll(t, f)); diff != "" {
		t.Error(diff)
	}
}

// A line that is too long is told once, however it comes, and its neighbours are
// handed out.
func TestMaxLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	f, err := Open(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	told := 0
	f.MaxLine, f.TooLong = 3, func() { told++ }
	var got []string
	for _, part := range []string{"abc\nabcd\nab", "cd", "e\nabc\n", "abcd", "\nab\n"} {
		write(t, path, part)
		got = append(got, poll(t, f)...)
	}
	if diff := cmp.Diff([]string{"abc", "abc", "ab"}, got); diff != "" || told != 3 {
		t.Errorf("told of %d, want 3\n%s", told, diff)
	}
}

// A line that nothing ends any more is handed out if that is asked for, and never
// joined with one of another file.
func TestCut(t *testing.T) {
	for cut, want := range map[bool][]string{false: {"a", "b", "c"}, true: {"a", "half", "b", "half again", "c"}} {
		path := filepath.Join(t.TempDir(), "f")
		write(t, path, "a\nhalf")
		f, err := Open(path, false)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		f.Cut = cut
		got := poll(t, f)
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		write(t, path, "b\nhalf again")
		got = append(got, poll(t, f)...)
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
		write(t, path, "c\n")
		if diff := cmp.Diff(want, append(got, poll(t, f)...)); diff != "" {
			t.Errorf("cut %v: %s", cut, diff)
		}
	}
}

// Lines that come between a look at a file and its rotation are not lost.
func TestLateLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "seen\n")
	f, err := Open(path, true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := poll(t, f) // the last look
	write(t, path, "late\n")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write(t, path, "new\n")
	if diff := cmp.Diff([]string{"late", "new"}, append(got, poll(t, f)...)); diff != "" {
		t.Error(diff)
	}
}

func TestRotationTwiceBetweenPolls(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "1\n")
	f, err := Open(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	poll(t, f)
	write(t, path, "2\n")
	os.Rename(path, path+".1")
	if got := poll(t, f); len(got) != 1 || got[0] != "2" {
		t.Errorf("after the rename: %q, want 2", got)
	}
	write(t, path, "3\n")
	if got := poll(t, f); len(got) != 1 || got[0] != "3" {
		t.Errorf("new file: %q, want 3", got)
	}
}

// Anything but a regular file is refused at once, at the start and in place of
// a followed file: nothing waits for a pipe, or reads a device for ever.
func TestNoFile(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"pipe":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"device":    func(path string) error { return os.Symlink("/dev/zero", path) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			write(t, path, "a\n")
			f, err := Open(path, false)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := errors.Join(os.Remove(path), put(path)); err != nil {
				t.Fatal(err)
			}
			var lines []string
			err = f.Poll(func(b []byte) { lines = append(lines, string(b)) })
			if err == nil || !strings.Contains(err.Error(), "not a regular file") || len(lines) != 1 {
				t.Errorf("lines %q, error %v", lines, err)
			}
			for _, fromEnd := range []bool{false, true} {
				if f, err := Open(path, fromEnd); err == nil {
					f.Close()
					t.Error("opened")
				}
			}
		})
	}
}

// A link that leads nowhere is a file that is not there yet.
func TestDanglingLink(t *testing.T) {
	dir := t.TempDir()
	path, target := filepath.Join(dir, "f"), filepath.Join(dir, "target")
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path, true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := poll(t, f); got != nil {
		t.Errorf("lines %q", got)
	}
	write(t, target, "a\n")
	if diff := cmp.Diff([]string{"a"}, poll(t, f)); diff != "" {
		t.Error(diff)
	}
}
