package plan

import (
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan/pathset"
)

// need is what a condition cannot do without: one of the patterns, or one of
// the names. Without either it is met by everything.
type need struct {
	always   bool
	patterns []pathset.Pattern
	names    []string
}

func (n need) cost() int {
	if n.always {
		return 1 << 30
	}
	return len(n.patterns) + len(n.names)
}

// needOf returns what node, or its negation, cannot do without in an open
// with the given facts.
func needOf(node filter.Node, facts Facts, negated bool) need {
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
func needOfList(nodes []filter.Node, facts Facts, negated, and bool) need {
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
	}
	if and {
		return best
	}
	return all
}

func needOfCheck(c *filter.Check, facts Facts, negated bool) need {
	f, ok := c.Left.(*filter.Field)
	if !ok || c.Right != nil || c.Modifier != filter.NoModifier {
		return need{always: true}
	}
	if value, known := decide(f, c, facts); known {
		return need{always: value != negated}
	}
	if negated {
		return need{always: true}
	}
	if f.Name == "proc.name" && (c.Op == filter.Eq || c.Op == filter.EqEq || c.Op == filter.In) {
		return need{names: texts(c)}
	}
	var n need
	for _, value := range texts(c) {
		patterns, ok := patternsFor(f.Name, c.Op, value)
		if !ok {
			return need{always: true}
		}
		n.patterns = append(n.patterns, patterns...)
	}
	if len(n.patterns) == 0 {
		n.always = c.Op != filter.In // an empty list is never matched
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

// patternsFor returns patterns of which one occurs in every path for which
// the check of the named field with value is true; false if there are none.
func patternsFor(name string, op filter.Op, value string) ([]pathset.Pattern, bool) {
	switch name {
	case "fd.name", "fd.nameraw", "fs.path.name", "fs.path.nameraw", "evt.arg.name":
		return namePatterns(op, value)
	case "fd.directory":
		if op != filter.Eq && op != filter.EqEq && op != filter.In && op != filter.StartsWith {
			return nil, false
		}
		return []pathset.Pattern{{Text: value, Kind: pathset.Prefix}}, true
	case "fd.filename":
		if op != filter.Eq && op != filter.EqEq && op != filter.In {
			return nil, false
		}
		return []pathset.Pattern{{Text: "/" + value, Kind: pathset.Suffix}}, true
	}
	return nil, false
}

func namePatterns(op filter.Op, value string) ([]pathset.Pattern, bool) {
	one := func(kind pathset.Kind, text string) ([]pathset.Pattern, bool) {
		return []pathset.Pattern{{Text: text, Kind: kind}}, true
	}
	switch op {
	case filter.Eq, filter.EqEq, filter.In:
		return one(pathset.Exact, value)
	case filter.StartsWith:
		return one(pathset.Prefix, value)
	case filter.EndsWith:
		return one(pathset.Suffix, value)
	case filter.Contains:
		return one(pathset.Contains, value)
	case filter.PMatch, filter.Glob:
		if i := strings.IndexAny(value, `*?[\`); i >= 0 {
			value = value[:i]
		} else if op == filter.PMatch {
			value = strings.TrimRight(value, "/")
		}
		if op == filter.PMatch && (!strings.HasPrefix(value, "/") && value != "" || strings.Contains(value, "//")) {
			return nil, false // its components are compared, not its text
		}
		return one(pathset.Prefix, value)
	}
	return nil, false
}
