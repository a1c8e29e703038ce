package sensor

import (
	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
)

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
	all := make(totals, len(s.totals))
	for name, c := range s.totals {
		all[name] = c
	}
	all.addAll(s.now())
	return all
}
