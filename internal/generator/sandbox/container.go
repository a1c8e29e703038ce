package sandbox

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Sensors know a container by the path of its cgroup, in which the id is 64
// hexadecimal digits (Docker, CRI) or which is below a known name (LXC).
var containerPath = regexp.MustCompile(`(?m)(^|[/:-])[0-9a-f]{64}(\.scope)?(/|$)|/lxc(\.payload)?[./]`)

// InContainer says whether sensors take this process to be in a container.
func InContainer() bool {
	cgroups, _ := os.ReadFile("/proc/self/cgroup") // without it the mounts decide
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	return inContainer(string(cgroups), string(mounts))
}

// inContainer looks at the cgroups, and, since a private cgroup namespace
// shows only "/", for the files that every container engine mounts into /etc.
// (/.dockerenv says nothing: machine images made from container images have it.)
func inContainer(cgroups, mountinfo string) bool {
	if containerPath.MatchString(cgroups) {
		return true
	}
	mounted := map[string]bool{}
	for line := range strings.Lines(mountinfo) {
		if fields := strings.Fields(line); len(fields) > 4 {
			mounted[fields[4]] = true
		}
	}
	return mounted["/etc/hosts"] && mounted["/etc/resolv.conf"]
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
		if err := os.WriteFile(filepath.Join(path, "cgroup.procs"), []byte("0"), 0); err != nil {
			return fmt.Errorf("enter container look-alike: %w", err)
		}
	}
	return nil
}

// ownCgroups are the directories of this process's cgroups, in all mounted
// hierarchies that suit.
func ownCgroups() ([]string, error) {
	mounts, err := cgroupMounts()
	if err != nil {
		return nil, err
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, line := range strings.Split(strings.TrimSpace(string(own)), "\n") {
		part := strings.SplitN(line, ":", 3) // number:controllers:path
		if len(part) != 3 || slices.ContainsFunc(strings.Split(part[1], ","), func(c string) bool { return slices.Contains(unsuited, c) }) {
			continue
		}
		mount, ok := mounts[part[1]]
		if !ok {
			continue
		}
		dir := filepath.Join(mount, part[2])
		if unix.Access(dir, unix.W_OK) == nil {
			dirs = append(dirs, dir)
		}
	}
	if len(dirs) == 0 {
		return nil, errors.New("no writable cgroup hierarchy that suits")
	}
	return dirs, nil
}

// cgroupMounts maps the controllers of a hierarchy, as /proc/self/cgroup
// writes them ("" for v2), to where it is mounted.
func cgroupMounts() (map[string]string, error) {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	mounts := map[string]string{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		before, after, found := strings.Cut(lines.Text(), " - ")
		at, kind := strings.Fields(before), strings.Fields(after)
		if !found || len(at) < 5 || len(kind) < 3 || at[3] != "/" {
			continue
		}
		switch kind[0] {
		case "cgroup2":
			mounts[""] = unescape(at[4])
		case "cgroup":
			mounts[controllers(kind[2])] = unescape(at[4])
		}
	}
	return mounts, nil
}

// controllers picks a hierarchy's controllers out of its mount options.
func controllers(options string) string {
	var list []string
	for _, o := range strings.Split(options, ",") {
		switch {
		case strings.HasPrefix(o, "name="):
			list = append(list, o)
		case !slices.Contains([]string{"rw", "ro", "xattr", "clone_children", "noprefix", "cpuset_v2_mode", "favordynmods", "release_agent"}, o) && !strings.Contains(o, "="):
			list = append(list, o)
		}
	}
	return strings.Join(list, ",")
}
