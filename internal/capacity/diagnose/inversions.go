package diagnose

import "github.com/peregrine-sec/peregrine/internal/capacity"

// tolerance is how much less a larger limit may give before the machine is
// called noisy.
const tolerance = 0.05

// Inversions returns the rows that are worse than a row with less CPU and no
// more memory, which no sensor can be. A lower bound does not count as worse.
func Inversions(rows []capacity.Row) []int {
	var found []int
	for i, high := range rows {
		for _, low := range rows {
			lessMemory := high.Limit.Memory == 0 || (low.Limit.Memory > 0 && low.Limit.Memory <= high.Limit.Memory)
			if high.Sensor == low.Sensor && high.Status != capacity.AtLeast && high.Syscalls > 0 && low.Limit.CPU < high.Limit.CPU && lessMemory && high.Syscalls < low.Syscalls*(1-tolerance) {
				found = append(found, i)
				break
			}
		}
	}
	return found
}
