package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/peregrine-sec/peregrine/internal/generator/artifact"
	"github.com/peregrine-sec/peregrine/internal/generator/engine"
	"github.com/peregrine-sec/peregrine/internal/journal"
	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
)

// Journal lists the objects that a run will leave on the host if it is killed.
type Journal struct {
	*journal.Journal
	by *process // the process that adds to it, if not its owner
}

// entry is one line. Exactly one field is set besides By.
type entry struct {
	By       *process           `json:"by,omitempty"` // its maker, which may be making more: it is ended first
	Artifact *artifact.Artifact `json:"artifact,omitempty"`
	Cgroup   string             `json:"cgroup,omitempty"`
	Process  *process           `json:"process,omitempty"`
	// Container and Image are the run's objects in a container engine.
	Container *contained `json:"container,omitempty"`
	Image     *contained `json:"image,omitempty"`
}

// contained is announced before the engine is asked for it, and noted again when
// the engine has answered: from then on, a missing object will not appear.
type contained struct {
	Engine   engine.Engine `json:"engine"`
	Name     string        `json:"name"`
	Answered bool          `json:"answered,omitempty"`
	Client   *process      `json:"client,omitempty"` // of an engine that needs it until the object is made
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

const journalPrefix = "generate-"

// OpenJournal starts the journal of a run.
func OpenJournal(stateDir, run string) (*Journal, error) {
	if stateDir == "" {
		stateDir = DefaultStateDir()
	}
	j, err := journal.Open(stateDir, journalPrefix+run)
	return &Journal{Journal: j}, err
}

// Inherit wraps the journal file that a parent process handed down to this one,
// which leads a process group.
func Inherit(file *os.File) (*Journal, error) {
	start, err := procfs.Host.StartTime(os.Getpid())
	return &Journal{journal.Inherit(file), &process{os.Getpid(), start}}, err
}

// Artifact announces an artifact, or notes its identity.
func (j *Journal) Artifact(a artifact.Artifact) error { return j.Add(entry{By: j.by, Artifact: &a}) }

// Make announces an artifact, has it made, and notes its inode.
func (j *Journal) Make(a artifact.Artifact, create func() error) error {
	if err := j.Artifact(a); err != nil {
		return err
	}
	if err := create(); err != nil {
		return err
	}
	if err := a.Identify(); err != nil {
		return err
	}
	return j.Artifact(a)
}

// Cgroup announces a cgroup.
func (j *Journal) Cgroup(path string) error { return j.Add(entry{Cgroup: path}) }

// Container announces a container, and later that its engine has answered.
func (j *Journal) Container(e engine.Engine, name string, answered bool) error {
	return j.Add(entry{Container: &contained{Engine: e, Name: name, Answered: answered}})
}

// Client notes the client that has an announced container made.
func (j *Journal) Client(e engine.Engine, name string, pid int) error {
	start, err := procfs.Host.StartTime(pid)
	if err != nil {
		return nil // it has ended already
	}
	return j.Add(entry{Container: &contained{Engine: e, Name: name, Client: &process{pid, start}}})
}

// Image announces an image that is loaded into an engine, and later that the
// engine has answered.
func (j *Journal) Image(e engine.Engine, tag string, answered bool) error {
	return j.Add(entry{Image: &contained{Engine: e, Name: tag, Answered: answered}})
}

// Process notes a process of the run, the leader of a process group.
func (j *Journal) Process(pid int) error {
	start, err := procfs.Host.StartTime(pid)
	if err != nil {
		return nil // it has ended already
	}
	return j.Add(entry{Process: &process{pid, start}})
}

// Undo removes the listed objects, last first, and then the journal. Failed
// removals stay listed. Objects that are no longer the run's are left, and
// named in the error.
func (j *Journal) Undo() error {
	u := newUndoer()
	_, err := j.Journal.Undo(u.undo)
	for _, left := range u.left {
		err = errors.Join(err, errors.New(left))
	}
	return err
}

// Cleanup undoes the journals of ended runs, ends their remaining processes,
// and reports the removed and the remaining objects.
func Cleanup(stateDir string) (did []string, err error) {
	if stateDir == "" {
		stateDir = DefaultStateDir()
	}
	found, err := journal.Recover(stateDir, journalPrefix, newUndoer().undo)
	for _, f := range found {
		if f.Live {
			did = append(did, "left "+f.Path+": its run is going on")
		}
		did = append(did, f.Did...)
	}
	return did, err
}
