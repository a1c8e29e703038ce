package capacity

import (
	"math"

	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/linux/cgroup"
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

// Usage is a reading of a place's counters.
type Usage = cgroup.Usage

// RoundDown rounds to two significant digits, towards zero: the capacity
// table promises no more than was measured.
func RoundDown(x float64) float64 {
	if x <= 0 || math.IsInf(x, 0) || math.IsNaN(x) {
		return 0
	}
	scale := math.Pow(10, math.Floor(math.Log10(x))-1)
	return math.Floor(x/scale+1e-9) * scale
}
