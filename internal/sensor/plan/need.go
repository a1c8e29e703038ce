package plan

import (
	"slices"

	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan/pathset"
)

// clause is met by a call if one of the patterns occurs in its paths, or if its
// program has one of the names. Without patterns and names, no call meets it.
type clause struct {
	patterns []pathset.Pattern
	names    []string
	// by are the checks that it comes from, or that exclude the facts.
	by []*filter.Check
}

func (c clause) size() int { return len(c.patterns) + len(c.names) }

// or is met where c or other is.
func (c clause) or(other clause) clause {
	return clause{
		append(slices.Clip(c.patterns), other.patterns...),
		append(slices.Clip(c.names), other.names...),
		append(slices.Clip(c.by), other.by...),
	}
}

// add makes c met where other is, too. Thousands of rules share a clause, which
// a copy for each would make slow.
func (c *clause) add(other clause) {
	c.patterns = append(c.patterns, other.patterns...)
	c.names = append(c.names, other.names...)
	c.by = append(c.by, other.by...)
}

// need is a necessary condition: all clauses are met, and at least one name of
// the file does not meet excluded, which has no program names.
type need struct {
	clauses  []clause
	excluded clause
}

// always says that every call meets the need.
func (n need) always() bool { return len(n.clauses) == 0 && n.excluded.size() == 0 }

// never says that no call meets the need.
func (n need) never() bool { return len(n.clauses) > 0 && n.clauses[0].size() == 0 }

// names are the programs whose calls may be needed, for any paths; false if the
// calls of all programs may be.
func (n need) names() ([]string, bool) {
	if len(n.clauses) == 0 {
		return nil, false
	}
	return n.clauses[0].names, true
}

// checks are those that the need comes from.
func (n need) checks() (list []*filter.Check) {
	for _, c := range n.clauses {
		list = append(list, c.by...)
	}
	return append(list, n.excluded.by...)
}

// facts are the facts about a call that the probe knows before it makes an
// event.
type facts interface {
	// decide returns the value of a check that the facts settle.
	decide(*filter.Field, *filter.Check) (value, known bool)
	// path has the clauses that the call's paths meet if the check of the named
	// field with a value is true; nil where the probe looks at no such path.
	path(name string, op filter.Op, value string) []clause
	// excluded is met by a path of which such a check is certainly true.
	excluded(name string, op filter.Op, c *filter.Check) clause
}

// pathless is for calls of whose paths the probe knows nothing.
type pathless struct{}

func (pathless) path(string, filter.Op, string) []clause              { return nil }
func (pathless) excluded(string, filter.Op, *filter.Check) (c clause) { return c }

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
		return needOfFact(n.Value != negated)
	case *filter.Check:
		return needOfCheck(n, facts, negated)
	}
	return need{}
}

// needOfFact is the need of a part that is true, or false because of checks.
func needOfFact(value bool, by ...*filter.Check) need {
	if value {
		return need{}
	}
	return need{clauses: []clause{{by: by}}}
}

func needOfList(nodes []filter.Node, facts facts, negated, and bool) need {
	list := make([]need, len(nodes))
	for i, node := range nodes {
		list[i] = needOf(node, facts, negated)
	}
	if and {
		return conjunction(list)
	}
	return disjunction(list)
}

// conjunction needs all clauses of its parts, and is excluded by whatever
// excludes one.
func conjunction(list []need) (all need) {
	for _, n := range list {
		all.clauses = append(all.clauses, n.clauses...)
		all.excluded = all.excluded.or(n.excluded)
	}
	all.clauses = tidy(all.clauses)
	return all
}

// disjunction needs, for any choice of a clause of each part, one of these. It is
// excluded only by what excludes all parts: that is not looked for, but a part
// that is never met counts for nothing.
func disjunction(list []need) need {
	var one clause // of the parts that have no more
	var several []need
	for _, n := range list {
		switch {
		case n.always():
			return need{}
		case len(n.clauses) == 1 && n.excluded.size() == 0:
			c := n.clauses[0]
			one.patterns, one.names, one.by = append(one.patterns, c.patterns...), append(one.names, c.names...), append(one.by, c.by...)
		default:
			several = append(several, n)
		}
	}
	all := need{clauses: []clause{one}}
	for _, n := range several {
		if all.never() {
			n.excluded = n.excluded.or(clause{by: one.by})
			all = n
			continue
		}
		var both []clause
		for _, a := range all.clauses {
			for _, b := range n.clauses {
				both = append(both, a.or(b))
			}
		}
		all = need{clauses: tidy(both)}
	}
	return all
}

// tidy leaves the clauses that say most, as many as there is room for, and of
// those with names one, which it puts first: so a process's name has a bit for a
// need, not for each clause.
func tidy(list []clause) []clause {
	if len(list) < 2 {
		return list
	}
	slices.SortStableFunc(list, func(a, b clause) int { return a.size() - b.size() })
	if list[0].size() == 0 {
		return list[:1]
	}
	best, named := make([]clause, 0, pathset.NumClauses), false
	for _, c := range list {
		switch {
		case len(best) == pathset.NumClauses || len(c.names) > 0 && named || slices.ContainsFunc(best, c.has):
		case len(c.names) > 0:
			best, named = slices.Insert(best, 0, c), true
		default:
			best = append(best, c)
		}
	}
	return best
}

// has says whether everything that meets other meets c as well.
func (c clause) has(other clause) bool {
	for _, p := range other.patterns {
		if !slices.Contains(c.patterns, p) {
			return false
		}
	}
	for _, name := range other.names {
		if !slices.Contains(c.names, name) {
			return false
		}
	}
	return true
}

func needOfCheck(c *filter.Check, facts facts, negated bool) need {
	f, ok := c.Left.(*filter.Field)
	if !ok || c.Right != nil || c.Modifier != filter.NoModifier {
		return need{}
	}
	if value, known := facts.decide(f, c); known {
		return needOfFact(value != negated, c)
	}
	op := c.Op
	if op == filter.NotEq && !negated { // both are false where there is no value
		op, negated = filter.Eq, true
	}
	isEqual := op == filter.Eq || op == filter.EqEq || op == filter.In
	switch {
	case f.Name == "proc.name" && isEqual && !negated:
		names := texts(c)
		if slices.Contains(names, "<NA>") { // of processes of which nothing is known
			return need{}
		}
		return need{clauses: []clause{{names: names, by: []*filter.Check{c}}}}
	case negated:
		return need{excluded: facts.excluded(f.Name, op, c)}
	case len(c.Values) == 1:
		list := facts.path(f.Name, op, c.Values[0].Text)
		for i := range list {
			list[i].by = []*filter.Check{c}
		}
		return need{clauses: list}
	}
	some := clause{by: []*filter.Check{c}}
	for _, value := range c.Values { // of which there may be thousands, for nothing
		list := facts.path(f.Name, op, value.Text)
		if len(list) == 0 {
			return need{}
		}
		some.patterns = append(some.patterns, list[0].patterns...)
	}
	if some.size() == 0 && op != filter.In { // an empty list is never matched
		return need{}
	}
	return need{clauses: []clause{some}}
}

func texts(c *filter.Check) []string {
	list := make([]string, len(c.Values))
	for i, v := range c.Values {
		list[i] = v.Text
	}
	return list
}
