package kubernetes

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
)

const (
	cgroupFS = "/sys/fs/cgroup"
	// cgroupRoot has the kubelet's kubepods below it, apart from other kubelets'
	// pods.
	cgroupRoot = "peregrine-test-kubernetes"
)

// foreign names a trace of another kubelet on this machine, or "". The cgroups
// are those of its cgroupfs and systemd drivers; it may have another root, so
// its process counts too, unless it is in a container. Ours is not called so:
// its program is hyper.
func foreign(cgroupFS, proc string) string {
	if found := cgroups(cgroupFS, "kubepods", "kubepods.slice"); len(found) > 0 {
		return found[0]
	}
	mounts, _ := os.Readlink(filepath.Join(proc, "self/ns/mnt"))
	names, _ := filepath.Glob(filepath.Join(proc, "[0-9]*/comm"))
	for _, path := range names {
		name, _ := os.ReadFile(path) // the process may have ended
		if string(name) != "kubelet\n" {
			continue
		}
		if its, err := os.Readlink(filepath.Join(filepath.Dir(path), "ns/mnt")); err == nil && its == mounts {
			return filepath.Dir(path)
		}
	}
	return ""
}

// hierarchies are the roots of the cgroup trees: one of version 2, or one for
// each controller of version 1.
func hierarchies(cgroupFS string) []string {
	if _, err := os.Stat(filepath.Join(cgroupFS, "cgroup.controllers")); err == nil {
		return []string{cgroupFS}
	}
	roots, _ := filepath.Glob(cgroupFS + "/*/cgroup.procs")
	for i, path := range roots {
		roots[i] = filepath.Dir(path)
	}
	return roots
}

// cgroups are those with one of the names at the top of any hierarchy.
func cgroups(cgroupFS string, names ...string) (found []string) {
	for _, root := range hierarchies(cgroupFS) {
		for _, name := range names {
			path := filepath.Join(root, name)
			if _, err := os.Stat(path); err == nil {
				found = append(found, path)
			}
		}
	}
	return found
}

// makeCgroups makes the root of the pods, which the kubelet wants to find with
// every controller that it uses (pkg/kubelet/cm, Validate).
func makeCgroups(cgroupFS string) error {
	for _, root := range hierarchies(cgroupFS) {
		if err := os.Mkdir(filepath.Join(root, cgroupRoot), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	controllers, err := os.ReadFile(filepath.Join(cgroupFS, "cgroup.controllers"))
	if err != nil {
		return nil // version 1 has no such file and nothing to switch on
	}
	for _, name := range strings.Fields(string(controllers)) {
		if !slices.Contains([]string{"cpu", "cpuset", "memory", "hugetlb", "pids"}, name) {
			continue
		}
		if err := os.WriteFile(filepath.Join(cgroupFS, "cgroup.subtree_control"), []byte("+"+name), 0o644); err != nil {
			return fmt.Errorf("enable the cgroup controller %s: %w", name, err)
		}
	}
	return nil
}

// killCgroups ends every process in our pods.
func killCgroups(cgroupFS string) {
	for _, root := range cgroups(cgroupFS, cgroupRoot) {
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error { // whose function returns none
			if err != nil || d.Name() != "cgroup.procs" {
				return nil
			}
			content, _ := os.ReadFile(path)
			for _, field := range strings.Fields(string(content)) {
				if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
					_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
				}
			}
			return nil
		})
	}
}

func removeCgroups(cgroupFS string) error {
	var errs []error
	for _, root := range cgroups(cgroupFS, cgroupRoot) {
		var dirs []string
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error { // whose function returns none
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for _, dir := range slices.Backward(dirs) {
			if err := syscall.Rmdir(dir); err != nil && err != syscall.ENOENT {
				errs = append(errs, fmt.Errorf("remove cgroup %s: %w", dir, err))
			}
		}
	}
	return errors.Join(errs...)
}
