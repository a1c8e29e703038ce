package runtimes

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/test/support/needs"
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

// resident is the sensor's memory in MiB as soon as it is at most so much. On a
// busy machine the heap grows further before it is collected, and a sensor with
// little to do collects it every two minutes (runtime/proc.go, forcegcperiod).
func (s *sensor) resident(t testing.TB, most int) int {
	t.Helper()
	first := residentMiB(t, s.cmd.Process.Pid)
	rss := first
	if !needs.Within(4*time.Minute, func() bool {
		rss = residentMiB(t, s.cmd.Process.Pid)
		return rss <= most
	}) {
		t.Fatalf("the sensor has %d MiB, and had %d four minutes ago; want at most %d", rss, first, most)
	}
	return rss
}
