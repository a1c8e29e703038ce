package limit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	linuxcgroup "github.com/peregrine-sec/peregrine/internal/linux/cgroup"
	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
)

// cgroup is a Place made of control group directories: one for all
// controllers in version 2, one for each in version 1.
type cgroup struct {
	host    Host
	journal *Journal
	version int
	dirs    map[string]string // by controller
	own     bool              // made by us, so that nothing else is in it
	before  map[string]string // files that Apply has journalled already
}

var _ Place = (*cgroup)(nil)

// Usage reads the counters of the cgroup.
func (c *cgroup) Usage() (capacity.Usage, error) { return linuxcgroup.ReadUsage(c.dirs) }

// NewCgroup makes an empty cgroup for a sensor that is about to be started.
func NewCgroup(host Host, journal *Journal, name string) (Place, error) {
	trees, err := host.trees()
	if err != nil {
		return nil, err
	}
	c := &cgroup{host: host, journal: journal, version: trees["cpu"].Version, own: true,
		dirs: map[string]string{}, before: map[string]string{}}
	for _, controller := range controllers {
		tree, ok := trees[controller]
		if !ok {
			continue
		}
		if tree.Version == 2 {
			if err := c.delegate(tree, controller); err != nil {
				return nil, err
			}
		}
		dir := filepath.Join(tree.Dir, name)
		if err := c.mkdir(dir); err != nil {
			return nil, err
		}
		c.dirs[controller] = dir
	}
	return c, nil
}

// delegate makes a controller available to the children of a v2 tree's root.
func (c *cgroup) delegate(tree linuxcgroup.Tree, controller string) error {
	file := filepath.Join(tree.Dir, "cgroup.subtree_control")
	enabled, err := linuxcgroup.Read(file)
	if err != nil {
		return err
	}
	if slices.Contains(strings.Fields(enabled), controller) {
		return nil
	}
	if err := c.journal.add(step{Kind: "write", Path: file, Value: "-" + controller}); err != nil {
		return err
	}
	if err := linuxcgroup.Write(file, "+"+controller); err != nil {
		return fmt.Errorf("make the %s controller available (in a container, run on the host instead, or name it with --container): %w", controller, err)
	}
	return nil
}

func (c *cgroup) mkdir(dir string) error {
	if _, err := os.Stat(dir); err == nil && slices.Contains(slices.Collect(maps.Values(c.dirs)), dir) {
		return nil // version 2: the same directory serves all controllers
	}
	if err := c.journal.add(step{Kind: "mkdir", Path: dir}); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("make cgroup: %w", err)
	}
	return nil
}

// ForPID is the place of a running process: its own cgroup, when it is alone
// there, else a new one that it is moved to until Restore.
func ForPID(ctx context.Context, host Host, journal *Journal, pid int, name string) (Place, error) {
	trees, err := host.trees()
	if err != nil {
		return nil, err
	}
	dirs, alone := map[string]string{}, true
	for controller, tree := range trees {
		dir, err := host.cgroupOf(pid, tree)
		if err != nil {
			return nil, err
		}
		procs, err := linuxcgroup.Read(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			return nil, err
		}
		alone = alone && dir != tree.Dir && procs == strconv.Itoa(pid)
		dirs[controller] = dir
	}
	if alone {
		return &cgroup{host: host, journal: journal, version: trees["cpu"].Version, dirs: dirs, before: map[string]string{}}, nil
	}
	place, err := NewCgroup(host, journal, name)
	if err != nil {
		return nil, err
	}
	start, err := procfs.Host.StartTime(pid)
	if err != nil {
		return nil, err
	}
	for _, controller := range controllers {
		if dir, ok := dirs[controller]; ok {
			if err := journal.add(step{Kind: "move", Path: dir, PID: pid, Start: start}); err != nil {
				return nil, err
			}
		}
	}
	if err := place.Add(ctx, pid); err != nil {
		return nil, err
	}
	return place, nil
}

// Add moves a process and its threads into the cgroup.
func (c *cgroup) Add(_ context.Context, pid int) error {
	if !c.own {
		return errors.New("the cgroup belongs to a running sensor: nothing can be added to it")
	}
	for _, dir := range c.dirs {
		if err := linuxcgroup.Move(dir, pid); err != nil {
			return fmt.Errorf("move process %d to cgroup %s: %w", pid, dir, err)
		}
	}
	return nil
}

// Apply writes the limit into the cgroup's files.
func (c *cgroup) Apply(_ context.Context, l capacity.Limit) error {
	if err := c.fits(l); err != nil {
		return err
	}
	files := c.files(l)
	if c.own {
		files = append(files, c.weight())
	}
	for _, f := range files {
		if err := c.set(f); err != nil {
			return fmt.Errorf("limit to %s: %w", l, err)
		}
	}
	return nil
}

// setting is a value for one of the cgroup's files.
type setting struct {
	path, value string
	optional    bool // kernels without the file can do without the setting
}

// files are the settings for l, in the order in which the kernel takes them.
func (c *cgroup) files(l capacity.Limit) []setting {
	cpu, memory := c.dirs["cpu"], c.dirs["memory"]
	if c.version == 2 {
		quota, limit, swap := "max", "max", "max"
		if l.CPU > 0 {
			quota = strconv.FormatInt(quotaOf(l), 10)
		}
		if l.Memory > 0 {
			limit, swap = strconv.FormatInt(l.Memory, 10), "0"
		}
		return []setting{
			{path: filepath.Join(cpu, "cpu.max"), value: fmt.Sprintf("%s %d", quota, period.Microseconds())},
			{path: filepath.Join(memory, "memory.max"), value: limit},
			{path: filepath.Join(memory, "memory.swap.max"), value: swap, optional: true},
		}
	}
	limit := int64(-1)
	if l.Memory > 0 {
		limit = l.Memory
	}
	bytes := strconv.FormatInt(limit, 10)
	files := []setting{
		{path: filepath.Join(cpu, "cpu.cfs_period_us"), value: strconv.FormatInt(period.Microseconds(), 10)},
		{path: filepath.Join(cpu, "cpu.cfs_quota_us"), value: strconv.FormatInt(quotaOf(l), 10)},
		{path: filepath.Join(memory, "memory.limit_in_bytes"), value: bytes},
		{path: filepath.Join(memory, "memory.memsw.limit_in_bytes"), value: bytes, optional: true},
	}
	// The kernel refuses a memory limit above the one of memory and swap
	// together: going up, that one has to go first.
	if now, err := linuxcgroup.ReadInt(filepath.Join(memory, "memory.limit_in_bytes")); err == nil && (limit < 0 || limit > now) {
		files[2], files[3] = files[3], files[2]
	}
	return files
}

// mostWeight is the highest CPU weight there is (cgroup-v2.rst, cpu.weight;
// sched.h, MAX_SHARES). A sensor in a cgroup of its own gets it. Otherwise the
// kernel would give all its threads together no more of a busy CPU than one
// thread of the load outside, and the test would measure that instead of the
// limit.
const mostWeight = 10000

func (c *cgroup) weight() setting {
	if c.version == 2 {
		return setting{path: filepath.Join(c.dirs["cpu"], "cpu.weight"), value: strconv.Itoa(mostWeight)}
	}
	return setting{path: filepath.Join(c.dirs["cpu"], "cpu.shares"), value: "262144"}
}

// set journals the old value of a file, the first time, and writes the new one.
func (c *cgroup) set(s setting) error {
	old, err := linuxcgroup.Read(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && s.optional:
		return nil
	case errors.Is(err, fs.ErrNotExist) && c.host.Root != "":
		old = "" // a test's tree has no kernel that fills a new directory
	case err != nil:
		return err
	}
	// The contents of our own directory are removed with it.
	if _, have := c.before[s.path]; !have && !c.own {
		if err := c.journal.add(step{Kind: "write", Path: s.path, Value: old}); err != nil {
			return err
		}
		c.before[s.path] = old
	}
	return linuxcgroup.Write(s.path, s.value)
}

// fits checks that no cgroup above allows less than l: the kernel would
// enforce the smaller limit without a word.
func (c *cgroup) fits(l capacity.Limit) error {
	for dir := filepath.Dir(c.dirs["cpu"]); linuxcgroup.Is(dir); dir = filepath.Dir(dir) {
		if cpu := c.cpuOf(dir); cpu > 0 && (l.CPU == 0 || cpu < l.CPU*0.999) {
			return fmt.Errorf("limit to %s: cgroup %s above the sensor's allows %.3g CPU only; raise it or test smaller limits", l, dir, cpu)
		}
	}
	for dir := filepath.Dir(c.dirs["memory"]); linuxcgroup.Is(dir); dir = filepath.Dir(dir) {
		if memory := c.memoryOf(dir); memory > 0 && memory < l.Memory {
			return fmt.Errorf("limit to %s: cgroup %s above the sensor's allows %s only; raise it or test smaller limits", l, dir, capacity.Limit{Memory: memory}.MemoryString())
		}
	}
	return nil
}

// cpuOf returns the CPUs that a directory's quota allows; 0 for no quota.
func (c *cgroup) cpuOf(dir string) float64 {
	var quota, per int64
	if c.version == 2 {
		text, _ := linuxcgroup.Read(filepath.Join(dir, "cpu.max"))
		if n, _ := fmt.Sscan(text, &quota, &per); n < 2 {
			return 0 // "max 100000", or the root, which has no such file
		}
	} else {
		quota, _ = linuxcgroup.ReadInt(filepath.Join(dir, "cpu.cfs_quota_us"))
		per, _ = linuxcgroup.ReadInt(filepath.Join(dir, "cpu.cfs_period_us"))
	}
	if quota <= 0 || per <= 0 {
		return 0
	}
	return float64(quota) / float64(per)
}

// memoryOf returns the bytes that a directory allows; 0 for no limit.
func (c *cgroup) memoryOf(dir string) int64 {
	file := "memory.max"
	if c.version == 1 {
		file = "memory.limit_in_bytes"
	}
	n, err := linuxcgroup.ReadInt(filepath.Join(dir, file))
	if err != nil {
		return 0
	}
	return n
}

// Restore undoes everything in the run's journal.
func (c *cgroup) Restore(context.Context) error { return c.journal.Undo() }

func (c *cgroup) String() string {
	if c.version == 2 {
		return "cgroup v2 " + c.dirs["cpu"]
	}
	return fmt.Sprintf("cgroup v1 %s, %s", c.dirs["cpu"], c.dirs["memory"])
}
