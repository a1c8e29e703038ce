package procfs

import (
	"os"
	"strings"
)

// CPU is the time of all CPUs together since boot, in ticks.
type CPU struct{ Total, Idle, Steal uint64 }

// ParseCPU reads the first line of /proc/stat, "cpu user nice system idle
// iowait irq softirq steal guest guest_nice" (proc_stat(5)). Guest time is in
// user time already; waiting for a disk is idle.
func ParseCPU(text string) CPU {
	line, _, _ := strings.Cut(text, "\n")
	var c CPU
	for i, field := range strings.Fields(line) {
		n := number(field, 10)
		if i >= 1 && i <= 8 {
			c.Total += n
		}
		switch i {
		case 4, 5:
			c.Idle += n
		case 8:
			c.Steal = n
		}
	}
	return c
}

// CPU reads the time of all CPUs.
func (r Root) CPU() (CPU, error) {
	text, err := os.ReadFile(string(r) + "/stat")
	if err != nil {
		return CPU{}, err
	}
	return ParseCPU(string(text)), nil
}
