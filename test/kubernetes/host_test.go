package kubernetes

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func TestForeign(t *testing.T) {
	const v2 = "cgroup/cgroup.controllers"
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"nothing":                     {nil, ""},
		"ours, version 1":             {map[string]string{"cgroup/memory/" + cgroupRoot + "/kubepods/cgroup.procs": ""}, ""},
		"ours, version 2":             {map[string]string{v2: "", "cgroup/" + cgroupRoot + "/kubepods/cgroup.procs": ""}, ""},
		"cgroupfs driver, version 1":  {map[string]string{"cgroup/memory/kubepods/cgroup.procs": ""}, "cgroup/memory/kubepods"},
		"cgroupfs driver, version 2":  {map[string]string{v2: "", "cgroup/kubepods/cgroup.procs": ""}, "cgroup/kubepods"},
		"systemd driver, version 1":   {map[string]string{"cgroup/systemd/kubepods.slice/cgroup.procs": ""}, "cgroup/systemd/kubepods.slice"},
		"systemd driver, version 2":   {map[string]string{v2: "", "cgroup/kubepods.slice/cgroup.procs": ""}, "cgroup/kubepods.slice"},
		"a kubelet with another root": {map[string]string{"proc/7/comm": "kubelet\n", "proc/7/ns/mnt": "mnt:[1]"}, "proc/7"},
		"a kubelet in a container":    {map[string]string{"proc/7/comm": "kubelet\n", "proc/7/ns/mnt": "mnt:[2]"}, ""},
		"another process":             {map[string]string{"proc/7/comm": "kubelet-not\n", "proc/7/ns/mnt": "mnt:[1]"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			tree(t, root, map[string]string{"proc/self/ns/mnt": "mnt:[1]", "cgroup/memory/cgroup.procs": "", "cgroup/systemd/cgroup.procs": ""})
			tree(t, root, c.files)
			want := c.want
			if want != "" {
				want = filepath.Join(root, want)
			}
			if got := foreign(filepath.Join(root, "cgroup"), filepath.Join(root, "proc")); got != want {
				t.Errorf("found %q, want %q", got, want)
			}
		})
	}
}

// tree makes files; those named mnt are links, as in /proc.
func tree(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for path, content := range files {
		path = filepath.Join(root, path)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil && filepath.Base(path) == "mnt" {
			err = os.Symlink(content, path)
		} else if err == nil {
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestMakeCgroups(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"version 1": {map[string]string{"memory/cgroup.procs": "", "cpu/cgroup.procs": ""}, []string{"cpu", "memory"}},
		"version 2": {map[string]string{"cgroup.controllers": "io pids rdma\n", "system.slice/cgroup.procs": ""}, []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			tree(t, root, c.files)
			for range 2 { // a killed test may have left it
				if err := makeCgroups(root); err != nil {
					t.Fatal(err)
				}
			}
			var want []string
			for _, hierarchy := range c.want {
				want = append(want, filepath.Join(root, hierarchy, cgroupRoot))
			}
			if got := cgroups(root, cgroupRoot); !slices.Equal(got, want) {
				t.Errorf("made %q, want %q", got, want)
			}
			if name == "version 2" {
				if on, _ := os.ReadFile(filepath.Join(root, "cgroup.subtree_control")); string(on) != "+pids" {
					t.Errorf("switched on %q", on)
				}
			}
		})
	}
}

func TestCreated(t *testing.T) {
	for name, c := range map[string]struct {
		note, boot string
		want       []string
		ok         bool
	}{
		"none":            {"", "b", nil, false},
		"all made":        {"b\nend\n", "b", outside, true},
		"some were there": {"b\n/run/containerd\n/var/lib/cni\nend\n", "b", []string{"/var/lib/kubelet", "/var/log/containers"}, true},
		"no end":          {"b\n/run/containerd\n", "b", nil, false},
		"cut in the end":  {"b\n/run/containerd\nen", "b", nil, false},
		"only the end":    {"end\n", "end", nil, false},
		"another boot":    {"a\nend\n", "b", nil, false},
		"no boot":         {"\nend\n", "", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := created(c.note, c.boot)
			if ok != c.ok || !slices.Equal(got, c.want) {
				t.Errorf("created %q, %v; want %q, %v", got, ok, c.want, c.ok)
			}
		})
	}
}

// TestSaveOutside reads back a complete note, and finds no temporary file.
func TestSaveOutside(t *testing.T) {
	dir := t.TempDir()
	if err := saveOutside(dir, "b"); err != nil {
		t.Fatal(err)
	}
	note, err := os.ReadFile(filepath.Join(dir, "outside"))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := created(string(note), "b"); !ok {
		t.Errorf("not whole: %q", note)
	}
	if _, err := os.Stat(filepath.Join(dir, "outside.new")); err == nil {
		t.Error("the temporary file is left")
	}
}

// TestTakeDownForeignState removes the state directory of another boot, or of
// a cluster that never began, and touches nothing else: not the directories
// outside, not the process that has a noted pid by now.
func TestTakeDownForeignState(t *testing.T) {
	for name, note := range map[string]string{"another boot": "a\nend\n", "not whole": ""} {
		t.Run(name, func(t *testing.T) {
			other := exec.Command("sleep", "60")
			if err := other.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { other.Process.Kill(); other.Wait() }()
			pid := other.Process.Pid
			started, err := procfs.Host.StartTime(pid)
			if err != nil {
				t.Fatal(err)
			}
			root := t.TempDir()
			kept := filepath.Join(root, "kept")
			was := outside
			outside = []string{kept}
			t.Cleanup(func() { outside = was })
			dir := filepath.Join(root, "state")
			tree(t, root, map[string]string{
				"kept/file": "", "state/outside": note, "state/etcd.pid": fmt.Sprintf("%d %d", pid, started),
			})
			if err := takeDown(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(kept, "file")); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(dir); err == nil {
				t.Error("the state is left")
			}
			if !procfs.Host.Alive(pid, started) {
				t.Error("ended another process")
			}
		})
	}
}

// TestClaimRefused keeps the remains while another kubelet runs.
func TestClaimRefused(t *testing.T) {
	root := t.TempDir()
	tree(t, root, map[string]string{
		"state/outside": "a\nend\n", "cgroup/cgroup.controllers": "", "cgroup/kubepods.slice/cgroup.procs": "",
	})
	dir, cgroup := filepath.Join(root, "state"), filepath.Join(root, "cgroup")
	if err := claim(dir, cgroup, root); err == nil {
		t.Error("claimed beside another kubelet")
	}
	if _, err := os.Stat(filepath.Join(dir, "outside")); err != nil {
		t.Errorf("taken down: %v", err)
	}
	if err := os.RemoveAll(filepath.Join(cgroup, "kubepods.slice")); err != nil {
		t.Fatal(err)
	}
	if err := claim(dir, cgroup, root); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the state is left")
	}
}

// TestRemoveTree unmounts first: the mounted directory keeps its files.
func TestRemoveTree(t *testing.T) {
	needs.Root(t)
	root := t.TempDir()
	tree(t, root, map[string]string{"source/file": "", "tree/mount point/file": "", "tree/mount/file": ""})
	dir := filepath.Join(root, "tree")
	bind := func(name string) string {
		target := filepath.Join(dir, name)
		if err := syscall.Mount(filepath.Join(root, "source"), target, "", syscall.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		return target
	}
	// The kernel writes the space as \040: that name cannot be unmounted.
	stuck := bind("mount point")
	bind("mount")
	if err := removeTree(dir); err == nil {
		t.Error("no error for a mount that stayed")
	}
	if err := syscall.Unmount(stuck, 0); err != nil {
		t.Fatal(err)
	}
	if err := removeTree(dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(root, "source/file")); err != nil {
		t.Errorf("removed through a mount: %v", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the tree is left")
	}
}
