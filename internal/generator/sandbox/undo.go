package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/generator/artifact"
	"github.com/peregrine-sec/peregrine/internal/generator/engine"
	"github.com/peregrine-sec/peregrine/internal/linux/cgroup"
	"github.com/peregrine-sec/peregrine/internal/linux/pidfd"
	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// undoer takes journal entries back, the last first.
type undoer struct {
	known    map[string]bool // paths whose inode a later entry had: it has been dealt with
	ended    map[process]bool
	answered map[string]bool // containers and images that their engine has answered about
	awaited  map[string]bool // containers whose client has had its time
	left     []string
}

func newUndoer() *undoer {
	return &undoer{known: map[string]bool{}, ended: map[process]bool{}, answered: map[string]bool{}, awaited: map[string]bool{}}
}

// undo undoes one entry and describes it; "" if nothing was there.
func (u *undoer) undo(raw json.RawMessage) (did string, err error) {
	var e entry
	if err := json.Unmarshal(raw, &e); err != nil {
		return "", fmt.Errorf("journal entry %.80s: %w", raw, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if e.By != nil {
		if did, err = u.end(ctx, *e.By); err != nil {
			return did, err
		}
	}
	switch {
	case e.Artifact != nil:
		removed, err := u.remove(e.Artifact)
		return strings.Trim(did+"\n"+removed, "\n"), err
	case e.Cgroup != "":
		return removeCgroup(e.Cgroup)
	case e.Process != nil:
		return u.end(ctx, *e.Process)
	case e.Container != nil:
		return u.contained(e.Container, e.Container.Engine.Remove, "container")
	case e.Image != nil:
		return u.contained(e.Image, e.Image.Engine.RemoveImage, "image")
	}
	return "", fmt.Errorf("journal entry of a kind that this version does not know: %.80s", raw)
}

// end ends a process with its group, once.
func (u *undoer) end(ctx context.Context, p process) (string, error) {
	if u.ended[p] {
		return "", nil
	}
	u.ended[p] = true
	return p.kill(ctx)
}

// patience is how long undoing waits for the kernel to end a killed process.
const patience = 5 * time.Second

func (u *undoer) remove(a *artifact.Artifact) (string, error) {
	if u.known[a.Path] {
		return "", nil // this entry announced a file that a later one has identified
	}
	u.known[a.Path] = a.Inode != 0
	was, err := a.Remove()
	var left *artifact.Left
	switch {
	case errors.As(err, &left):
		u.left = append(u.left, left.Error())
		return left.Error(), nil
	case err != nil || !was:
		return "", err
	}
	return "removed " + a.Path, nil
}

// removeCgroup removes a cgroup of the run, whose processes have been ended by
// now. Other processes in it go to its parent.
func removeCgroup(path string) (string, error) {
	switch err := cgroup.Remove(path); {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", err
	}
	return "removed " + path, nil
}

// enginePatience is how long a container engine has to remove something.
const enginePatience = time.Minute

// lateness is how long after a request an engine may still make the object: a
// daemon goes on when its client has been killed.
const lateness = 10 * time.Second

// contained removes an object of a container engine, or one that it may make in
// a moment.
func (u *undoer) contained(c *contained, remove func(context.Context, string) (bool, error), what string) (string, error) {
	if c.Answered {
		u.answered[c.Name] = true
		return "", nil // the entry before this one announced it
	}
	if c.Client != nil { // announced by an entry before this one, too
		if !u.answered[c.Name] || c.Engine == engine.Containerd {
			u.await(c)
		}
		return "", nil
	}
	if what == "container" && c.Engine.NeedsClient() && !u.answered[c.Name] {
		u.await(c) // its client may work already, if the run was killed before it noted that
	}
	ctx, cancel := context.WithTimeout(context.Background(), enginePatience)
	defer cancel()
	for late := time.Now().Add(lateness); ; {
		was, err := remove(ctx, c.Name)
		switch {
		case err != nil:
			return "", err
		case was:
			return "removed " + what + " " + c.Name, nil
		case u.answered[c.Name] || time.Now().After(late) || wait.For(ctx, lateness/50) != nil:
			return "", nil
		}
	}
}

// await gives the client of an announced container time to make it, and to remove
// it, once.
func (u *undoer) await(c *contained) {
	if u.awaited[c.Name] {
		return
	}
	u.awaited[c.Name] = true
	if c.made() {
		u.answered[c.Name] = true
	}
}

// farewell is how long a container of containerd runs that has been told to stop.
const farewell = 3 * time.Second

// made waits for the client, whose standard input has ended, and says whether it
// has made what it makes: it has ended, or its container runs and does not stop.
// Such a client is ended: containerd may forget a shim that is deleted for two
// clients at once.
func (c *contained) made() bool {
	ctx, cancel := context.WithTimeout(context.Background(), lateness)
	defer cancel()
	var runs time.Time // first seen
	for ctx.Err() == nil {
		if c.Engine.Runs(ctx, c.Name) {
			switch {
			case c.Client == nil:
				return true
			case runs.IsZero():
				runs = time.Now()
			case time.Since(runs) > farewell:
				_, err := pidfd.Kill(ctx, c.Client.PID, c.Client.Start)
				return err == nil
			}
		}
		if c.Client == nil {
			_ = wait.For(ctx, lateness/50)
			continue
		}
		short, cancel := context.WithTimeout(ctx, lateness/50)
		err := pidfd.Wait(short, c.Client.PID, c.Client.Start)
		cancel()
		if err == nil {
			return true
		}
	}
	return false
}

// process is a pid with its start time (clock ticks since boot), so that a pid
// in use again is not mistaken for it.
type process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"`
}

// kill ends the process and those in its process group, and waits.
func (p *process) kill(ctx context.Context) (string, error) {
	group, err := p.group()
	if err != nil {
		return "", err
	}
	killed := 0
	for _, member := range append([]process{*p}, group...) {
		was, err := pidfd.Kill(ctx, member.PID, member.Start)
		if err != nil {
			return "", err
		}
		if was {
			killed++
		}
	}
	switch killed {
	case 0:
		return "", nil
	case 1:
		return fmt.Sprintf("killed process %d", p.PID), nil
	}
	return fmt.Sprintf("killed process %d and %d more of its group", p.PID, killed-1), nil
}

// group lists the other processes of the group that p leads or has led. The
// kernel gives a pid to nobody while a group has it, so that a group of another
// process of that pid is there only after this one has ended altogether.
func (p *process) group() ([]process, error) {
	if now, err := procfs.Host.StartTime(p.PID); err == nil && now != p.Start {
		return nil, nil
	}
	pids, err := procfs.Host.PIDs()
	if err != nil {
		return nil, err
	}
	var members []process
	for _, pid := range pids {
		s, err := procfs.Host.Stat(pid)
		if err != nil || int(s.PGID) != p.PID || pid == p.PID || pid == os.Getpid() || s.Start < p.Start {
			continue
		}
		members = append(members, process{pid, s.Start})
	}
	return members, nil
}
