package limit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
)

// unitSettings are the properties of a systemd unit that a limit changes.
type unitSettings struct {
	CPU    float64 `json:"cpu"`    // 0 is infinity
	Memory int64   `json:"memory"` // 0 is infinity
}

// apply sets the properties for as long as the machine runs
// (systemctl(1) set-property --runtime, systemd.resource-control(5)).
func (u unitSettings) apply(ctx context.Context, host Host, unit string) error {
	cpu, memory := "CPUQuota=", "MemoryMax=infinity"
	if u.CPU > 0 {
		cpu = fmt.Sprintf("CPUQuota=%s%%", strconv.FormatFloat(math.Round(u.CPU*1e4)/100, 'f', -1, 64))
	}
	if u.Memory > 0 {
		memory = fmt.Sprintf("MemoryMax=%d", u.Memory)
	}
	_, err := host.run(ctx, "systemctl", "set-property", "--runtime", unit, cpu, memory)
	return err
}

// unit is a Place that systemd manages: a service that runs already, or a
// scope made around a sensor that we have started.
type unit struct {
	host    Host
	journal *Journal
	name    string
	scope   bool // ours
	started bool // the scope exists
	limit   capacity.Limit
	saved   bool // the old settings are in the journal
	cgroup  cgroup
}

var _ Place = (*unit)(nil)

// ForUnit is the place of a running systemd unit, such as falco.service. It
// returns the unit's main process with it.
func ForUnit(ctx context.Context, host Host, journal *Journal, name string) (place Place, pid int, err error) {
	u := &unit{host: host, journal: journal, name: name}
	if pid, err = UnitPID(ctx, host, name); err != nil {
		return nil, 0, err
	}
	if u.cgroup, err = host.cgroupsOf(pid); err != nil {
		return nil, 0, err
	}
	return u, pid, nil
}

// UnitPID is the main process of a systemd unit that is active.
func UnitPID(ctx context.Context, host Host, name string) (int, error) {
	properties, err := host.show(ctx, name)
	if err != nil {
		return 0, err
	}
	if properties["ActiveState"] != "active" {
		return 0, fmt.Errorf("unit %s is %q, expected it to be active: start it first", name, properties["ActiveState"])
	}
	pid, err := strconv.Atoi(properties["MainPID"])
	if err != nil || pid <= 0 {
		return 0, fmt.Errorf("unit %s has no main process (MainPID=%s)", name, properties["MainPID"])
	}
	return pid, nil
}

// cgroupsOf returns the cgroups that hold pid, for reading.
func (h Host) cgroupsOf(pid int) (cgroup, error) {
	trees, err := h.trees()
	if err != nil {
		return cgroup{}, err
	}
	c := cgroup{host: h, version: trees["cpu"].Version, dirs: map[string]string{}}
	for controller, tree := range trees {
		if c.dirs[controller], err = h.cgroupOf(pid, tree); err != nil {
			return cgroup{}, err
		}
	}
	return c, nil
}

// show returns the unit properties that this package works with.
func (h Host) show(ctx context.Context, name string) (map[string]string, error) {
	out, err := h.run(ctx, "systemctl", "show", name,
		"--property=LoadState,ActiveState,MainPID,CPUQuotaPerSecUSec,MemoryMax")
	if err != nil {
		return nil, err
	}
	properties := map[string]string{}
	for line := range strings.SplitSeq(out, "\n") {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			properties[key] = value
		}
	}
	if properties["LoadState"] != "loaded" {
		return nil, fmt.Errorf("systemd does not know a unit %s (LoadState=%s)", name, properties["LoadState"])
	}
	return properties, nil
}

// Apply sets the limit; of a scope that does not exist yet, it is noted.
func (u *unit) Apply(ctx context.Context, l capacity.Limit) error {
	u.limit = l
	if u.scope && !u.started {
		return nil
	}
	if !u.scope && !u.saved {
		properties, err := u.host.show(ctx, u.name)
		if err != nil {
			return err
		}
		old, err := parseUnit(properties)
		if err != nil {
			return fmt.Errorf("unit %s: %w", u.name, err)
		}
		if err := u.journal.add(step{Kind: "unit", Path: u.name, Unit: &old}); err != nil {
			return err
		}
		u.saved = true
	}
	return unitSettings(l).apply(ctx, u.host, u.name)
}

func parseUnit(properties map[string]string) (unitSettings, error) {
	var u unitSettings
	if text := properties["CPUQuotaPerSecUSec"]; text != "" && text != "infinity" {
		per, err := parseTimespan(text)
		if err != nil {
			return u, fmt.Errorf("CPUQuotaPerSecUSec: %w", err)
		}
		u.CPU = per.Seconds()
	}
	if text := properties["MemoryMax"]; text != "" && text != "infinity" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return u, fmt.Errorf("MemoryMax: %w", err)
		}
		u.Memory = n
	}
	return u, nil
}

// parseTimespan reads systemd's form of a duration: "1s 500ms", "2min"
// (systemd.time(7)).
func parseTimespan(s string) (time.Duration, error) {
	var sum time.Duration
	for part := range strings.FieldsSeq(s) {
		if number, ok := strings.CutSuffix(part, "min"); ok {
			part = number + "m"
		}
		d, err := time.ParseDuration(part)
		if err != nil {
			return 0, fmt.Errorf("%q: expected a time span such as 1s 500ms", s)
		}
		sum += d
	}
	return sum, nil
}

// Add makes the scope around the process, with the limit that Apply has
// noted (org.freedesktop.systemd1(5), StartTransientUnit).
func (u *unit) Add(ctx context.Context, pid int) error {
	if !u.scope || u.started {
		return errors.New("the unit belongs to a running sensor: nothing can be added to it")
	}
	if err := u.journal.add(step{Kind: "scope", Path: u.name}); err != nil {
		return err
	}
	properties := []string{"PIDs", "au", "1", strconv.Itoa(pid), "CPUWeight", "t", strconv.Itoa(mostWeight)}
	count := 2
	if u.limit.CPU > 0 {
		perSecond := int64(math.Round(u.limit.CPU * 1e6))
		properties = append(properties, "CPUQuotaPerSecUSec", "t", strconv.FormatInt(perSecond, 10))
		count++
	}
	if u.limit.Memory > 0 {
		properties = append(properties, "MemoryMax", "t", strconv.FormatInt(u.limit.Memory, 10), "MemorySwapMax", "t", "0")
		count += 2
	}
	args := append([]string{"call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
		"org.freedesktop.systemd1.Manager", "StartTransientUnit", "ssa(sv)a(sa(sv))",
		u.name, "fail", strconv.Itoa(count)}, append(properties, "0")...)
	if _, err := u.host.run(ctx, "busctl", args...); err != nil {
		return err
	}
	u.started = true
	return u.arrive(ctx, pid)
}

// arrive waits until systemd has moved the process: the call only queues it.
func (u *unit) arrive(ctx context.Context, pid int) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		cgroups, err := procfs.Root(u.host.path("proc")).Cgroups(pid)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(cgroups, func(c procfs.Cgroup) bool { return strings.Contains(c.Path, "/"+u.name) }) {
			u.cgroup, err = u.host.cgroupsOf(pid)
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("systemd has not moved process %d into %s: %w", pid, u.name, ctx.Err())
		case <-tick.C:
		}
	}
}

// stopScope ends a scope and its processes; a missing one is no error.
func (h Host) stopScope(ctx context.Context, name string) error {
	if _, err := h.show(ctx, name); err != nil {
		return nil
	}
	_, err := h.run(ctx, "systemctl", "stop", name)
	return err
}

func (u *unit) Usage() (capacity.Usage, error) {
	if u.cgroup.dirs == nil {
		return capacity.Usage{}, fmt.Errorf("scope %s does not exist yet", u.name)
	}
	return u.cgroup.Usage()
}

func (u *unit) Restore(context.Context) error { return u.journal.Undo() }

func (u *unit) String() string { return "systemd unit " + u.name }
