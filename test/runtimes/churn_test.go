package runtimes

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/needs"
)

var churn = flag.Int("churn", 15, "short-lived containers to run; 1000 for the whole test")

// residentMiB is the memory of a process (proc(5), VmRSS).
func residentMiB(t testing.TB, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kib int
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kib); n == 1 {
			return kib >> 10
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// resident is the sensor's memory in MiB as soon as it is at most so much: the Go
// runtime gives freed memory back later.
func (s *sensor) resident(t testing.TB, most int) (rss int) {
	t.Helper()
	first := residentMiB(t, s.cmd.Process.Pid)
	needs.Eventually(t, fmt.Sprintf("at most %d MiB resident, which were %d", most, first), func() bool {
		rss = residentMiB(t, s.cmd.Process.Pid)
		return rss <= most
	})
	return rss
}
