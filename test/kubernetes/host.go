package kubernetes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

const netns = "peregrine-test"

// network makes the node: a network namespace with a link to the host. The
// kubelet refuses a loopback address as the node's.
func network() error {
	in := []string{"nsenter", "--net=/run/netns/" + netns}
	for _, args := range [][]string{
		{"ip", "netns", "add", netns},
		{"ip", "link", "add", "peregrine-k8s", "type", "veth", "peer", "name", "node0", "netns", netns},
		{"ip", "address", "add", HostIP + "/24", "dev", "peregrine-k8s"},
		{"ip", "link", "set", "peregrine-k8s", "up"},
		append(slices.Clone(in), "ip", "link", "set", "lo", "up"),
		append(slices.Clone(in), "ip", "address", "add", serviceIP+"/32", "dev", "lo"),
		append(slices.Clone(in), "ip", "address", "add", NodeIP+"/24", "dev", "node0"),
		append(slices.Clone(in), "ip", "link", "set", "node0", "up"),
		append(slices.Clone(in), "ip", "route", "add", "default", "via", HostIP),
		append(slices.Clone(in), "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"),
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}

// sysctls are those that the kubelet sets on the host and leaves so
// (pkg/kubelet/cm/container_manager_linux.go, setupKernelTunables).
var sysctls = []string{
	"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
	"kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
}

func saveSysctls(dir string) error {
	for _, name := range sysctls {
		value, err := os.ReadFile("/proc/sys/" + name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(sysctlFile(dir, name), value, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func restoreSysctls(dir string) error {
	var errs []error
	for _, name := range sysctls {
		was, err := os.ReadFile(sysctlFile(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		now, _ := os.ReadFile("/proc/sys/" + name)
		if err == nil && string(now) != string(was) {
			err = os.WriteFile("/proc/sys/"+name, was, 0o644)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func sysctlFile(dir, name string) string {
	return filepath.Join(dir, "sysctl-"+strings.ReplaceAll(name, "/", "."))
}

// outside are the directories that the kubelet, containerd and the CNI plugins
// write to, whatever they are told.
var outside = []string{"/run/containerd", "/var/lib/kubelet", "/var/log/containers", "/var/lib/cni"}

// saveOutside notes which of them were there before.
func saveOutside(dir string) error {
	var there []string
	for _, path := range outside {
		if _, err := os.Lstat(path); err == nil {
			there = append(there, path)
		}
	}
	return os.WriteFile(filepath.Join(dir, "outside"), []byte(strings.Join(there, "\n")), 0o600)
}

func removeOutside(dir string) error {
	note, err := os.ReadFile(filepath.Join(dir, "outside"))
	if err != nil {
		return nil // none was made yet
	}
	were := strings.Split(string(note), "\n")
	var errs []error
	for _, path := range outside {
		if !slices.Contains(were, path) {
			errs = append(errs, unmountBelow(path), os.RemoveAll(path))
		}
	}
	return errors.Join(errs...)
}

// unmountBelow unmounts everything at dir and below, the last mounted first.
func unmountBelow(dir string) error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	var errs []error
	for _, line := range slices.Backward(strings.Split(string(mounts), "\n")) {
		f := strings.Fields(line)
		if len(f) > 1 && (f[1] == dir || strings.HasPrefix(f[1], dir+"/")) {
			if err := syscall.Unmount(f[1], syscall.MNT_DETACH); err != nil {
				errs = append(errs, fmt.Errorf("unmount %s: %w", f[1], err))
			}
		}
	}
	return errors.Join(errs...)
}

// cgroups are the directories of the pods and of containerd's own, in every
// hierarchy.
func cgroups() []string {
	var found []string
	for _, name := range []string{"kubepods", "k8s.io"} {
		for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
			dirs, _ := filepath.Glob(pattern + name)
			found = append(found, dirs...)
		}
	}
	return found
}

// killCgroups ends every process in them: what runs in a pod is ours.
func killCgroups() {
	for _, root := range cgroups() {
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

func removeCgroups() error {
	var errs []error
	for _, root := range cgroups() {
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
