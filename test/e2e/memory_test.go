package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// mostIdle bounds what an idle sensor with the default rules keeps; it has 20 MiB.
const mostIdle = 24 << 20

// An idle sensor keeps little of its own: the heap, stacks and the ring. Pages of
// its program do not count: how many of those around one that is read are
// resident with it is for the kernel's page cache to say, 64 KiB or 2 MiB.
func TestIdleMemory(t *testing.T) {
	s := startSensor(t)
	var own int64
	less := func() bool {
		own = s.rss(t) - s.programRSS(t)
		return own <= mostIdle
	}
	if !needs.Within(patience, less) {
		t.Errorf("%d KiB of its own are resident, want at most %d", own>>10, mostIdle>>10)
	}
	t.Logf("%d KiB of its own are resident, and %d of its program", own>>10, s.programRSS(t)>>10)
}

// programRSS is how much of the sensor's program is resident, in bytes.
func (s *sensor) programRSS(t *testing.T) (sum int64) {
	t.Helper()
	ours := false
	for line := range strings.Lines(read(t, fmt.Sprintf("/proc/%d/smaps", s.cmd.Process.Pid))) {
		name, value, isValue := strings.Cut(line, ":")
		if !isValue || strings.Contains(name, "-") { // the first line of a mapping
			ours = strings.HasSuffix(line, "/"+filepath.Base(binary)+"\n")
			continue
		}
		var kib int64
		if _, err := fmt.Sscan(value, &kib); ours && name == "Rss" && err == nil {
			sum += kib << 10
		}
	}
	return sum
}
