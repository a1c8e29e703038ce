package sensor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
)

// summary prints what Falco prints at its end: alerts by severity and rule on
// standard output, drops and, with -v, events on standard error.
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
	fmt.Fprint(s.opt.Stdout, b.String())
	s.dropSummary()
}

// severityWord is the word of Falco's summary.
func severityWord(p alert.Priority) string {
	if p == alert.Informational {
		return "INFO"
	}
	return strings.ToUpper(p.String())
}

func (s *sensor) dropSummary() {
	counters, err := s.source.Counters()
	if err != nil || counters == nil {
		return
	}
	seen, taken := s.drops.Occurrences()
	fmt.Fprintf(s.opt.Stderr, "Syscall event drop monitoring:\n   - event drop detected: %d occurrences\n   - num times actions taken: %d\n",
		seen, taken)
	elapsed := time.Since(s.started)
	if s.opt.Verbose {
		fmt.Fprintf(s.opt.Stderr, "Driver Events:%d\nDriver Drops:%d\nElapsed time: %.3f, Captured Events: %d, %.2f eps\n",
			counters.Seen, counters.Dropped(), elapsed.Seconds(), s.engine.Counters().Events,
			float64(s.engine.Counters().Events)/elapsed.Seconds())
	}
}
