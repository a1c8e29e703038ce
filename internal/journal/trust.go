package journal

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// trusted says why a file cannot be believed to be a journal of this user.
func trusted(path string, info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	why := ""
	switch {
	case !info.Mode().IsRegular():
		why = "is not a regular file"
	case !ok || int(stat.Uid) != os.Geteuid():
		why = "belongs to another user"
	case info.Mode().Perm()&0o077 != 0:
		why = fmt.Sprintf("has mode %04o, so that others may have changed it", info.Mode().Perm())
	case stat.Nlink == 0:
		return fmt.Errorf("%s: %w", path, fs.ErrNotExist) // removed since it was opened
	case stat.Nlink > 1:
		why = fmt.Sprintf("has %d names, so that others may reach it", stat.Nlink)
	default:
		return nil
	}
	return fmt.Errorf("%s %s: it is not undone; check it, and remove it", path, why)
}

// private says why journals cannot be kept in a directory: others could put
// their own there, or put another directory in its place.
func private(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory: undo journals need one of their own", dir)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(stat.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s must belong to the user who runs this, and must not be writable by others (chmod 700)", dir)
	}
	above, err := filepath.Abs(dir)
	if err == nil {
		above, err = filepath.EvalSymlinks(filepath.Dir(above))
	}
	for err == nil {
		if err = keepsNames(above); above == "/" {
			break
		}
		above = filepath.Dir(above)
	}
	return err
}

// keepsNames returns an error if others can replace the entries of a directory.
// The group of a user's own directory is often the user's alone; root has no
// such group.
func keepsNames(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	writable := fs.FileMode(0o022)
	if os.Geteuid() != 0 {
		writable = 0o002
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || (stat.Uid != 0 && int(stat.Uid) != os.Geteuid()) {
		return fmt.Errorf("%s belongs to another user, who could replace undo journals below it", dir)
	}
	if info.Mode().Perm()&writable != 0 && info.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("%s is writable for others, who could replace undo journals below it", dir)
	}
	return nil
}
