// Package limit sets CPU and memory limits for a sensor and restores them.
//
// A Place is where the sensor runs: a cgroup (v1 or v2), a systemd unit or
// scope, a Docker container, a pod. Whatever a Place changes is written to a Journal
// before it is changed, so that a run that was killed can be undone by the
// next one (Recover). The load generator stays outside: a Place only ever
// holds the sensor's processes.
//
// The limit of a pod is for Kubernetes to set: package capacity/kubernetes asks
// for it, and the Place of a pod checks that it is there.
package limit

import (
	"context"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/human"
)

// Place is where a sensor runs.
type Place interface {
	fmt.Stringer
	// Apply journals the old values, then sets the limit.
	Apply(ctx context.Context, l capacity.Limit) error
	// Add puts a process and all its threads under the limit. A place that
	// belongs to a running sensor already holds it and returns an error.
	Add(ctx context.Context, pid int) error
	// Usage reads the counters that the kernel keeps for the place. They
	// never go back while the place exists.
	Usage() (capacity.Usage, error)
	// Restore restores the state before the first Apply. It may be called again.
	Restore(ctx context.Context) error
}

// period is the CFS bandwidth period that all backends use, the kernel's
// default (Documentation/scheduler/sched-bwc.rst).
const period = 100 * time.Millisecond

// minCPU is the smallest quota that the kernel takes: 1 ms per period.
const minCPU = 0.01

// quotaOf returns the microseconds per period that l allows; -1 for no limit.
func quotaOf(l capacity.Limit) int64 {
	if l.CPU <= 0 {
		return -1
	}
	return int64(math.Round(l.CPU * float64(period.Microseconds())))
}

// ParseCPU reads a number of CPUs: "0.5", "500m", "2".
func ParseCPU(s string) (float64, error) {
	cpus, err := human.ParseCPUs(s)
	if err == nil && cpus < minCPU {
		err = fmt.Errorf("CPUs %q: expected at least %v", s, minCPU)
	}
	if err != nil {
		return 0, fmt.Errorf("CPU limit: %w", err)
	}
	return cpus, nil
}

// ParseMemory reads a size: "512Mi", "1.5Gi"; zero is "no limit".
func ParseMemory(s string) (int64, error) {
	size, err := human.ParseSize(s)
	if err != nil {
		return 0, fmt.Errorf("memory limit: %w", err)
	}
	return size, nil
}

// New makes a place for a sensor that is about to be started, with the best
// that the host offers: a systemd scope where systemd owns the cgroup tree,
// else a cgroup of our own.
func New(host Host, journal *Journal) (Place, error) {
	name := fmt.Sprintf("peregrine-capacity-%d", os.Getpid())
	// sd_booted(3): the directory exists iff systemd is the init system.
	if _, err := os.Stat(host.path("run/systemd/system")); err == nil {
		return &unit{host: host, journal: journal, name: name + ".scope", scope: true}, nil // made by the first Add
	}
	return NewCgroup(host, journal, name)
}
