package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/linux/cgroup"
	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
)

// Sensors know a container by the path of its cgroup, in which the id is 64
// hexadecimal digits (Docker, CRI) or which is below a known name (LXC).
var containerPath = regexp.MustCompile(`(^|[/:-])[0-9a-f]{64}(\.scope)?(/|$)|/lxc(\.payload)?[./]`)

// InContainer says whether sensors take this process to be in a container.
func InContainer() bool {
	cgroups, _ := procfs.Host.Cgroups(0) // without it the mounts decide
	mounts, _ := procfs.Host.Mounts()
	return inContainer(cgroups, mounts)
}

// inContainer looks at the cgroups, and, since a private cgroup namespace
// shows only "/", for the files that every container engine mounts into /etc.
// (/.dockerenv says nothing: machine images made from container images have it.)
func inContainer(cgroups []procfs.Cgroup, mounts []procfs.Mount) bool {
	if slices.ContainsFunc(cgroups, func(c procfs.Cgroup) bool { return containerPath.MatchString(c.Path) }) {
		return true
	}
	mounted := func(path string) bool {
		return slices.ContainsFunc(mounts, func(m procfs.Mount) bool { return m.Point == path })
	}
	return mounted("/etc/hosts") && mounted("/etc/resolv.conf")
}

// Lookalike is a set of cgroups, one in each usable hierarchy, whose path has
// the shape of a Docker container's.
type Lookalike struct {
	ID    string   // 64 hexadecimal digits
	Paths []string // the cgroups' directories
}

// unsuited are v1 controllers whose cgroups cost or need more than a name:
// cpuset must be configured before it takes processes, and memory keeps dead
// cgroups until the last page is gone.
var unsuited = []string{"cpuset", "memory"}

// NewLookalike makes the cgroups, below those that this process is in: limits
// set for it stay in force.
func NewLookalike(run string, journal *Journal) (*Lookalike, error) {
	digest := sha256.Sum256([]byte("peregrine look-alike " + run))
	l := &Lookalike{ID: hex.EncodeToString(digest[:])}
	hierarchies, err := ownCgroups()
	if err != nil {
		return nil, fmt.Errorf("container look-alike: %w", err)
	}
	var errs []error
	for _, own := range hierarchies {
		// Nothing of it is shared with other runs or with Docker itself.
		top := filepath.Join(own, "peregrine-"+run)
		path := filepath.Join(top, "docker", l.ID)
		if err := makeCgroups(journal, top, filepath.Dir(path), path); err != nil {
			errs = append(errs, err)
			continue
		}
		l.Paths = append(l.Paths, path)
	}
	if len(l.Paths) == 0 {
		return nil, fmt.Errorf("container look-alike: no cgroup can be made: %w", errors.Join(append(errs, errors.New("are cgroups mounted, and writable for this user?"))...))
	}
	return l, nil
}

func makeCgroups(journal *Journal, paths ...string) error {
	for _, path := range paths {
		if err := journal.Cgroup(path); err != nil {
			return err
		}
		if err := os.Mkdir(path, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// Join moves this process into the cgroups. Sensors look at a process's
// cgroups when it executes a program: do that next.
func Join(paths []string) error {
	for _, path := range paths {
		if err := cgroup.Move(path, 0); err != nil {
			return fmt.Errorf("enter container look-alike: %w", err)
		}
	}
	return nil
}

// ownCgroups are the directories of this process's cgroups, in all mounted
// hierarchies that suit.
func ownCgroups() ([]string, error) {
	trees, err := cgroup.Trees("")
	if err != nil {
		return nil, err
	}
	own, err := procfs.Host.Cgroups(0)
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, tree := range trees {
		_, dir, err := tree.Find(own)
		if err != nil || tree.Version == 1 && slices.ContainsFunc(unsuited, tree.Has) {
			continue
		}
		if unix.Access(dir, unix.W_OK) == nil {
			dirs = append(dirs, dir)
		}
	}
	if len(dirs) == 0 {
		return nil, errors.New("no suitable cgroup hierarchy is writable")
	}
	return dirs, nil
}
