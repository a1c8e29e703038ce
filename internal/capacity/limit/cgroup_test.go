package limit

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	linuxcgroup "github.com/peregrine-sec/peregrine/internal/linux/cgroup"
)

// tree makes a directory tree of files for a Host; keys that end in a slash
// are empty directories.
func tree(t *testing.T, files map[string]string) Host {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if strings.HasSuffix(name, "/") {
			check(t, os.MkdirAll(path, 0o755))
			continue
		}
		check(t, os.MkdirAll(filepath.Dir(path), 0o755))
		check(t, os.WriteFile(path, []byte(text+"\n"), 0o644))
	}
	return Host{Root: root}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newJournal(t *testing.T, host Host) *Journal {
	t.Helper()
	j, err := OpenJournal(t.TempDir(), host)
	check(t, err)
	t.Cleanup(func() { _ = j.file.Descriptor().Close() })
	return j
}

// contents reads the named files below root, without the final newlines.
func contents(t *testing.T, host Host, names ...string) map[string]string {
	t.Helper()
	got := map[string]string{}
	for _, name := range names {
		text, err := linuxcgroup.Read(host.path(name))
		if err != nil {
			text = "<none>"
		}
		got[name] = text
	}
	return got
}

const mountinfo2 = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"

// unified is a host with cgroup v2 where the process that runs the test is a
// sensor, alone in its service's cgroup.
func unified(t *testing.T) Host {
	pid := os.Getpid()
	return tree(t, map[string]string{
		"proc/self/mountinfo":                                             mountinfo2,
		fmt.Sprintf("proc/%d/cgroup", pid):                                "0::/system.slice/falco.service",
		"sys/fs/cgroup/cgroup.controllers":                                "cpuset cpu io memory pids",
		"sys/fs/cgroup/cgroup.procs":                                      "1",
		"sys/fs/cgroup/cgroup.subtree_control":                            "pids",
		"sys/fs/cgroup/system.slice/cgroup.procs":                         "",
		"sys/fs/cgroup/system.slice/cpu.max":                              "max 100000",
		"sys/fs/cgroup/system.slice/falco.service/cgroup.procs":           fmt.Sprint(pid),
		"sys/fs/cgroup/system.slice/falco.service/cpu.max":                "200000 100000",
		"sys/fs/cgroup/system.slice/falco.service/memory.max":             "1073741824",
		"sys/fs/cgroup/system.slice/falco.service/memory.swap.max":        "max",
		"sys/fs/cgroup/system.slice/falco.service/cpu.stat":               "usage_usec 5000000\nnr_periods 50\nnr_throttled 7\nthrottled_usec 123456",
		"sys/fs/cgroup/system.slice/falco.service/memory.events":          "low 0\nhigh 0\nmax 3\noom 1\noom_kill 1",
		"sys/fs/cgroup/system.slice/falco.service/memory.current":         "1000",
		"sys/fs/cgroup/system.slice/falco.service/memory.peak":            "2000",
		"sys/fs/cgroup/system.slice/falco.service/cgroup.subtree_control": "",
	})
}

func TestUnifiedInPlace(t *testing.T) {
	host, ctx := unified(t), context.Background()
	const dir = "sys/fs/cgroup/system.slice/falco.service/"
	names := []string{dir + "cpu.max", dir + "memory.max", dir + "memory.swap.max"}
	before := contents(t, host, names...)

	place, err := ForPID(ctx, host, newJournal(t, host), os.Getpid(), "test")
	check(t, err)
	check(t, place.Apply(ctx, capacity.Limit{CPU: 0.5, Memory: 512 << 20}))
	check(t, place.Apply(ctx, capacity.Limit{CPU: 1, Memory: 512 << 20})) // a second row: the journal keeps the first state
	want := map[string]string{names[0]: "100000 100000", names[1]: "536870912", names[2]: "0"}
	if diff := cmp.Diff(want, contents(t, host, names...)); diff != "" {
		t.Errorf("limited (-want +got):\n%s", diff)
	}
	if err := place.Add(ctx, 1); err == nil {
		t.Error("Add to a running sensor's cgroup succeeded")
	}
	if _, err := os.Stat(host.path(dir, "cpu.weight")); err == nil {
		t.Error("a running sensor's weight is not the test's to change")
	}
	check(t, place.Restore(ctx))
	check(t, place.Restore(ctx))
	if diff := cmp.Diff(before, contents(t, host, names...)); diff != "" {
		t.Errorf("restored (-want +got):\n%s", diff)
	}
}

func TestUnifiedUsage(t *testing.T) {
	host := unified(t)
	place, err := ForPID(context.Background(), host, newJournal(t, host), os.Getpid(), "test")
	check(t, err)
	got, err := place.Usage()
	check(t, err)
	want := capacity.Usage{CPU: 5e9, Periods: 50, ThrottledPeriods: 7, Throttled: 123456e3, Memory: 1000, MemoryPeak: 2000, MemoryHits: 3, OOMKills: 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("usage (-want +got):\n%s", diff)
	}
}

func TestUnifiedNewCgroup(t *testing.T) {
	host, ctx := unified(t), context.Background()
	place, err := New(host, newJournal(t, host))
	check(t, err)
	check(t, place.Apply(ctx, capacity.Limit{CPU: 0.25}))
	check(t, place.Add(ctx, 4711))
	dir := fmt.Sprintf("sys/fs/cgroup/peregrine-capacity-%d/", os.Getpid())
	want := map[string]string{
		dir + "cpu.max": "25000 100000", dir + "cpu.weight": "10000", dir + "memory.max": "max", dir + "cgroup.procs": "4711",
		"sys/fs/cgroup/cgroup.subtree_control": "+memory", // the last of two
	}
	if diff := cmp.Diff(want, contents(t, host, dir+"cpu.max", dir+"cpu.weight", dir+"memory.max", dir+"cgroup.procs", "sys/fs/cgroup/cgroup.subtree_control")); diff != "" {
		t.Errorf("limited (-want +got):\n%s", diff)
	}
	// The kernel empties a cgroup directory by itself; here it is ours to do.
	entries, err := os.ReadDir(host.path(dir))
	check(t, err)
	for _, entry := range entries {
		check(t, os.Remove(host.path(dir, entry.Name())))
	}
	check(t, os.WriteFile(host.path(dir, "cgroup.procs"), nil, 0o644))
	if err := place.Restore(ctx); err == nil || !strings.Contains(err.Error(), "capacity restore") {
		t.Errorf("Restore of a directory that cannot be removed: %v, want the command that tries again", err)
	}
}

func TestSmallerLimitAbove(t *testing.T) {
	host := unified(t)
	check(t, os.WriteFile(host.path("sys/fs/cgroup/system.slice/cpu.max"), []byte("100000 100000\n"), 0o644))
	place, err := ForPID(context.Background(), host, newJournal(t, host), os.Getpid(), "test")
	check(t, err)
	check(t, place.Apply(context.Background(), capacity.Limit{CPU: 1}))
	err = place.Apply(context.Background(), capacity.Limit{CPU: 2})
	if err == nil || !strings.Contains(err.Error(), "allows 1 CPU only") {
		t.Errorf("2 CPU under a slice with 1: %v", err)
	}
}

func TestLegacyInPlace(t *testing.T) {
	pid, ctx := os.Getpid(), context.Background()
	host := tree(t, map[string]string{
		"proc/self/mountinfo": "31 24 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n" +
			"32 24 0:28 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
		fmt.Sprintf("proc/%d/cgroup", pid):                             "5:cpu,cpuacct:/sensor\n4:memory:/docker/abc/sensor\n0::/",
		"sys/fs/cgroup/cpu,cpuacct/sensor/cgroup.procs":                fmt.Sprint(pid),
		"sys/fs/cgroup/cpu,cpuacct/sensor/cpu.cfs_period_us":           "50000",
		"sys/fs/cgroup/cpu,cpuacct/sensor/cpu.cfs_quota_us":            "-1",
		"sys/fs/cgroup/cpu,cpuacct/sensor/cpu.stat":                    "nr_periods 9\nnr_throttled 4\nthrottled_time 77",
		"sys/fs/cgroup/cpu,cpuacct/sensor/cpuacct.usage":               "123",
		"sys/fs/cgroup/memory/sensor/cgroup.procs":                     fmt.Sprint(pid),
		"sys/fs/cgroup/memory/sensor/memory.limit_in_bytes":            "1048576",
		"sys/fs/cgroup/memory/sensor/memory.memsw.limit_in_bytes":      "1048576",
		"sys/fs/cgroup/memory/sensor/memory.max_usage_in_bytes":        "10",
		"sys/fs/cgroup/memory/sensor/memory.usage_in_bytes":            "9",
		"sys/fs/cgroup/memory/sensor/memory.failcnt":                   "2",
		"sys/fs/cgroup/memory/sensor/memory.oom_control":               "oom_kill_disable 0\nunder_oom 0\noom_kill 1",
		"sys/fs/cgroup/memory/cgroup.procs":                            "",
		"sys/fs/cgroup/cpu,cpuacct/cgroup.procs":                       "",
		"sys/fs/cgroup/cpu,cpuacct/sensor/ignored/cgroup.clone_childr": "0",
	})
	const cpu, memory = "sys/fs/cgroup/cpu,cpuacct/sensor/", "sys/fs/cgroup/memory/sensor/"
	names := []string{cpu + "cpu.cfs_period_us", cpu + "cpu.cfs_quota_us", memory + "memory.limit_in_bytes", memory + "memory.memsw.limit_in_bytes"}
	before := contents(t, host, names...)
	place, err := ForPID(ctx, host, newJournal(t, host), pid, "test")
	check(t, err)
	check(t, place.Apply(ctx, capacity.Limit{CPU: 1.5, Memory: 2 << 20}))
	want := map[string]string{names[0]: "100000", names[1]: "150000", names[2]: "2097152", names[3]: "2097152"}
	if diff := cmp.Diff(want, contents(t, host, names...)); diff != "" {
		t.Errorf("limited (-want +got):\n%s", diff)
	}
	usage, err := place.Usage()
	check(t, err)
	if diff := cmp.Diff(capacity.Usage{CPU: 123, Periods: 9, ThrottledPeriods: 4, Throttled: 77, Memory: 9, MemoryPeak: 10, MemoryHits: 2, OOMKills: 1}, usage); diff != "" {
		t.Errorf("usage (-want +got):\n%s", diff)
	}
	check(t, place.Restore(ctx))
	if diff := cmp.Diff(before, contents(t, host, names...)); diff != "" {
		t.Errorf("restored (-want +got):\n%s", diff)
	}
}

// The memory limit may never exceed the one of memory and swap: which of the
// two is written first depends on the direction.
func TestLegacyOrder(t *testing.T) {
	host := tree(t, map[string]string{"m/memory.limit_in_bytes": "1000"})
	c := cgroup{host: host, version: 1, dirs: map[string]string{"cpu": host.path("c"), "memory": host.path("m")}}
	for want, l := range map[string]capacity.Limit{"memory.limit_in_bytes": {Memory: 500}, "memory.memsw.limit_in_bytes": {Memory: 2000}} {
		if got := filepath.Base(c.files(l)[2].path); got != want {
			t.Errorf("%v is written to %s first, want %s", l, got, want)
		}
	}
	if got := filepath.Base(c.files(capacity.Limit{})[2].path); got != "memory.memsw.limit_in_bytes" {
		t.Errorf("no limit is written to %s first", got)
	}
}

func TestNoControllers(t *testing.T) {
	host := tree(t, map[string]string{
		"proc/self/mountinfo":              mountinfo2,
		"sys/fs/cgroup/cgroup.controllers": "hugetlb",
	})
	if _, err := New(host, newJournal(t, host)); err == nil || !strings.Contains(err.Error(), "cpu controller") {
		t.Errorf("New without controllers: %v", err)
	}
}
