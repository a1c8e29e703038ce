package capacity

import (
	"math"
	"time"

	"github.com/peregrine-sec/peregrine/internal/human"
)

// Limit is how much a sensor may use. A zero member means "no limit".
type Limit struct {
	CPU    float64 `json:"cpu"`    // in CPUs
	Memory int64   `json:"memory"` // in bytes
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
	return human.CPUs(l.CPU)
}

// MemoryString prints the memory part as it is given: "512Mi", or "unlimited
// memory".
func (l Limit) MemoryString() string {
	if l.Memory <= 0 {
		return "unlimited memory"
	}
	return human.Quantity(l.Memory)
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

// RoundDown rounds to two significant digits, towards zero: the capacity
// table promises no more than was measured.
func RoundDown(x float64) float64 {
	if x <= 0 || math.IsInf(x, 0) || math.IsNaN(x) {
		return 0
	}
	scale := math.Pow(10, math.Floor(math.Log10(x))-1)
	return math.Floor(x/scale+1e-9) * scale
}
