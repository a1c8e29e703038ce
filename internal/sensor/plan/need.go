package plan

import (
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan/pathset"
)

// need is a necessary condition: one of the patterns, or one of the names, must
// occur. If always is set, everything meets it.
type need struct {
	always   bool
	patterns []pathset.Pattern
	names    []string
	// by are the checks that it comes from, or that exclude the facts.
	by []*filter.Check
}

func (n need) cost() int {
	if n.always {
		return 1 << 30
	}
	return len(n.patterns) + len(n.names)
}

// facts are the facts about a call that the probe knows before it makes an
// event.
type facts interface {
	// decide returns the value of a check that the facts settle.
	decide(*filter.Field, *filter.Check) (value, known bool)
	// paths says whether the probe also looks for patterns in the call's paths.
	paths() bool
}

// needOf returns the necessary condition of node, or of its negation, in a call
// with the given facts.
func needOf(node filter.Node, facts facts, negated bool) need {
	switch n := node.(type) {
	case *filter.Not:
		return needOf(n.Node, facts, !negated)
	case *filter.And:
		return needOfList(n.Nodes, facts, negated, !negated)
	case *filter.Or:
		return needOfList(n.Nodes, facts, negated, negated)
	case *filter.Const:
		return need{always: n.Value != negated}
	case *filter.Check:
		return needOfCheck(n, facts, negated)
	}
	return need{always: true}
}

// needOfList: of a conjunction any one part's need will do, and the smallest
// is taken; of a disjunction all are needed.
func needOfList(nodes []filter.Node, facts facts, negated, and bool) need {
	var all need
	best := need{always: true}
	for _, node := range nodes {
		n := needOf(node, facts, negated)
		if n.cost() < best.cost() {
			best = n
		}
		all.always = all.always || n.always
		all.patterns = append(all.patterns, n.patterns...)
		all.names = append(all.names, n.names...)
		all.by = append(all.by, n.by...)
	}
	switch {
	case and:
		return best
	case all.always:
		return need{always: true}
	}
	return all
}

func needOfCheck(c *filter.Check, facts facts, negated bool) need {
	f, ok := c.Left.(*filter.Field)
	if !ok || c.Right != nil || c.Modifier != filter.NoModifier {
		return need{always: true}
	}
	if value, known := facts.decide(f, c); known {
		if value != negated {
			return need{always: true}
		}
		return need{by: []*filter.Check{c}}
	}
	if negated {
		return need{always: true}
	}
	n := need{by: []*filter.Check{c}}
	if f.Name == "proc.name" && (c.Op == filter.Eq || c.Op == filter.EqEq || c.Op == filter.In) {
		n.names = texts(c)
		return n
	}
	if !facts.paths() {
		return need{always: true}
	}
	for _, value := range texts(c) {
		p, ok := patternFor(f.Name, c.Op, value)
		if !ok || p.Text == "" && p.Kind != pathset.Exact { // which occurs everywhere
			return need{always: true}
		}
		n.patterns = append(n.patterns, p)
	}
	if len(n.patterns) == 0 && c.Op != filter.In { // an empty list is never matched
		return need{always: true}
	}
	return n
}

func texts(c *filter.Check) []string {
	var list []string
	for _, v := range c.Values {
		list = append(list, v.Text)
	}
	return list
}

// patternFor returns a pattern that occurs in every path for which the check
// of the named field with value is true; false if none does.
func patternFor(name string, op filter.Op, value string) (pathset.Pattern, bool) {
	switch name {
	case "fd.name", "fd.nameraw", "fs.path.name", "fs.path.nameraw", "evt.arg.name":
		return namePattern(op, value)
	case "fd.directory":
		if op != filter.Eq && op != filter.EqEq && op != filter.In && op != filter.StartsWith {
			return pathset.Pattern{}, false
		}
		return pathset.Pattern{Text: value, Kind: pathset.Prefix}, true
	case "fd.filename":
		if op != filter.Eq && op != filter.EqEq && op != filter.In {
			return pathset.Pattern{}, false
		}
		return pathset.Pattern{Text: "/" + value, Kind: pathset.Suffix}, true
	}
	return pathset.Pattern{}, false
}

func namePattern(op filter.Op, value string) (pathset.Pattern, bool) {
	switch op {
	case filter.Eq, filter.EqEq, filter.In:
		return pathset.Pattern{Text: value, Kind: pathset.Exact}, true
	case filter.StartsWith:
		return pathset.Pattern{Text: value, Kind: pathset.Prefix}, true
	case filter.EndsWith:
		return pathset.Pattern{Text: value, Kind: pathset.Suffix}, true
	case filter.Contains:
		return pathset.Pattern{Text: value, Kind: pathset.Contains}, true
	case filter.PMatch, filter.Glob:
		if i := strings.IndexAny(value, `*?[\`); i >= 0 {
			value = value[:i]
		} else if op == filter.PMatch {
			value = strings.TrimRight(value, "/")
		}
		if op == filter.PMatch && (!strings.HasPrefix(value, "/") && value != "" || strings.Contains(value, "//")) {
			return pathset.Pattern{}, false // its components are compared, not its text
		}
		return pathset.Pattern{Text: value, Kind: pathset.Prefix}, true
	}
	return pathset.Pattern{}, false
}
