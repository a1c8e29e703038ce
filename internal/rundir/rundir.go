// Package rundir makes the directory of a run's results, and files in it. Runs
// work as root, in directories where other users may have put links: existing
// files must be the user's own, and no link is followed.
package rundir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Create makes a directory, or takes one that is there, and returns its
// absolute path. It must not hold the file called result, which is an earlier
// run's.
func Create(name, result string) (string, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return "", fmt.Errorf("directory of the run: %w", err)
	}
	err := os.Mkdir(name, 0o755)
	if errors.Is(err, fs.ErrExist) {
		err = usable(name, result)
	}
	if err != nil {
		return "", fmt.Errorf("directory of the run: %w", err)
	}
	return filepath.Abs(name)
}

// usable says why a directory that is there cannot be a run's.
func usable(name, result string) error {
	info, err := os.Lstat(name)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory: name another one with --out", name)
	case !ok || int(owner.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("%s belongs to another user or is writable for others, who could have put links there: name another directory with --out", name)
	}
	if _, err := os.Lstat(filepath.Join(name, result)); err == nil {
		return fmt.Errorf("%s already holds the result of a run: name another directory with --out", name)
	}
	return nil
}

// Write makes a file under a temporary name, so that no link is followed, a
// reader never sees half of it, and a kill leaves the one before.
func Write(path string, content func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.new")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	err = errors.Join(content(f), f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
	}
	return nil
}
