package sensor

import (
	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/engine"
)

// ruleCount is what one rule has done since the start.
type ruleCount struct {
	priority             alert.Priority
	source               string
	tags                 []string
	matches, evaluations uint64
}

// totals adds up rule counters over the rule sets that were in force.
type totals map[string]ruleCount

func (t totals) add(set *engine.Ruleset) {
	for i, rule := range set.Plan.Rules {
		sum := t[rule.Name]
		t[rule.Name] = ruleCount{
			priority: rule.Priority, source: rule.Source, tags: rule.Tags,
			matches: sum.matches + set.Matches[i], evaluations: sum.evaluations + set.Evaluations[i],
		}
	}
}

// rules returns the totals including the rule set in force. It runs on the
// engine's goroutine, or after its end.
func (s *sensor) rules() totals {
	all := make(totals, len(s.totals))
	for name, c := range s.totals {
		all[name] = c
	}
	all.add(s.engine.Rules())
	return all
}
