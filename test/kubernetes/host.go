package kubernetes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
// write to, whatever their configuration.
var outside = []string{"/run/containerd", "/var/lib/kubelet", "/var/log/containers", "/var/lib/cni"}

// A note is written before anything is changed or started. An incomplete one,
// or one of an earlier boot, says nothing about this host: objects that it does
// not list may be someone else's by now.
const noteEnd = "end\n"

// saveOutside notes the boot and which of the directories were there before.
// It renames a whole file into place: a kill leaves no half of one.
func saveOutside(dir, boot string) error {
	note := boot + "\n"
	for _, path := range outside {
		if _, err := os.Lstat(path); err == nil {
			note += path + "\n"
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	f, err := os.Create(filepath.Join(dir, "outside.new"))
	if err != nil {
		return err
	}
	_, err = f.WriteString(note + noteEnd)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(dir, "outside"))
}

// created are the outside directories that the cluster of a note made; ok is
// false if the note is not whole or of another boot.
func created(note, boot string) (dirs []string, ok bool) {
	were, whole := strings.CutSuffix(note, "\n"+noteEnd)
	lines := strings.Split(were, "\n")
	if !whole || boot == "" || lines[0] != boot {
		return nil, false
	}
	return slices.DeleteFunc(slices.Clone(outside), func(path string) bool { return slices.Contains(lines[1:], path) }), true
}

// removeTree removes a directory with its mounts. It keeps it if an unmount
// fails: a removal would go through the mount.
func removeTree(dir string) error {
	if err := unmountBelow(dir); err != nil {
		return err
	}
	return os.RemoveAll(dir)
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
