package audit

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/linux/regular"
)

// openFollowed makes a source of a growing log: it reads lines appended from
// now on, also after the file is truncated or replaced.
func (s *Source) openFollowed(path string) error {
	if !filepath.IsAbs(path) {
		return errors.New("expected file:///ABSOLUTE/PATH")
	}
	changes, err := watchDirectory(filepath.Dir(path))
	if err != nil {
		return err
	}
	f := &followed{in: s.in, path: path, lines: lineReader{limit: s.in.limits.BodyBytes}}
	if err := f.open(io.SeekEnd); err != nil && !errors.Is(err, os.ErrNotExist) {
		return errors.Join(err, changes.Close())
	}
	s.close = changes.Close
	s.serve = func(ctx context.Context) error {
		defer f.closeFile()
		defer changes.Close()
		defer context.AfterFunc(ctx, func() { changes.Close() })()
		buf := make([]byte, 16<<10)
		for ctx.Err() == nil {
			if err := f.readNew(ctx); err != nil {
				return fmt.Errorf("follow %s: %w", path, err)
			}
			if _, err := changes.Read(buf); err != nil && ctx.Err() == nil {
				return fmt.Errorf("follow %s: %w", path, err)
			}
		}
		return nil
	}
	return nil
}

// watchDirectory is an inotify descriptor: a read returns when something in the
// directory was written, made, moved or removed.
func watchDirectory(dir string) (*os.File, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w; the limit is fs.inotify.max_user_instances", err)
	}
	f := os.NewFile(uintptr(fd), "inotify")
	const mask = unix.IN_MODIFY | unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE
	if _, err := unix.InotifyAddWatch(fd, dir, mask); err != nil {
		return nil, errors.Join(fmt.Errorf("watch %s: %w", dir, err), f.Close())
	}
	return f, nil
}

// followed is a log that is read as it grows.
type followed struct {
	in    *intake
	path  string
	file  *os.File // nil while it does not exist
	read  int64    // how far it was read
	lines lineReader
	// The start of a line whose end is not written yet; nothing of one that is
	// too long.
	tail    []byte
	tooLong bool
}

func (f *followed) open(whence int) error {
	file, err := regular.Open(f.path)
	if err != nil {
		return err
	}
	f.file = file
	f.read, err = file.Seek(0, whence)
	return err
}

func (f *followed) closeFile() {
	if f.file != nil {
		f.file.Close()
		f.file = nil
	}
}

// readNew reads the lines written since; if the file was replaced, the old
// one's first.
func (f *followed) readNew(ctx context.Context) error {
	for {
		if f.file != nil {
			if err := f.readOn(ctx); err != nil {
				return err
			}
		}
		replaced, err := f.replaced()
		if err != nil || !replaced {
			return err
		}
		if err := f.turn(ctx); err != nil || f.file == nil {
			return err
		}
	}
}

// turn switches to the new file of that name, after reading the lines written
// to the old one before its renaming.
func (f *followed) turn(ctx context.Context) error {
	if f.file != nil {
		if err := f.readOn(ctx); err != nil {
			return err
		}
	}
	f.endLine(ctx)
	f.closeFile()
	if err := f.open(io.SeekStart); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// replaced says whether the file of that name is another than the one being
// read.
func (f *followed) replaced() (bool, error) {
	now, err := os.Stat(f.path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil // the old one may still be written to
	}
	if err != nil || f.file == nil {
		return err == nil, err
	}
	have, err := f.file.Stat()
	return err == nil && !os.SameFile(now, have), err
}

// readOn takes the lines that were completed since.
func (f *followed) readOn(ctx context.Context) error {
	info, err := f.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() < f.read { // truncated: it starts over
		f.endLine(ctx)
		if f.read, err = f.file.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
	r := bufio.NewReaderSize(f.file, 64<<10)
	for ctx.Err() == nil {
		line, err := f.lines.next(r)
		f.read += int64(f.lines.size)
		f.tooLong = f.tooLong || f.lines.tooLong || len(f.tail)+len(line) > f.lines.limit
		if !f.tooLong {
			f.tail = append(f.tail, line...)
		}
		switch {
		case err == nil:
			f.endLine(ctx)
		case errors.Is(err, io.EOF):
			return nil
		default:
			return err
		}
	}
	return nil
}

// endLine takes a line that is complete, or will never be.
func (f *followed) endLine(ctx context.Context) {
	f.in.takeLine(ctx, f.tail, f.tooLong)
	f.tail, f.tooLong = f.tail[:0], false
}
