package probe

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// allot gives each group of CPUs its ring. Groups without a CPU that is online
// share those of the others: machines that can grow have many more possible
// CPUs than they ever have, and a ring takes its memory at once. Should such a
// CPU come, its events go to a shared ring.
func allot(groups, cpusPerRing int, online []int) (ring []int, rings int) {
	ring = make([]int, groups)
	has := make([]bool, groups)
	if online == nil { // not known
		for group := range has {
			has[group] = true
		}
	}
	for _, cpu := range online {
		group := 0
		if cpusPerRing > 0 {
			group = cpu / cpusPerRing
		}
		if group < groups {
			has[group] = true
		}
	}
	for group := range ring {
		if has[group] {
			ring[group] = rings
			rings++
		}
	}
	rings = max(rings, 1)
	for group := range ring {
		if !has[group] {
			ring[group] = group % rings
		}
	}
	return ring, rings
}

// onlineCPUs reads the CPUs that are online.
func onlineCPUs() ([]int, error) {
	text, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		return nil, fmt.Errorf("find the CPUs that are online: %w", err)
	}
	return parseCPUs(string(text))
}

// parseCPUs reads a list such as "0-3,8" (Documentation/admin-guide/cputopology.rst).
func parseCPUs(text string) (cpus []int, err error) {
	for part := range strings.SplitSeq(strings.TrimSpace(text), ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, err := strconv.ParseUint(from, 10, 16)
		last, err2 := strconv.ParseUint(to, 10, 16)
		if err := errors.Join(err, err2); err != nil {
			return nil, fmt.Errorf("list of CPUs %q: expected one such as 0-3,8: %w", text, err)
		}
		for cpu := first; cpu <= last; cpu++ {
			cpus = append(cpus, int(cpu))
		}
	}
	return cpus, nil
}
