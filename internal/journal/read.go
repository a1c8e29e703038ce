package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Found is a journal in a directory, as Recover has met it.
type Found struct {
	Path  string
	Owner Owner
	Live  bool     // its run is going on: it was left alone
	Did   []string // descriptions of the undone changes
}

// Live lists the journals in dir whose runs are going on, this process's own
// left out.
func Live(dir, prefix string) ([]Found, error) {
	var live []Found
	me, err := self()
	if err != nil {
		return nil, err
	}
	err = each(dir, prefix, func(path string) error {
		file, err := open(path)
		if err != nil {
			return ignoreGone(err)
		}
		defer file.Close()
		owner, _, err := read(file)
		if err != nil {
			return err
		}
		if owner != me && owner.alive(lock(file) != nil) {
			live = append(live, Found{Path: path, Owner: owner, Live: true})
		}
		return nil
	})
	return live, err
}

// Recover undoes the journals in dir, those whose names start with prefix, of
// runs that have ended. It reports every journal that it met.
func Recover(dir, prefix string, undo Undo) ([]Found, error) {
	var found []Found
	err := each(dir, prefix, func(path string) error {
		f, err := recoverOne(path, undo)
		if f != nil {
			found = append(found, *f)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return nil
	})
	if err == nil && len(found) > 0 {
		_ = os.Remove(dir) // only if it is empty
	}
	return found, err
}

// each calls f for the journals in dir, and removes unfinished ones of runs
// killed while making them.
func each(dir, prefix string, f func(path string) error) error {
	list, err := os.ReadDir(dir)
	if err == nil {
		err = private(dir)
	}
	if err != nil {
		return ignoreGone(err) // the last run to end takes it away
	}
	var errs []error
	for _, item := range list {
		path := filepath.Join(dir, item.Name())
		switch {
		case strings.HasSuffix(item.Name(), temporary):
			errs = append(errs, discard(path))
		case strings.HasPrefix(item.Name(), prefix) && strings.HasSuffix(item.Name(), suffix):
			errs = append(errs, f(path))
		}
	}
	return errors.Join(errs...)
}

// discard removes a file that never became a journal, unless it is about to.
func discard(path string) error {
	file, err := open(path)
	if err != nil {
		return ignoreGone(err)
	}
	defer file.Close()
	if lock(file) != nil {
		return nil
	}
	return ignoreGone(os.Remove(path))
}

// recoverOne undoes one journal; nil if it is gone.
func recoverOne(path string, undo Undo) (*Found, error) {
	file, err := open(path)
	if err != nil {
		return nil, ignoreGone(err)
	}
	owner, _, err := read(file)
	f := &Found{Path: path, Owner: owner}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	locked := lock(file) != nil
	if owner.alive(locked) {
		f.Live = true
		return f, file.Close()
	}
	if err := claim(file, claimTimeout); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if gone, err := replaced(file, path); gone || err != nil {
		return nil, errors.Join(err, file.Close())
	}
	j := &Journal{file: file, path: path}
	if f.Did, err = j.Undo(undo); err != nil {
		err = errors.Join(err, j.file.Close())
	}
	return f, err
}

// claimTimeout is how long another process may take to undo a journal: it may
// wait some seconds for each process that it ends.
var claimTimeout = 30 * time.Second

// claim waits until no other process undoes a dead run's journal. The run's own
// lock is not enough: its children hold it and may outlive it. So this is a
// lock of another kind, F_OFD_SETLK in fcntl(2), which ends with the file.
func claim(file *os.File, patience time.Duration) error {
	whole := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		err := unix.FcntlFlock(file.Fd(), unix.F_OFD_SETLK, &whole)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES):
			return fmt.Errorf("lock: %w", err)
		case time.Now().After(deadline):
			return fmt.Errorf("another process is undoing it, and has not ended in %v", patience)
		}
	}
}

// replaced says whether path names another file by now.
func replaced(file *os.File, path string) (bool, error) {
	mine, err := file.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return err == nil && !os.SameFile(mine, there), err
}

// open opens a journal that no other user can have made or changed.
func open(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil {
		err = trusted(path, info)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// read returns a journal's owner and entries. A last line that was cut off
// belongs to a change that was never made, and is left out.
func read(file *os.File) (Owner, []json.RawMessage, error) {
	var owner Owner
	text, err := io.ReadAll(io.NewSectionReader(file, 0, maxSize+1))
	switch {
	case err != nil:
		return owner, nil, err
	case len(text) > maxSize:
		return owner, nil, fmt.Errorf("%s is larger than %d MiB: not a journal", file.Name(), maxSize>>20)
	}
	whole := text[:bytes.LastIndexByte(text, '\n')+1]
	if len(whole) == 0 {
		return owner, nil, fmt.Errorf("%s names no owner: check it, and remove it", file.Name())
	}
	var entries []json.RawMessage
	n := 0
	for line := range bytes.Lines(whole) {
		n++
		switch {
		case n == 1:
			err = json.Unmarshal(line, &owner)
		case json.Valid(line):
			entries = append(entries, bytes.TrimSpace(line))
		default:
			err = errors.New("expected a JSON object")
		}
		if err != nil {
			return owner, nil, fmt.Errorf("%s:%d: %w", file.Name(), n, err)
		}
	}
	if owner.PID <= 0 {
		return owner, nil, fmt.Errorf("%s:1: expected the owner of the journal", file.Name())
	}
	return owner, entries, nil
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
