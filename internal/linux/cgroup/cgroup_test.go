package cgroup

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
	"github.com/peregrine-sec/peregrine/test/support/leaks"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// world writes files below a new root directory.
func world(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const v1Mounts = `30 24 0:26 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct
31 24 0:27 /docker/x /cg/m\040m rw - cgroup cgroup rw,xattr,memory
33 24 0:29 / /cg/systemd rw - cgroup cgroup rw,none,name=systemd
`

func TestTrees(t *testing.T) {
	cpu := Tree{Version: 1, Root: "/", Dir: "/cg/cpu", Controllers: []string{"cpu", "cpuacct"}}
	memory := Tree{Version: 1, Root: "/docker/x", Dir: "/cg/m m", Controllers: []string{"memory"}}
	systemd := Tree{Version: 1, Root: "/", Dir: "/cg/systemd", Name: "systemd"}
	for name, tt := range map[string]struct {
		files map[string]string
		want  []Tree
	}{
		"v1": {map[string]string{"proc/self/mountinfo": v1Mounts}, []Tree{cpu, memory, systemd}},
		"v2": {map[string]string{
			"proc/self/mountinfo":              "30 24 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
			"sys/fs/cgroup/cgroup.controllers": "cpu memory pids\n",
		}, []Tree{{Version: 2, Root: "/", Dir: "/sys/fs/cgroup", Controllers: []string{"cpu", "memory", "pids"}}}},
		"hybrid": {map[string]string{
			"proc/self/mountinfo": v1Mounts + "32 24 0:28 / /cg/unified rw - cgroup2 cgroup2 rw\n",
		}, []Tree{cpu, memory, systemd, {Version: 2, Root: "/", Dir: "/cg/unified"}}},
		"none": {map[string]string{"proc/self/mountinfo": "21 1 0:19 / / rw - ext4 /dev/root rw\n"}, nil},
	} {
		root := world(t, tt.files)
		for i := range tt.want {
			tt.want[i].Dir = root + tt.want[i].Dir
		}
		got, err := Trees(root)
		for i := range got {
			if len(got[i].Controllers) == 0 {
				got[i].Controllers = nil
			}
		}
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
	if _, err := Trees(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no proc: %v", err)
	}
}

func TestFind(t *testing.T) {
	v1 := procfs.ParseCgroups("4:cpu,cpuacct:/c\n3:memory:/docker/x/m\n2:pids:/p\n1:name=systemd:/s\n0::/u\n")
	for name, tt := range map[string]struct {
		tree Tree
		path string
		dir  string
		err  error
	}{
		"v1":          {Tree{Version: 1, Root: "/", Dir: "/cg/cpu", Controllers: []string{"cpu", "cpuacct"}}, "/c", "/cg/cpu/c", nil},
		"v2":          {Tree{Version: 2, Root: "/", Dir: "/cg"}, "/u", "/cg/u", nil},
		"named":       {Tree{Version: 1, Root: "/", Dir: "/cg/systemd", Name: "systemd"}, "/s", "/cg/systemd/s", nil},
		"a container": {Tree{Version: 1, Root: "/docker/x", Dir: "/cg/m", Controllers: []string{"memory"}}, "/docker/x/m", "/cg/m/m", nil},
		"outside":     {Tree{Version: 1, Root: "/docker/y", Dir: "/cg/m", Controllers: []string{"memory"}}, "/docker/x/m", "", ErrHidden},
		"sibling":     {Tree{Version: 2, Root: "/u/..more", Dir: "/cg"}, "/u", "", ErrHidden},
		"none":        {Tree{Version: 1, Root: "/", Dir: "/cg/cpuset", Controllers: []string{"cpuset"}}, "", "", fs.ErrNotExist},
	} {
		path, dir, err := tt.tree.Find(v1)
		if path != tt.path || dir != tt.dir || !errors.Is(err, tt.err) {
			t.Errorf("%s: %q, %q, %v; want %q, %q, %v", name, path, dir, err, tt.path, tt.dir, tt.err)
		}
	}
}

func TestFiles(t *testing.T) {
	dir := world(t, map[string]string{"n": "-1\n", "cpu.stat": "usage_usec 5\nnr_periods 9\n", "odd": "a 1\nb x\n", "cgroup.procs": "3\n12\n", "bad/cgroup.procs": "x\n"})
	if n, err := ReadInt(filepath.Join(dir, "n")); n != -1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	counters, err := Counters(filepath.Join(dir, "cpu.stat"))
	if diff := cmp.Diff(map[string]uint64{"usage_usec": 5, "nr_periods": 9}, counters); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if _, err := Counters(filepath.Join(dir, "odd")); err == nil {
		t.Error("a counter that is no number was accepted")
	}
	if pids, err := Procs(dir); err != nil || !slices.Equal(pids, []int{3, 12}) {
		t.Errorf("%v, %v", pids, err)
	}
	if _, err := Procs(filepath.Join(dir, "bad")); err == nil {
		t.Error("a pid that is no number was accepted")
	}
	if err := Write(filepath.Join(dir, "gone", "x"), "1"); !isGone(err) {
		t.Errorf("write to a cgroup that is gone: %v", err)
	}
	if !Is(dir) || Is(filepath.Join(dir, "gone")) {
		t.Error("Is is wrong")
	}
}

// Memory may be of the other version than CPU, and either may be missing.
func TestUsage(t *testing.T) {
	dir := world(t, map[string]string{
		"cpu2/cpu.stat":                  "usage_usec 5\nnr_periods 9\nnr_throttled 3\nthrottled_usec 41\n",
		"mem2/memory.current":            "8",
		"mem2/memory.events":             "max 4\noom_kill 2\n",
		"mem2/memory.peak":               "6", // read before it grew
		"cpu1/cpu.stat":                  "nr_periods 9\nnr_throttled 3\nthrottled_time 41000\n",
		"cpu1/cpuacct.usage":             "5000",
		"mem1/memory.usage_in_bytes":     "7",
		"mem1/memory.max_usage_in_bytes": "8",
		"mem1/memory.failcnt":            "4",
		"mem1/memory.oom_control":        "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
	})
	cpu := Usage{CPU: 5000, Periods: 9, ThrottledPeriods: 3, Throttled: 41000}
	for _, tt := range []struct {
		cpu, memory string
		want        Usage
		missing     bool
	}{
		{"cpu2", "mem2", Usage{Memory: 8, MemoryPeak: 8, MemoryHits: 4, OOMKills: 2}, false},
		{"cpu1", "mem1", Usage{Memory: 7, MemoryPeak: 8, MemoryHits: 4, OOMKills: 2}, false},
		{"cpu2", "mem1", Usage{Memory: 7, MemoryPeak: 8, MemoryHits: 4, OOMKills: 2}, false},
		{"cpu1", "gone", Usage{}, false},
		{"gone", "mem1", Usage{Memory: 7, MemoryPeak: 8, MemoryHits: 4, OOMKills: 2}, true},
		{"gone", "mem2", Usage{Memory: 8, MemoryPeak: 8, MemoryHits: 4, OOMKills: 2}, true},
	} {
		dirs := map[string]string{"memory": filepath.Join(dir, tt.memory), "cpu": filepath.Join(dir, tt.cpu), "cpuacct": filepath.Join(dir, tt.cpu)}
		if !tt.missing {
			tt.want.CPU, tt.want.Periods, tt.want.ThrottledPeriods, tt.want.Throttled = cpu.CPU, cpu.Periods, cpu.ThrottledPeriods, cpu.Throttled
		}
		got, err := ReadUsage(dirs)
		if got != tt.want || errors.Is(err, fs.ErrNotExist) != tt.missing {
			t.Errorf("%s and %s: %+v, %v, want %+v", tt.cpu, tt.memory, got, err, tt.want)
		}
	}
	if u, err := ReadUsage(nil); u != (Usage{}) || err == nil {
		t.Errorf("no directories: %+v, %v", u, err)
	}
}

// TestKernel makes a cgroup in each tree that allows it, moves a process in,
// and removes it under the process.
func TestKernel(t *testing.T) {
	trees, err := Trees("")
	if err != nil {
		t.Fatal(err)
	}
	own, err := procfs.Host.Cgroups(0)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	tried := 0
	for _, tree := range trees {
		_, dir, err := tree.Find(own)
		if err != nil || tree.Has("cpuset") { // takes processes only once it has CPUs
			continue
		}
		dir = filepath.Join(dir, "peregrine-test-cgroup")
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		tried++
		if err := Move(dir, cmd.Process.Pid); err != nil {
			t.Error(err)
		}
		if pids, err := Procs(dir); err != nil || !slices.Equal(pids, []int{cmd.Process.Pid}) {
			t.Errorf("%s: %v, %v", dir, pids, err)
		}
		if err := Remove(dir); err != nil || Is(dir) {
			t.Errorf("%s: %v", dir, err)
		}
	}
	if tried == 0 {
		needs.That(t, "a cgroup that can be made", fs.ErrPermission)
	}
}
