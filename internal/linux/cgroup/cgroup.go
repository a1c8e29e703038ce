// Package cgroup finds control groups in trees of version 1, version 2 and
// both at once, and reads and writes their files: cgroups(7).
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
)

// Tree is a mounted hierarchy.
type Tree struct {
	Version     int    // 1 or 2
	Root        string // the cgroup that the mount point shows, "/" outside of containers
	Dir         string // the mount point, below the root directory that Trees was given
	Controllers []string
	Name        string // of a v1 hierarchy without controllers, "systemd"
}

// Trees lists the hierarchies mounted below root, "" for the machine itself.
func Trees(root string) ([]Tree, error) {
	mounts, err := procfs.Root(filepath.Join(root+"/", "proc")).Mounts()
	if err != nil {
		return nil, err
	}
	var trees []Tree
	for _, m := range mounts {
		t := Tree{Root: m.Root, Dir: filepath.Join(root+"/", m.Point)}
		switch m.Type {
		case "cgroup":
			t.Version = 1
			t.Controllers, t.Name = v1Controllers(m.Options)
		case "cgroup2":
			t.Version = 2
			names, err := Read(filepath.Join(t.Dir, "cgroup.controllers"))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			t.Controllers = strings.Fields(names)
		default:
			continue
		}
		trees = append(trees, t)
	}
	return trees, nil
}

// v1Controllers picks controllers and name out of the mount options
// (kernel/cgroup/cgroup-v1.c: cgroup1_show_options).
func v1Controllers(options []string) (controllers []string, name string) {
	for _, o := range options {
		switch {
		case strings.HasPrefix(o, "name="):
			name = strings.TrimPrefix(o, "name=")
		case strings.Contains(o, "="), slices.Contains(v1Flags, o):
		default:
			controllers = append(controllers, o)
		}
	}
	return controllers, name
}

var v1Flags = []string{"rw", "ro", "none", "noprefix", "xattr", "clone_children", "cpuset_v2_mode", "favordynmods"}

// Has says whether a tree has a controller.
func (t Tree) Has(controller string) bool { return slices.Contains(t.Controllers, controller) }

// of says whether a line of /proc/PID/cgroup is about this tree.
func (t Tree) of(c procfs.Cgroup) bool {
	if t.Version == 2 || c.V2 {
		return t.Version == 2 && c.V2
	}
	names := c.Controllers()
	if len(t.Controllers) == 0 {
		return slices.Contains(names, "name="+t.Name)
	}
	return slices.Contains(names, t.Controllers[0])
}

// ErrHidden is the error of a cgroup that the mount of its tree does not show:
// it is outside of the container.
var ErrHidden = errors.New("not below what the mount shows")

// Find returns which of the cgroups is in this tree, and its directory.
// ErrHidden if the mount does not show it, fs.ErrNotExist if absent.
func (t Tree) Find(cgroups []procfs.Cgroup) (path, dir string, err error) {
	for _, c := range cgroups {
		if !t.of(c) {
			continue
		}
		inside, err := filepath.Rel(t.Root, c.Path)
		if err != nil || inside == ".." || strings.HasPrefix(inside, "../") {
			return c.Path, "", fmt.Errorf("cgroup %s, mounted at %s: %w", c.Path, t.Dir, ErrHidden)
		}
		return c.Path, filepath.Join(t.Dir, inside), nil
	}
	return "", "", fmt.Errorf("no cgroup in the tree at %s: %w", t.Dir, fs.ErrNotExist)
}

// Read returns a file's text without the newline at its end.
func Read(path string) (string, error) {
	text, err := os.ReadFile(path)
	return strings.TrimSpace(string(text)), err
}

// ReadInt reads a file that holds one number.
func ReadInt(path string) (int64, error) {
	text, err := Read(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(text, 10, 64)
}

// Counters reads a flat-keyed file: lines of "name number".
func Counters(path string) (map[string]uint64, error) {
	text, err := Read(path)
	if err != nil {
		return nil, err
	}
	counters := map[string]uint64{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			return counters, fmt.Errorf("%s: expected a name and a number, got %q", path, line)
		}
		counters[name] = n
	}
	return counters, nil
}

// Write sets a file of a cgroup. The error of a cgroup that is gone is
// fs.ErrNotExist.
func Write(path, value string) error {
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
		return fmt.Errorf("write %q: %w", value, err)
	}
	return nil
}

// Is says whether a directory is a cgroup.
func Is(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, procsFile))
	return err == nil
}

const procsFile = "cgroup.procs"

// Procs lists the processes in a cgroup, without those of cgroups below.
func Procs(dir string) ([]int, error) {
	text, err := Read(filepath.Join(dir, procsFile))
	if err != nil {
		return nil, err
	}
	var pids []int
	for word := range strings.FieldsSeq(text) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(dir, procsFile), err)
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// Move puts a process and its threads into a cgroup; pid 0 is the caller.
func Move(dir string, pid int) error {
	return Write(filepath.Join(dir, procsFile), strconv.Itoa(pid))
}

// isGone says whether an error means that a cgroup or a process in it no longer
// exists.
func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) || errors.Is(err, syscall.ENODEV)
}

// attempts bounds how often Remove starts again because of a process that has
// forked in between.
const attempts = 10

// Remove removes a cgroup. Remaining processes go to its parent: they may be
// other users'.
func Remove(dir string) error {
	for attempt := 1; ; attempt++ {
		pids, err := Procs(dir)
		if err != nil {
			return err
		}
		for _, pid := range pids {
			if err := Move(filepath.Dir(dir), pid); err != nil && !isGone(err) {
				return err
			}
		}
		// A process may have forked between the reading and the removal.
		err = syscall.Rmdir(dir)
		if err == syscall.EBUSY && attempt < attempts {
			continue
		}
		if err != nil {
			return fmt.Errorf("remove cgroup %s: %w", dir, err)
		}
		return nil
	}
}
