// Package journal records the changes of a run to a host, on disk and before
// each change, so that a later run can undo those of a killed one.
//
// A journal is a file of JSON lines: the owner, then one entry for each
// change. It appears under its name whole, with its owner, and locked for as
// long as any process of the run lives. Undoing writes files and ends
// processes as root, so journals are only believed in a directory that nobody
// else can write to. The journal outlives its process, not the machine: an
// entry is not synced to the disk.
package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
)

const (
	suffix    = ".journal"
	temporary = ".new"
	// maxSize bounds the bytes read of a journal. A run makes some dozen
	// changes.
	maxSize = 64 << 20
)

// Journal is one run's list of changes. Its methods may be called by several
// goroutines.
type Journal struct {
	mu   sync.Mutex
	file *os.File
	path string
}

// Open starts the journal of this process, called name, in a directory that is
// made if needed.
func Open(dir, name string) (*Journal, error) {
	owner, err := self()
	if err != nil {
		return nil, fmt.Errorf("undo journal: %w", err)
	}
	header, err := json.Marshal(owner)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, name+suffix)
	// A recovery may take the directory away while it is empty, or the file
	// before it is locked.
	for attempt := 0; ; attempt++ {
		file, err := place(path, append(header, '\n'))
		switch {
		case err == nil:
			return &Journal{file: file, path: path}, nil
		case attempt == 100 || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.EWOULDBLOCK):
			return nil, fmt.Errorf("undo journal: %w", err)
		}
	}
}

// place makes a locked file with a content. It appears only when complete.
func place(path string, content []byte) (*os.File, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := private(dir); err != nil {
		return nil, err
	}
	file, err := os.CreateTemp(dir, "*"+temporary)
	if err != nil {
		return nil, err
	}
	err = fill(file, content)
	if err == nil {
		err = unix.Renameat2(unix.AT_FDCWD, file.Name(), unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make %s: %w", path, err), file.Close(), ignoreGone(os.Remove(file.Name())))
	}
	return file, nil
}

func fill(file *os.File, content []byte) error {
	if err := lock(file); err != nil {
		return err
	}
	if _, err := file.Write(content); err != nil {
		return err
	}
	return file.Sync()
}

func lock(file *os.File) error {
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("lock %s: %w", file.Name(), err)
	}
	return nil
}

// Inherit is the journal whose file a parent process has handed down.
func Inherit(file *os.File) *Journal { return &Journal{file: file, path: file.Name()} }

// Descriptor is the open file, for a child to inherit. The lock goes with it.
func (j *Journal) Descriptor() *os.File { return j.file }

// Path is where the journal is.
func (j *Journal) Path() string { return j.path }

// Add notes a change. Only when it has returned may the change be made.
func (j *Journal) Add(entry any) error {
	line, err := json.Marshal(entry)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := j.file.Seek(0, io.SeekEnd); err != nil {
		return fmt.Errorf("undo journal %s: %w", j.path, err)
	}
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("undo journal %s: %w", j.path, err)
	}
	return nil
}

// Undo undoes one change, and describes it; "" if nothing was left to do. It is
// also called for changes that were announced and never made.
type Undo func(entry json.RawMessage) (did string, err error)

// Undo takes back everything in the journal, the last change first, and
// removes it. Failed entries stay in it for the next try. Undoing an undone
// journal does nothing.
func (j *Journal) Undo(undo Undo) (did []string, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return nil, nil
	}
	owner, entries, err := read(j.file)
	if err != nil {
		return nil, err
	}
	var left []json.RawMessage
	var errs []error
	for _, entry := range slices.Backward(entries) {
		done, err := undo(entry)
		if done != "" {
			did = append(did, done)
		}
		if err != nil {
			left, errs = append(left, entry), append(errs, err)
		}
	}
	if len(errs) > 0 {
		slices.Reverse(left)
		return did, errors.Join(append(errs, j.keep(owner, left))...)
	}
	return did, j.remove()
}

// keep leaves only those entries in the journal that are still to be undone.
func (j *Journal) keep(owner Owner, entries []json.RawMessage) error {
	content, err := json.Marshal(owner)
	if err != nil {
		return err
	}
	content = append(content, '\n')
	for _, entry := range entries {
		content = append(append(content, entry...), '\n')
	}
	file, err := os.CreateTemp(filepath.Dir(j.path), "*"+temporary)
	if err != nil {
		return err
	}
	err = fill(file, content)
	if err == nil {
		err = os.Rename(file.Name(), j.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()), file.Close())
	}
	old := j.file
	j.file = file
	return old.Close()
}

func (j *Journal) remove() error {
	if err := os.Remove(j.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_ = os.Remove(filepath.Dir(j.path)) // only if it is empty
	file := j.file
	j.file = nil
	return file.Close()
}

// Owner is the process that a journal belongs to: a pid, and facts that
// distinguish it from another process with the same pid.
type Owner struct {
	PID       int    `json:"owner_pid"`
	Start     uint64 `json:"owner_start"`             // clock ticks since boot
	Boot      string `json:"boot,omitempty"`          // id of the boot that these count from
	Namespace string `json:"pid_namespace,omitempty"` // in which the pid is meant
}

func self() (Owner, error) {
	start, err := procfs.Host.StartTime(os.Getpid())
	return Owner{PID: os.Getpid(), Start: start, Boot: procfs.Host.BootID(), Namespace: pidNamespace()}, err
}

func pidNamespace() string {
	name, _ := os.Readlink("/proc/self/ns/pid") // "" without such a kernel: all pids are of one namespace
	return name
}

// alive says whether the owner's run is going on. locked says that a process
// holds the journal's lock. It decides only if the owner cannot be seen from
// here; otherwise a child that outlived the owner may hold the lock.
func (o Owner) alive(locked bool) bool {
	switch {
	case o.Boot != procfs.Host.BootID():
		return false
	case o.Namespace != pidNamespace():
		return locked
	}
	return procfs.Host.Alive(o.PID, o.Start)
}
