package sensor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// summary prints Falco's final summary: alerts by severity and rule on standard
// output, drops and, with -v, events on standard error.
func (s *sensor) summary() {
	var b strings.Builder
	rules := s.rules()
	var total uint64
	severities := make([]uint64, alert.Debug+1)
	for _, r := range rules {
		total += r.matches
		severities[r.priority] += r.matches
	}
	fmt.Fprintf(&b, "Events detected: %d\nRule counts by severity:\n", total)
	for p, n := range severities {
		if n > 0 {
			fmt.Fprintf(&b, "   %s: %d\n", severityWord(alert.Priority(p)), n)
		}
	}
	b.WriteString("Triggered rules by rule name:\n")
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		if n := rules[name].matches; n > 0 {
			fmt.Fprintf(&b, "   %s: %d\n", name, n)
		}
	}
	wait.Within(s.patience(), func() { fmt.Fprint(s.opt.Stdout, b.String()) })
	if drops := s.dropSummary(); drops != "" {
		wait.Within(s.patience(), func() { fmt.Fprint(s.opt.Stderr, drops) })
	}
}

// severityWord is the word of Falco's summary.
func severityWord(p alert.Priority) string {
	if p == alert.Informational {
		return "INFO"
	}
	return strings.ToUpper(p.String())
}

func (s *sensor) dropSummary() string {
	counters, err := s.source.Counters()
	if err != nil || counters == nil {
		return ""
	}
	seen, taken := s.drops.Occurrences()
	text := fmt.Sprintf("Syscall event drop monitoring:\n   - event drop detected: %d occurrences\n   - num times actions taken: %d\n",
		seen, taken)
	if s.opt.Verbose {
		elapsed := time.Since(s.started).Seconds()
		text += fmt.Sprintf("Driver Events:%d\nDriver Drops:%d\nElapsed time: %.3f, Captured Events: %d, %.2f eps\n",
			counters.Seen, counters.Dropped(), elapsed, s.engine.Counters().Events, float64(s.engine.Counters().Events)/elapsed)
	}
	return text
}
