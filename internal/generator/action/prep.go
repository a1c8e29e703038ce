package action

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/generator/artifact"
)

// prep is the context of an action's prepare function: the environment, and
// methods to make objects that are removed when the action is closed.
type prep struct {
	Env
	runnable *Runnable
	watched  uintptr   // the descriptor in the action's epoll
	turning  []uintptr // values of the argument that is being prepared, if it takes turns
}

// undo registers f for Close.
func (p *prep) undo(f func() error) { p.runnable.undo = append(p.runnable.undo, f) }

// announce registers an artifact that the action is about to make, or makes in
// Run: it is in the journal before it can exist, and removed when the action is
// closed.
func (p *prep) announce(a artifact.Artifact) (*artifact.Artifact, error) {
	if p.Disposable {
		return &a, nil
	}
	if p.Journal != nil {
		if err := p.Journal.Artifact(a); err != nil {
			return nil, err
		}
	}
	p.undo(func() error {
		_, err := a.Remove()
		if p.Journal != nil && errors.As(err, new(*artifact.Left)) {
			return nil // undoing the journal comes next, and says it
		}
		return err
	})
	return &a, nil
}

// made notes which inode an artifact has become.
func (p *prep) made(a *artifact.Artifact) error {
	if p.Disposable {
		return nil
	}
	if err := a.Identify(); err != nil {
		return err
	}
	if p.Journal == nil {
		return nil
	}
	return p.Journal.Artifact(*a)
}

// make announces an artifact, makes it, and notes its inode.
func (p *prep) make(a artifact.Artifact, create func() error) error {
	announced, err := p.announce(a)
	if err != nil {
		return err
	}
	if err := create(); err != nil {
		return err
	}
	return p.made(announced)
}

// willCreate announces an empty file that Run creates.
func (p *prep) willCreate(path string) error {
	_, err := p.announce(artifact.Artifact{Path: path, Kind: artifact.File})
	return err
}

// creating prepares actions that create the empty file of a name in the scratch
// directory.
func creating(name string, run func(cpath) error) func(*prep) (func() error, error) {
	return inScratch(name, (*prep).willCreate, run)
}

// onFile prepares actions on an empty file in the scratch directory.
func onFile(name string, run func(cpath) error) func(*prep) (func() error, error) {
	return inScratch(name, func(p *prep, path string) error { return p.mknod(path, 0o644) }, run)
}

func inScratch(name string, ready func(*prep, string) error, run func(cpath) error) func(*prep) (func() error, error) {
	return func(p *prep) (func() error, error) {
		name, err := p.inScratch(name)
		if err != nil {
			return nil, err
		}
		path := c(name)
		return func() error { return run(path) }, ready(p, name)
	}
}

// creatingIn prepares actions that create a file outside the scratch directory,
// which named names.
func creatingIn(dir, suffix string) func(*prep) (func() error, error) {
	return func(p *prep) (func() error, error) {
		name := p.named(dir, suffix)
		path := c(name)
		return func() error { return openClose(path, unix.O_WRONLY|unix.O_CREAT, 0o644) }, p.willCreate(name)
	}
}

// file makes a file with the given content.
func (p *prep) file(path, content string, mode os.FileMode) error {
	return p.make(artifact.Artifact{Path: path, Kind: artifact.File, Content: content}, func() error {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if err != nil {
			return err
		}
		_, err = f.WriteString(content)
		return errors.Join(err, f.Close())
	})
}

// dir makes a directory and those above it that are missing.
func (p *prep) dir(path string) error {
	if exists(path) {
		return nil
	}
	if err := p.dir(filepath.Dir(path)); err != nil {
		return err
	}
	return p.make(artifact.Artifact{Path: path, Kind: artifact.Directory}, func() error { return os.Mkdir(path, 0o755) })
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

// mknod makes an empty regular file without opening it, so that no rule about
// writing sees the preparation.
func (p *prep) mknod(path string, mode uint32) error {
	return p.mknodFor(artifact.Artifact{Path: path}, mode)
}

// mknodFor makes it empty too; a has the content to be written later.
func (p *prep) mknodFor(a artifact.Artifact, mode uint32) error {
	a.Kind = artifact.File
	return p.make(a, func() error {
		if err := unix.Mknod(a.Path, unix.S_IFREG|mode, 0); err != nil {
			return &fs.PathError{Op: "mknod", Path: a.Path, Err: err}
		}
		return nil
	})
}
