package journal

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

const dead = `{"owner_pid":999999999,"owner_start":1}` + "\n"

// A file that another user may have written, or that is not a journal, is not
// undone; it stays in place and the error names it.
func TestHostileJournals(t *testing.T) {
	write := func(text string, mode os.FileMode) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			check(t, os.WriteFile(path, []byte(text), 0o600))
			check(t, os.Chmod(path, mode))
		}
	}
	for name, test := range map[string]struct {
		make func(t *testing.T, path string)
		want string // of the error
	}{
		"writable for the group": {write(dead+"\"x\"\n", 0o620), "mode 0620"},
		"readable for all":       {write(dead+"\"x\"\n", 0o604), "mode 0604"},
		"no owner":               {write("", 0o600), "names no owner"},
		"half an owner":          {write(`{"owner_pid":9999`, 0o600), "names no owner"},
		"another file":           {write("{}\n\"x\"\n", 0o600), ":1: expected the owner"},
		"garbage":                {write("\x00\xff{{{\n", 0o600), ".journal:1:"},
		"garbage entry":          {write(dead+"\"x\"\n{\"a\":\n", 0o600), ".journal:3:"},
		"link": {func(t *testing.T, path string) {
			target := path + "-target"
			write(dead+"\"x\"\n", 0o600)(t, target)
			check(t, os.Symlink(target, path))
		}, "too many levels of symbolic links"},
		"hard link": {func(t *testing.T, path string) {
			write(dead+"\"x\"\n", 0o600)(t, path)
			check(t, os.Link(path, path+"-other"))
		}, "2 names"},
		"pipe":      {func(t *testing.T, path string) { check(t, unix.Mkfifo(path, 0o600)) }, "not a regular file"},
		"directory": {func(t *testing.T, path string) { check(t, os.Mkdir(path, 0o700)) }, "is a directory"},
		"another user's": {func(t *testing.T, path string) {
			needs.Root(t) // who alone can give files away
			write(dead+"\"x\"\n", 0o600)(t, path)
			check(t, os.Chown(path, 12345, 12345))
		}, "another user"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "run"+suffix)
			test.make(t, path)
			_, err := Recover(filepath.Dir(path), "", func(entry json.RawMessage) (string, error) {
				t.Errorf("undid %s", entry)
				return "", nil
			})
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v, want %q and the path", err, test.want)
			}
			if _, err := os.Lstat(path); err != nil {
				t.Errorf("the file has gone: %v", err)
			}
		})
	}
}

// A last line that was cut off announces a change that was never made.
func TestCutEntry(t *testing.T) {
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "run"+suffix), []byte(dead+"\"one\"\n\"tw"), 0o600))
	var undone []string
	_, err := Recover(dir, "", record(&undone))
	check(t, err)
	if strings.Join(undone, " ") != "one" {
		t.Errorf("undone %v", undone)
	}
}

func TestPrivateDirectory(t *testing.T) {
	needs.Root(t) // who alone can give directories away
	for name, spoil := range map[string]func(t *testing.T, above, dir string){
		"another user's": func(t *testing.T, _, dir string) { check(t, os.Chown(dir, 12345, 12345)) },
		"writable":       func(t *testing.T, _, dir string) { check(t, os.Chmod(dir, 0o777)) },
		"below another user's": func(t *testing.T, above, _ string) {
			check(t, os.Chown(above, 12345, 12345))
		},
		"below a writable one": func(t *testing.T, above, _ string) { check(t, os.Chmod(above, 0o775)) },
		"a link": func(t *testing.T, above, dir string) {
			check(t, os.Rename(dir, dir+"-target"))
			check(t, os.Symlink(dir+"-target", dir))
		},
	} {
		t.Run(name, func(t *testing.T) {
			above := t.TempDir()
			dir := filepath.Join(above, "journals")
			check(t, os.Mkdir(dir, 0o700))
			spoil(t, above, dir)
			if _, err := Open(dir, "run"); err == nil {
				t.Error("a journal was opened")
			}
			check(t, os.WriteFile(filepath.Join(dir, "run"+suffix), []byte(dead+"\"x\"\n"), 0o600))
			var undone []string
			if _, err := Recover(dir, "", record(&undone)); err == nil || len(undone) > 0 {
				t.Errorf("recovered: %v, undone %v", err, undone)
			}
			if _, err := Live(dir, ""); err == nil {
				t.Error("journals are listed")
			}
		})
	}
}

// FuzzRead: any journal is undone, left alone or refused; the entries passed to
// Undo are JSON.
func FuzzRead(f *testing.F) {
	f.Add([]byte(dead + "\"one\"\n"))
	f.Add([]byte("{}\n{}\n"))
	f.Add([]byte(dead + strings.Repeat("0\n", 1000)))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		path := filepath.Join(dir, "run"+suffix)
		check(t, os.WriteFile(path, text, 0o600))
		leaks.Within(t, 64<<20, func() {
			found, err := Recover(dir, "", func(entry json.RawMessage) (string, error) {
				if !json.Valid(entry) {
					t.Errorf("entry %q", entry)
				}
				return "", nil
			})
			if err == nil && (len(found) != 1 || found[0].Owner.PID <= 0) {
				t.Errorf("found %+v in %q", found, text)
			}
			if _, gone := os.Lstat(path); err != nil && gone != nil {
				t.Errorf("refused with %v, and removed", err)
			}
		})
	})
}
