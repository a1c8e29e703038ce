// Package limit gives a sensor so much CPU and memory, and takes it back.
//
// A Place is where the sensor runs: a cgroup (v1 or v2), a systemd unit or
// scope, a Docker container. Whatever a Place changes is written to a Journal
// before it is changed, so that a run that was killed can be undone by the
// next one (Recover). The load generator stays outside: a Place only ever
// holds the sensor's processes.
//
// Kubernetes, where a limit is a patch of a pod template and a rollout, is one
// more Place; it lives in this package too when it comes, because only this
// package may import a Kubernetes client.
package limit

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Limit is how much a sensor may use. A zero member means "no limit".
type Limit struct {
	CPU    float64 `json:"cpu"`    // in CPUs
	Memory int64   `json:"memory"` // in bytes
}

// Place is where a sensor runs.
type Place interface {
	fmt.Stringer
	// Apply sets the limit, and journals first what was there.
	Apply(ctx context.Context, l Limit) error
	// Add puts a process and all its threads under the limit. A place that
	// belongs to a running sensor already holds it and returns an error.
	Add(ctx context.Context, pid int) error
	// Usage reads the counters that the kernel keeps for the place. They
	// never go back while the place exists.
	Usage() (Usage, error)
	// Restore returns everything to what it was before the first Apply. It
	// may be called again.
	Restore(ctx context.Context) error
}

// Usage is a reading of a place's counters. Counters that the kernel does not
// offer are zero.
type Usage struct {
	CPU              time.Duration `json:"cpu_ns"`            // consumed, user and system
	Periods          uint64        `json:"periods"`           // enforcement intervals in which the place ran
	ThrottledPeriods uint64        `json:"throttled_periods"` // of these, the ones in which the quota ran out
	Throttled        time.Duration `json:"throttled_ns"`      // summed over the place's CPUs
	Memory           uint64        `json:"memory"`            // charged now, page cache and BPF maps included; bytes
	MemoryPeak       uint64        `json:"memory_peak"`       // highest charge ever; bytes
	MemoryHits       uint64        `json:"memory_hits"`       // times the memory limit was reached
	OOMKills         uint64        `json:"oom_kills"`         // processes killed for it
}

// Sub returns the growth of the counters since earlier; the gauges Memory and
// MemoryPeak stay as they are.
func (u Usage) Sub(earlier Usage) Usage {
	u.CPU -= earlier.CPU
	u.Periods -= earlier.Periods
	u.ThrottledPeriods -= earlier.ThrottledPeriods
	u.Throttled -= earlier.Throttled
	u.MemoryHits -= earlier.MemoryHits
	u.OOMKills -= earlier.OOMKills
	return u
}

// period is the CFS bandwidth period that all backends use, the kernel's
// default (Documentation/scheduler/sched-bwc.rst).
const period = 100 * time.Millisecond

// minCPU is the smallest quota that the kernel takes: 1 ms per period.
const minCPU = 0.01

// quota returns the microseconds per period that l allows; -1 for no limit.
func (l Limit) quota() int64 {
	if l.CPU <= 0 {
		return -1
	}
	return int64(math.Round(l.CPU * float64(period.Microseconds())))
}

// String prints a limit the way the capacity table does: "0.5 CPU, 512 Mi".
func (l Limit) String() string {
	return l.CPUString() + " CPU, " + l.MemoryString()
}

// CPUString prints the CPU part: "0.5", or "unlimited".
func (l Limit) CPUString() string {
	if l.CPU <= 0 {
		return "unlimited"
	}
	return strconv.FormatFloat(l.CPU, 'f', -1, 64)
}

// MemoryString prints the memory part in the largest binary unit that divides
// it: "512 Mi", or "unlimited memory".
func (l Limit) MemoryString() string {
	if l.Memory <= 0 {
		return "unlimited memory"
	}
	units := []string{"", " Ki", " Mi", " Gi", " Ti"}
	n, u := l.Memory, 0
	for n%1024 == 0 && u < len(units)-1 {
		n, u = n/1024, u+1
	}
	return strconv.FormatInt(n, 10) + units[u]
}

// ParseCPU reads a number of CPUs in Kubernetes notation: "0.5", "500m", "2".
func ParseCPU(s string) (float64, error) {
	text, scale := strings.TrimSpace(s), 1.0
	if rest, ok := strings.CutSuffix(text, "m"); ok {
		text, scale = rest, 1000
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(n, 0) || math.IsNaN(n) || n/scale < minCPU {
		return 0, fmt.Errorf("CPU limit %q: expected a number of CPUs of at least %v, such as 0.5, 500m or 2", s, minCPU)
	}
	return n / scale, nil
}

// memoryUnits are Kubernetes' suffixes; the longer ones first, since "Mi"
// ends in no shorter suffix but "M" is a prefix of it.
var memoryUnits = []struct {
	suffix string
	bytes  float64
}{
	{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"Ti", 1 << 40},
	{"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12}, {"", 1},
}

// ParseMemory reads a size in Kubernetes notation: "512Mi", "1.5Gi",
// "268435456"; zero is "no limit".
func ParseMemory(s string) (int64, error) {
	text := strings.ReplaceAll(strings.TrimSpace(s), " ", "")
	for _, unit := range memoryUnits {
		number, ok := strings.CutSuffix(text, unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(number, 64)
		if err != nil || n < 0 || math.IsNaN(n) || n*unit.bytes >= math.MaxInt64 {
			break
		}
		return int64(n * unit.bytes), nil
	}
	return 0, fmt.Errorf("memory limit %q: expected a size such as 512Mi, 1Gi or 268435456", s)
}
