package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/plan/pathset"
)

// However many needs there are, the probe has bits for their groups, and a call
// that meets a need with some facts meets a group with the same facts.
func TestGroups(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, test := range []struct{ single, several int }{{3, 2}, {maxGroups, 0}, {maxGroups - 1, 5}, {2, 200}, {0, maxGroups + 1}, {maxGroups + 1, 0}, {300, 30}} {
		t.Run(fmt.Sprintf("%d and %d", test.single, test.several), func(t *testing.T) {
			g := groups{}
			for i := range test.single + test.several {
				n := need{clauses: []clause{{names: []string{fmt.Sprint(i)}}}}
				if i >= test.single {
					n.clauses = append(n.clauses, clause{patterns: []pathset.Pattern{{Kind: pathset.Prefix, Text: fmt.Sprint("/", i)}}})
				}
				g.add(n, r.Uint64()|1<<63>>(i%64))
			}
			list := g.list()
			if len(list) > maxGroups {
				t.Errorf("%d groups", len(list))
			}
			for _, e := range g {
				for fact := range 64 {
					if e.facts>>fact&1 != 0 && !slices.ContainsFunc(list, func(g group) bool { return g.facts>>fact&1 != 0 && weaker(g.need, e.need) }) {
						t.Fatalf("fact %d of need %v is in no group", fact, e.need)
					}
				}
			}
		})
	}
}

// weaker says that each clause of n has all that some clause of m has.
func weaker(n, m need) bool {
	return !slices.ContainsFunc(n.clauses, func(c clause) bool { return !slices.ContainsFunc(m.clauses, c.has) })
}
