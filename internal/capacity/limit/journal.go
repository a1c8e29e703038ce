package limit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
)

// JournalDir is where runs keep their journals: memory-backed, because what
// the journals undo does not survive a reboot either.
const JournalDir = "/run/peregrine/capacity"

// step is one change that has been or is about to be made, with what is
// needed to undo it. Undoing a step that never happened does no harm.
type step struct {
	Kind   string          `json:"kind"`             // write, mkdir, move, process, unit, scope, docker
	Path   string          `json:"path,omitempty"`   // file, directory, unit or container
	Value  string          `json:"value,omitempty"`  // what the file held
	PID    int             `json:"pid,omitempty"`    // move, process
	Start  uint64          `json:"start,omitempty"`  // the process's start time, in ticks since boot
	Docker *dockerSettings `json:"docker,omitempty"` // what the container had
	Unit   *unitSettings   `json:"unit,omitempty"`   // what the unit had
	Socket string          `json:"socket,omitempty"` // the Docker daemon's
}

// header is a journal's first line: whose it is.
type header struct {
	PID   int    `json:"owner_pid"`
	Start uint64 `json:"owner_start"`
}

// Journal is the list of changes that one run has made, on disk before they
// are made. It belongs to one goroutine.
type Journal struct {
	file *os.File
	path string
	host Host
}

// OpenJournal starts the journal of this process in dir (JournalDir unless
// testing), for changes made on host.
func OpenJournal(dir string, host Host) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("capacity journal: %w", err)
	}
	pid := os.Getpid()
	start, err := procfs.Host.StartTime(pid)
	if err != nil {
		return nil, fmt.Errorf("capacity journal: %w", err)
	}
	file, err := os.CreateTemp(dir, fmt.Sprintf("%d-*.journal", pid))
	if err != nil {
		return nil, fmt.Errorf("capacity journal: %w", err)
	}
	j := &Journal{file: file, path: file.Name(), host: host}
	if err := j.line(header{PID: pid, Start: start}); err != nil {
		return nil, errors.Join(err, file.Close(), os.Remove(file.Name()))
	}
	return j, nil
}

// Process notes a process that this run has started, and that must not
// outlive it.
func (j *Journal) Process(pid int) error {
	start, err := procfs.Host.StartTime(pid)
	if err != nil {
		return err
	}
	return j.add(step{Kind: "process", PID: pid, Start: start})
}

// add makes a step durable. Only after it returns may the change be made.
func (j *Journal) add(s step) error { return j.line(s) }

func (j *Journal) line(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if _, err := j.file.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("capacity journal %s: %w", j.path, err)
	}
	// The journal has to survive this process, not the machine: what it
	// undoes is gone after a crash of the kernel. No fsync is needed.
	return nil
}

// Undo takes back everything in the journal, last change first, and removes
// the journal when all of it could be undone.
func (j *Journal) Undo() error {
	j.file.Close()
	return undoFile(j.path, j.host)
}

// Recover undoes what runs that are no longer alive have left in dir, and
// returns one line for each journal that it dealt with.
func Recover(dir string, host Host) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.journal"))
	if err != nil {
		return nil, err
	}
	var done []string
	var errs []error
	for _, path := range paths {
		owner, steps, err := readJournal(path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if procfs.Host.Alive(owner.PID, owner.Start) {
			continue
		}
		if err := undoFile(path, host); err != nil {
			errs = append(errs, err)
			continue
		}
		done = append(done, fmt.Sprintf("undid %d changes of the capacity run with pid %d, which has ended without cleaning up", len(steps), owner.PID))
	}
	return done, errors.Join(errs...)
}

func undoFile(path string, host Host) error {
	_, steps, err := readJournal(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // undone before
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, s := range slices.Backward(steps) {
		if err := host.undo(s); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("restore limits (kept in %s; run `peregrine capacity restore` again): %w", path, errors.Join(errs...))
	}
	return os.Remove(path)
}

// readJournal returns a journal's owner and steps. A last line that was cut
// off belongs to a change that was never made, and is left out.
func readJournal(path string) (header, []step, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return header{}, nil, fmt.Errorf("capacity journal: %w", err)
	}
	whole := text[:bytes.LastIndexByte(text, '\n')+1]
	var owner header
	var steps []step
	lines := bufio.NewScanner(bytes.NewReader(whole))
	lines.Buffer(nil, len(whole)+1)
	for n := 1; lines.Scan(); n++ {
		var into any = &owner
		if n > 1 {
			steps = append(steps, step{})
			into = &steps[len(steps)-1]
		}
		if err := json.Unmarshal(lines.Bytes(), into); err != nil {
			return header{}, nil, fmt.Errorf("capacity journal %s:%d: %w", path, n, err)
		}
	}
	return owner, steps, nil
}
