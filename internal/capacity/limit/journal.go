package limit

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/peregrine-sec/peregrine/internal/journal"
	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
)

// JournalDir is where runs keep their journals. It is memory-backed, because
// the changes do not survive a reboot either, and root's own: systemd gives
// /run/peregrine to the sensor's user and removes it with the service.
const JournalDir = "/run/peregrine-capacity"

// step is one change that has been or is about to be made, with the data to
// undo it. Undoing a step that never happened does no harm.
type step struct {
	Kind   string          `json:"kind"`             // write, mkdir, move, process, unit, scope, docker
	Path   string          `json:"path,omitempty"`   // file, directory, unit or container
	Value  string          `json:"value,omitempty"`  // old value of the file
	PID    int             `json:"pid,omitempty"`    // move, process
	Start  uint64          `json:"start,omitempty"`  // the process's start time, in ticks since boot
	Docker *dockerSettings `json:"docker,omitempty"` // old settings of the container
	Unit   *unitSettings   `json:"unit,omitempty"`   // old settings of the unit
	Socket string          `json:"socket,omitempty"` // the Docker daemon's
}

// Journal is the list of changes that one run has made on a host, on disk
// before they are made.
type Journal struct {
	file *journal.Journal
	host Host
}

// OpenJournal starts a journal of this process in dir (JournalDir unless
// testing), for changes made on host.
func OpenJournal(dir string, host Host) (*Journal, error) {
	file, err := journal.Open(dir, fmt.Sprintf("%d-%d", os.Getpid(), time.Now().UnixNano()))
	if err != nil {
		return nil, err
	}
	return &Journal{file, host}, nil
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
func (j *Journal) add(s step) error { return j.file.Add(s) }

// Undo takes back everything in the journal, the last change first, and
// removes the journal when all of it could be undone.
func (j *Journal) Undo() error {
	if _, err := j.file.Undo(j.host.undoEntry); err != nil {
		return fmt.Errorf("restore limits (the remaining steps are in %s; run `peregrine capacity restore` again): %w", j.file.Path(), err)
	}
	return nil
}

// Recover undoes the journals of dead runs in dir, and returns one line for
// each.
func Recover(dir string, host Host) ([]string, error) {
	found, err := journal.Recover(dir, "", host.undoEntry)
	var done []string
	for _, f := range found {
		if !f.Live {
			done = append(done, fmt.Sprintf("undid %d changes of the capacity run with pid %d, which has ended without cleaning up", len(f.Did), f.Owner.PID))
		}
	}
	return done, err
}

// Alone returns an error if another run is going on, which would load the
// sensor that this one measures. A run is seen while it has a journal in dir.
func Alone(dir string) error {
	live, err := journal.Live(dir, "")
	if err != nil || len(live) == 0 {
		return err
	}
	return fmt.Errorf("another capacity run is in progress (pid %d, %s): each would measure the load of both; wait for it to end", live[0].Owner.PID, live[0].Path)
}

// undoEntry takes a journal's entry back.
func (h Host) undoEntry(entry json.RawMessage) (string, error) {
	var s step
	if err := json.Unmarshal(entry, &s); err != nil {
		return "", errors.Join(fmt.Errorf("journal entry %.200s", entry), err)
	}
	return s.Kind + " " + s.Path, h.undo(s)
}
