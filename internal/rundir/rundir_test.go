package rundir

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// A directory that another user could have prepared is not written to.
func TestHostileDirectories(t *testing.T) {
	parent := t.TempDir()
	target := filepath.Join(parent, "target")
	if err := os.Mkdir(target, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, make := range map[string]func(path string) error{
		"link":           func(path string) error { return os.Symlink(target, path) },
		"dangling link":  func(path string) error { return os.Symlink(filepath.Join(parent, "nowhere"), path) },
		"file":           func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"writable":       func(path string) error { return errors.Join(os.Mkdir(path, 0o755), os.Chmod(path, 0o777)) },
		"for the group":  func(path string) error { return errors.Join(os.Mkdir(path, 0o755), os.Chmod(path, 0o775)) },
		"another user's": func(path string) error { return errors.Join(os.Mkdir(path, 0o755), os.Chown(path, 12345, 12345)) },
		"taken": func(path string) error {
			return errors.Join(os.Mkdir(path, 0o755), os.Symlink("/nowhere", filepath.Join(path, "result")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(parent, name)
			needs.That(t, "root, who alone can give directories away", make(path))
			if _, err := Create(path, "result"); err == nil || !strings.Contains(err.Error(), "--out") {
				t.Error(err)
			}
		})
	}
	for _, name := range []string{target, filepath.Join(parent, "new", "below")} {
		if dir, err := Create(name, "result"); err != nil || dir != name {
			t.Errorf("%s, %v", dir, err)
		}
	}
}

// A link is replaced, not followed, and a failed write leaves the old file, and
// nothing else.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	victim, path := filepath.Join(dir, "victim"), filepath.Join(dir, "result")
	if err := errors.Join(os.WriteFile(victim, []byte("precious"), 0o600), os.Symlink(victim, path)); err != nil {
		t.Fatal(err)
	}
	text := func(text string, err error) func(io.Writer) error {
		return func(w io.Writer) error {
			_, werr := io.WriteString(w, text)
			return errors.Join(werr, err)
		}
	}
	if err := Write(path, text("first", nil)); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("no space left")
	if err := Write(path, text("half", broken)); !errors.Is(err, broken) || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
	for file, want := range map[string]string{victim: "precious", path: "first"} {
		if got, err := os.ReadFile(file); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", file, got, err)
		}
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 2 {
		t.Errorf("%v, %v", list, err)
	}
}
