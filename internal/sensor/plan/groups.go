package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/plan/pathset"
)

// maxGroups is the number of needs that the probe tells apart: the bits of a
// word except that of unclean paths.
const maxGroups = 63

// group is a need that some rules share, and the combinations of facts (a bit
// each) in which they have it.
type group struct {
	facts uint64
	need  need
}

// groups gathers the needs of rules, and reduces them to as many groups as the
// probe has bits. Most rules have a single clause. All of these with the same
// facts are one group, whose clause is met if that of any of them is: this loses
// nothing.
type groups map[string]*group

// add says what a rule needs in some combinations of facts.
func (g groups) add(n need, facts uint64) {
	key := n.key()
	if g[key] == nil {
		g[key] = &group{need: n}
	}
	g[key].facts |= facts
}

func (n need) key() string {
	var b strings.Builder
	for _, c := range append(slices.Clip(n.clauses), n.excluded) {
		fmt.Fprintf(&b, "%q%v ", c.names, c.patterns)
	}
	return b.String()
}

func (g groups) sorted() (list []group) {
	for _, key := range slices.Sorted(maps.Keys(g)) {
		list = append(list, *g[key])
	}
	return list
}

// list returns at most maxGroups groups. Where there are more, the largest needs
// become their smallest clauses; if that is not enough, there is a group for each
// combination of facts, but for the last two, which share one.
func (g groups) list() []group {
	several, single := []group{}, map[uint64]*clause{}
	merge := func(facts uint64, c clause) {
		if single[facts] == nil {
			single[facts] = &clause{}
		}
		single[facts].add(c)
	}
	for _, e := range g.sorted() {
		if len(e.need.clauses) == 1 && e.need.excluded.size() == 0 {
			merge(e.facts, e.need.clauses[0])
		} else {
			several = append(several, e)
		}
	}
	slices.SortStableFunc(several, func(a, b group) int { return cmp.Compare(a.need.size(), b.need.size()) })
	for len(several)+len(single) > maxGroups && len(several) > 0 {
		last := several[len(several)-1]
		several = several[:len(several)-1]
		merge(last.facts, last.need.smallest())
	}
	if len(single) > maxGroups {
		all := single
		single = map[uint64]*clause{}
		for facts, c := range all {
			for ; facts != 0; facts &= facts - 1 {
				fact := facts & -facts
				if fact >= 1<<(maxGroups-1) {
					fact = 3 << (maxGroups - 1)
				}
				merge(fact, *c)
			}
		}
	}
	for _, facts := range slices.Sorted(maps.Keys(single)) {
		several = append(several, group{facts, need{clauses: []clause{*single[facts]}}})
	}
	return several
}

func (n need) size() (size int) {
	for _, c := range n.clauses {
		size += c.size()
	}
	return size + n.excluded.size()
}

// smallest is the clause that says most; of a need that has none, one that every
// path meets.
func (n need) smallest() clause {
	if len(n.clauses) == 0 {
		return clause{patterns: []pathset.Pattern{{Kind: pathset.Prefix}}}
	}
	return slices.MinFunc(n.clauses, func(a, b clause) int { return cmp.Compare(a.size(), b.size()) })
}
