package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// private runs the generator's command in a mount namespace whose /tmp and
// /var/tmp no other program uses, so that all files in them at the end are the
// generator's. $1 is a directory to keep, $2 the listing, the rest the command.
const private = `set -e
mount --make-rprivate /
mkdir "$1/tmp" "$1/vartmp"
mount --bind "$1/tmp" /tmp
mount --bind "$1/vartmp" /var/tmp
shift
exec "$@"`

// All actions together, with a sensor that watches, leave the directories that
// they are about as they were, and nothing anywhere else that they write to.
func TestGeneratorLeavesNoTraces(t *testing.T) {
	requireBPF(t)
	if testing.Short() {
		t.Skip("runs all actions")
	}
	needs.Host(t)
	// Outside /tmp, which is hidden from the command.
	dir, err := os.MkdirTemp("/var/lib", "peregrine-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	generator := filepath.Join(dir, "peregrine")
	if err := copyFile(binary, generator); err != nil {
		t.Fatal(err)
	}
	startSensor(t)
	for _, extra := range [][]string{nil, {"--no-sandbox"}} {
		t.Run(fmt.Sprint(append([]string{"run", "--all"}, extra...)), func(t *testing.T) {
			work, err := os.MkdirTemp(dir, "run-")
			if err != nil {
				t.Fatal(err)
			}
			before := listing(t)
			args := append([]string{"-c", private, "sh", work, generator, "generate", "run", "--all", "--exclude", "^k8saudit", "--sleep", "1ms",
				"--state-dir", filepath.Join(work, "state")}, extra...)
			cmd := exec.Command("sh", args...)
			cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			if !strings.Contains(string(out), "syscall.WriteBelowEtc") {
				t.Errorf("the actions did not run:\n%s", out)
			}
			if diff := cmp.Diff(before, listing(t)); diff != "" {
				t.Errorf("files (-before +after):\n%s\n%s", diff, out)
			}
			for _, place := range []string{"tmp", "vartmp", "state"} {
				entries, err := os.ReadDir(filepath.Join(work, place))
				if err != nil && place != "state" {
					t.Error(err)
				}
				for _, entry := range entries {
					t.Errorf("left in %s: %s", place, entry.Name())
				}
			}
		})
	}
}

// listing is the names, modes, owners and, where only actions would change
// them, sizes and times, of everything in the directories that actions are
// about.
func listing(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, root := range []string{"/", "/bin", "/usr/bin", "/sbin", "/usr/sbin", "/etc", "/root", "/home", "/dev", "/var/log", "/var/spool", "/var/lib/rpm", "/usr/local/bin"} {
		if target, err := filepath.EvalSymlinks(root); err == nil {
			root = target
		}
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil || path == root && root == "/":
				return nil // gone meanwhile
			case ofOthers(path):
				return fs.SkipDir
			}
			info, err := entry.Info()
			if err != nil {
				return nil
			}
			stat := info.Sys().(*syscall.Stat_t)
			line := fmt.Sprintf("%v %d:%d", info.Mode(), stat.Uid, stat.Gid)
			if info.Mode().IsRegular() && !strings.HasPrefix(path, "/var/log/") {
				line += fmt.Sprintf(" %d bytes, %v", info.Size(), info.ModTime().UnixNano())
			}
			files[path] = line
			if root == "/" && entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(files) < 1000 {
		t.Fatalf("only %d files", len(files))
	}
	return files
}

// ofOthers are directories that programs change while the test runs.
func ofOthers(path string) bool {
	switch path {
	case "/dev/pts", "/root/.cache", "/root/.config/go", "/root/go":
		return true
	}
	return strings.HasPrefix(path, "/dev/shm/") && !strings.Contains(path, "peregrine-") // memory that browsers share
}
