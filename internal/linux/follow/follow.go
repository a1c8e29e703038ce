// Package follow reads the lines that are appended to a file, as `tail -F`
// does, without a goroutine and without blocking: the caller polls. It
// survives rotation by rename, by truncation and by copy, and hands out no line
// before its newline is written, unless it never will be. A pipe or a device in the file's place
// is an error: who writes the file may be another user.
package follow

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/peregrine-sec/peregrine/internal/linux/regular"
)

// maxLine bounds the memory of one unfinished line.
const maxLine = 1 << 20

// File follows the file at one path. The exported fields may be set before the
// first Poll.
type File struct {
	MaxLine int    // longest line in bytes; others are left out
	TooLong func() // if not nil, is told of each of those
	// Cut says that a line without an end is handed out too, once the file was
	// truncated or has another in its place.
	Cut bool

	path    string
	f       *os.File
	pending []byte // an unfinished last line
	buf     []byte
	offset  int64
	skip    bool // drop the rest of an overlong line
	mtime   time.Time
}

// Open follows path. It need not exist yet. With fromEnd, the present content
// up to its last newline is skipped.
func Open(path string, fromEnd bool) (*File, error) {
	t := &File{MaxLine: maxLine, path: path, buf: make([]byte, 256<<10)}
	if err := t.open(); err != nil {
		return nil, err
	}
	if fromEnd && t.f != nil {
		return t, t.seekEnd()
	}
	return t, nil
}

// open opens the path if it exists.
func (t *File) open() error {
	f, err := regular.Open(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	t.f, t.offset, t.pending = f, 0, t.pending[:0]
	return nil
}

// seekEnd skips to after the last newline: an unfinished line that is there
// already will be read whole once it is finished.
func (t *File) seekEnd() error {
	end, err := t.f.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("follow %s: %w", t.path, err)
	}
	for end > 0 {
		from := max(0, end-int64(len(t.buf)))
		n, err := t.f.ReadAt(t.buf[:end-from], from)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("follow %s: %w", t.path, err)
		}
		if i := bytes.LastIndexByte(t.buf[:n], '\n'); i >= 0 {
			end = from + int64(i) + 1
			break
		}
		end = from
	}
	t.offset, err = t.f.Seek(end, io.SeekStart)
	return err
}

// Poll calls line for every line completed since the last call, without its
// newline. The bytes are valid during the call only. A file that does not
// exist (yet, or between two rotations) is no error.
func (t *File) Poll(line func([]byte)) error {
	if t.f == nil {
		if err := t.open(); err != nil || t.f == nil {
			return err
		}
	}
	for {
		if err := t.drain(line); err != nil {
			return fmt.Errorf("follow %s: %w", t.path, err)
		}
		next, err := t.rotated()
		if err != nil || next == nil {
			return err
		}
		// Lines written between the drain and the rename are still in the old
		// file, and nothing can be appended by path any more.
		if err := t.drain(line); err != nil {
			return fmt.Errorf("follow %s: %w", t.path, err)
		}
		t.f.Close()
		t.cut(line)
		t.f, t.offset = next, 0
	}
}

// cut ends a line whose newline will never come.
func (t *File) cut(line func([]byte)) {
	if t.Cut && len(t.pending) > 0 {
		line(t.pending)
	}
	t.pending, t.skip = t.pending[:0], false
}

// drain reads to the end of the open file.
func (t *File) drain(line func([]byte)) error {
	info, err := t.f.Stat()
	if err != nil {
		return err
	}
	t.mtime = info.ModTime()
	if info.Size() < t.offset { // truncated in place: it begins again
		if _, err := t.f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		t.offset = 0
		t.cut(line)
	}
	for {
		n, err := t.f.Read(t.buf)
		t.offset += int64(n)
		t.split(t.buf[:n], line)
		if errors.Is(err, io.EOF) || n == 0 && err == nil {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// split cuts new bytes into lines and keeps the unfinished rest.
func (t *File) split(b []byte, line func([]byte)) {
	for {
		part, rest, ended := bytes.Cut(b, []byte("\n"))
		if !t.skip && len(t.pending)+len(part) > t.MaxLine {
			t.skip, t.pending = true, t.pending[:0]
			if t.TooLong != nil {
				t.TooLong()
			}
		}
		switch {
		case t.skip:
		case ended && len(t.pending) == 0:
			line(part)
		default:
			t.pending = append(t.pending, part...)
			if ended {
				line(t.pending)
			}
		}
		if !ended {
			return
		}
		t.pending, t.skip, b = t.pending[:0], false, rest
	}
}

// rotated gives the file that has taken the path's place, or nil.
func (t *File) rotated() (*os.File, error) {
	next, err := regular.Open(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	newInfo, err := next.Stat()
	if err == nil {
		var oldInfo os.FileInfo
		if oldInfo, err = t.f.Stat(); err == nil && !os.SameFile(oldInfo, newInfo) {
			return next, nil
		}
	}
	next.Close()
	return nil, err
}

// ModTime is the file's modification time just before the last Poll read it.
func (t *File) ModTime() time.Time { return t.mtime }

// Close stops following.
func (t *File) Close() error {
	if t.f == nil {
		return nil
	}
	err := t.f.Close()
	t.f = nil
	return err
}
