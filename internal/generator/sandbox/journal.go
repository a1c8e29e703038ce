package sandbox

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
)

// Journal is the list of what a run will leave on the host if it is killed.
// An entry is written before the thing is made; the file goes away when all is
// undone. It is a file per run, one JSON object per line, and locked as long
// as the run lives, so that Cleanup leaves running ones alone. A killed
// process loses nothing that it wrote; a crash of the host may.
type Journal struct {
	mu   sync.Mutex
	file *os.File
	made string // state directory to be removed when empty
}

// entry is one line. Exactly one field is set.
type entry struct {
	File    string   `json:"file,omitempty"`
	Dir     string   `json:"dir,omitempty"`
	Cgroup  string   `json:"cgroup,omitempty"`
	Process *process `json:"process,omitempty"`
}

// process is a pid with its start time (clock ticks since boot, field 22 of
// /proc/PID/stat), so that a pid in use again is not mistaken for it.
type process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"`
}

// DefaultStateDir is where journals are kept: /var/lib/peregrine for root,
// the user's state directory for others.
func DefaultStateDir() string {
	if os.Geteuid() == 0 {
		return "/var/lib/peregrine"
	}
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "peregrine")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return filepath.Join(os.TempDir(), fmt.Sprintf("peregrine-state-%d", os.Geteuid()))
	}
	return filepath.Join(home, ".local", "state", "peregrine")
}

const (
	journalPrefix = "generate-"
	journalSuffix = ".journal"
)

// OpenJournal starts the journal of a run.
func OpenJournal(stateDir, run string) (*Journal, error) {
	if stateDir == "" {
		stateDir = DefaultStateDir()
	}
	name := filepath.Join(stateDir, journalPrefix+run+journalSuffix)
	file, err := create(name)
	if err != nil {
		return nil, fmt.Errorf("undo journal: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", name, err), file.Close())
	}
	return &Journal{file: file, made: stateDir}, nil
}

// create makes a file and its directory, which another run may remove at any
// time while it is empty.
func create(name string) (file *os.File, err error) {
	for range 100 {
		if err = os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return nil, err
		}
		if err = private(filepath.Dir(name)); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		file, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return file, err
}

// private says what is wrong with a state directory that others could have
// put journals into: undoing one of those would remove what they like.
func private(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(owner.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("state directory %s: must belong to the user who runs this and be writable for nobody else (chmod 700)", dir)
	}
	return nil
}

// Inherit wraps the journal file that a parent process handed down.
func Inherit(file *os.File) *Journal { return &Journal{file: file} }

// Descriptor is the open file, for a child to inherit. The lock goes with it.
func (j *Journal) Descriptor() *os.File { return j.file }

// File announces a file.
func (j *Journal) File(path string) error { return j.write(entry{File: path}) }

// Dir announces a directory with all that will be in it.
func (j *Journal) Dir(path string) error { return j.write(entry{Dir: path}) }

// Cgroup announces a cgroup.
func (j *Journal) Cgroup(path string) error { return j.write(entry{Cgroup: path}) }

// Process notes a process of the run.
func (j *Journal) Process(pid int) error {
	start, err := procfs.Host.StartTime(pid)
	if err != nil {
		return nil // it has ended already
	}
	return j.write(entry{Process: &process{pid, start}})
}

func (j *Journal) write(e entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("undo journal: %w", err)
	}
	return nil
}

// Undo removes what the journal lists, last first, and then the journal. What
// could not be undone stays listed.
func (j *Journal) Undo() (undone []string, err error) {
	if _, err := j.file.Seek(0, 0); err != nil {
		return nil, err
	}
	entries, err := readEntries(j.file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", j.file.Name(), err)
	}
	var errs []error
	for i := len(entries) - 1; i >= 0; i-- {
		did, err := entries[i].undo()
		if did != "" {
			undone = append(undone, did)
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return undone, err
	}
	if err := os.Remove(j.file.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return undone, err
	}
	if j.made != "" {
		_ = os.Remove(j.made) // only if it is empty
	}
	return undone, j.file.Close()
}

// readEntries skips a last line without its end: it was being written when
// the process was killed, and what it announces was not made.
func readEntries(file *os.File) ([]entry, error) {
	var entries []entry
	lines := bufio.NewReader(file)
	for number := 1; ; number++ {
		line, err := lines.ReadString('\n')
		if err != nil {
			return entries, nil
		}
		var e entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		entries = append(entries, e)
	}
}

// Cleanup undoes the journals of runs that are not running any more, and says
// what it did.
func Cleanup(stateDir string) (undone []string, err error) {
	if stateDir == "" {
		stateDir = DefaultStateDir()
	}
	list, err := os.ReadDir(stateDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = private(stateDir)
	}
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, item := range list {
		if !strings.HasPrefix(item.Name(), journalPrefix) || !strings.HasSuffix(item.Name(), journalSuffix) {
			continue
		}
		did, err := cleanup(stateDir, filepath.Join(stateDir, item.Name()))
		undone = append(undone, did...)
		errs = append(errs, err)
	}
	_ = os.Remove(stateDir) // only if it is empty
	return undone, errors.Join(errs...)
}

func cleanup(stateDir, name string) ([]string, error) {
	file, err := os.OpenFile(name, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return []string{"left " + name + ": its run is going on"}, file.Close()
	}
	j := &Journal{file: file, made: stateDir}
	return j.Undo()
}
