package probe

import (
	"context"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// cheaper says why sys_exit costs less than functions: nearly all syscalls are
// wanted. It observes the host for a second, after each change of the interest.
func (h *hooks) cheaper(ctx context.Context) (why string) {
	if h.mode != Auto {
		return ""
	}
	stats, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		return ""
	}
	defer stats.Close()
	if !h.watch() {
		return ""
	}
	defer h.unwatch()
	all, wanted := h.counts()
	select {
	case <-ctx.Done():
		return ""
	case <-time.After(time.Second):
	}
	all2, wanted2 := h.counts()
	all, wanted = all2-all, wanted2-wanted
	h.log.Debug("syscalls in a second", "all", all, "wanted", wanted)
	if tracepointCostsLess(all, wanted) {
		return fmt.Sprintf("rules look at %d of the host's %d syscalls in a second, and a function costs more than the tracepoint", wanted, all)
	}
	return ""
}

// watch makes sys_exit run where functions report: its runs are counted.
func (h *hooks) watch() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.attachSysExit() == nil
}

// unwatch ends that, unless sys_exit reports by now.
func (h *hooks) unwatch() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state == byFunction && h.sysExit != nil {
		if err := h.sysExit.Close(); err != nil {
			h.log.Warn("sys_exit stays attached", "error", err)
		}
		h.sysExit = nil
	}
}

// counts returns the runs of sys_exit, while they are counted, and the number
// of wanted syscalls.
func (h *hooks) counts() (all, wanted uint64) {
	stats, err := h.probe.coll.Programs[sysExit].Stats()
	if err != nil {
		return 0, 0
	}
	c, err := h.probe.Counters()
	if err != nil {
		return 0, 0
	}
	return stats.RunCount, c.Seen
}

// tracepointCostsLess compares the cost of all syscalls at the tracepoint with
// that of the wanted ones at their functions, where each costs half as much
// again. It reports false for fewer than 1000 syscalls.
func tracepointCostsLess(all, wanted uint64) bool {
	return all >= 1000 && 3*wanted > 2*all
}
