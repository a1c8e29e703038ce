package action

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// prep is what an action's prepare function works with: the environment, and
// ways to make things that are undone when the action is closed.
type prep struct {
	Env
	runnable *Runnable
}

// undo registers f for Close.
func (p *prep) undo(f func() error) { p.runnable.undo = append(p.runnable.undo, f) }

// willCreate announces a file that Run creates (and mostly removes again).
func (p *prep) willCreate(path string) error {
	if p.Disposable {
		return nil
	}
	if p.Journal != nil {
		if err := p.Journal.File(path); err != nil {
			return err
		}
	}
	p.undo(func() error { return ignoreMissing(os.Remove(path)) })
	return nil
}

// file makes a file with the given content.
func (p *prep) file(path, content string, mode os.FileMode) error {
	if err := p.willCreate(path); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	return errors.Join(err, f.Close())
}

// dir makes a directory and those above it that are missing, and removes all
// that it made.
func (p *prep) dir(path string) error {
	top := path
	for above := filepath.Dir(top); !exists(above); above = filepath.Dir(top) {
		top = above
	}
	if exists(top) {
		return nil
	}
	if p.Disposable {
		return os.MkdirAll(path, 0o755)
	}
	if p.Journal != nil {
		if err := p.Journal.Dir(top); err != nil {
			return err
		}
	}
	p.undo(func() error { return os.RemoveAll(top) })
	return os.MkdirAll(path, 0o755)
}

// inScratch is a name in the scratch directory, unique to the action.
func (p *prep) inScratch(name string) (string, error) {
	_, action, _ := cutName(p.runnable.Action.Name)
	dir := filepath.Join(p.Scratch, action)
	return filepath.Join(dir, name), p.dir(dir)
}

// named is dir/<prefix><suffix>: a name outside the scratch directory.
func (p *prep) named(dir, suffix string) string { return filepath.Join(dir, p.Prefix+suffix) }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// mknod makes an empty regular file without opening it, so that no rule about
// writing sees the preparation.
func (p *prep) mknod(path string, mode uint32) error {
	if err := p.willCreate(path); err != nil {
		return err
	}
	if err := unix.Mknod(path, unix.S_IFREG|mode, 0); err != nil {
		return &fs.PathError{Op: "mknod", Path: path, Err: err}
	}
	return nil
}
