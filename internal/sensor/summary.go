package sensor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
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

// ruleCount has the counts of one rule since the start.
type ruleCount struct {
	priority             alert.Priority
	source               string
	tags                 []string
	matches, evaluations uint64
}

// totals adds up rule counters over the rule sets that were in force.
type totals map[string]ruleCount

// addAll adds the rules of all sources.
func (t totals) addAll(set *settings) {
	t.add(set.rules.Plan.Rules, set.rules.Matches, set.rules.Evaluations)
	if a := set.audit; a != nil {
		t.add(a.Rules, a.Matches, a.Evaluations)
	}
}

func (t totals) add(list []*rules.Rule, matches, evaluations []uint64) {
	for i, rule := range list {
		sum := t[rule.Name]
		t[rule.Name] = ruleCount{
			priority: rule.Priority, source: rule.Source, tags: rule.Tags,
			matches: sum.matches + matches[i], evaluations: sum.evaluations + evaluations[i],
		}
	}
}

// rules returns the totals including the rule sets in force. It runs while no
// engine looks at an event, or after their end.
func (s *sensor) rules() totals {
	all := maps.Clone(s.totals)
	all.addAll(s.now())
	return all
}
