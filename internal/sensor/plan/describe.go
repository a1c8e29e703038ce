package plan

import (
	"fmt"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan/pathset"
)

// OpenNeed says in words what the probe checks before it sends an open.
type OpenNeed struct {
	Facts    string   `json:"facts,omitempty"`    // "successful, for reading"; "" for any
	Clauses  []string `json:"clauses"`            // all of them are met
	Excluded string   `json:"excluded,omitempty"` // and this is not; "" for nothing
}

// OpenNeeds describes the needs of a condition, one of which an open must meet.
func OpenNeeds(n filter.Node) (list []OpenNeed) {
	all := groups{}
	for _, g := range openNeeds(n) {
		if !g.need.never() {
			all.add(g.need, g.facts)
		}
	}
	for _, g := range all.sorted() {
		o := OpenNeed{Facts: factWords(g.facts), Excluded: g.need.excluded.String()}
		for _, c := range g.need.clauses {
			o.Clauses = append(o.Clauses, c.String())
		}
		list = append(list, o)
	}
	return list
}

// factWords are the facts that all combinations (a bit each) have in common.
func factWords(combinations uint64) string {
	var words []string
	for _, f := range []struct {
		bit           event.OpenFacts
		with, without string
	}{
		{event.FactSuccess, "successful", "failed"},
		{event.FactRead, "for reading", "not for reading"},
		{event.FactWrite, "for writing", "not for writing"},
		{event.FactCreate, "with O_CREAT", "without O_CREAT"},
		{event.FactTruncate, "with O_TRUNC", "without O_TRUNC"},
	} {
		with, without := true, true
		for facts := range event.NumOpenFacts {
			if combinations&(1<<facts) != 0 {
				with, without = with && facts&f.bit != 0, without && facts&f.bit == 0
			}
		}
		switch {
		case with:
			words = append(words, f.with)
		case without:
			words = append(words, f.without)
		}
	}
	return strings.Join(words, ", ")
}

// maxWords is how many patterns and names of a clause are shown.
const maxWords = 6

func (c clause) String() string {
	var words []string
	for _, p := range c.patterns {
		words = append(words, patternWords[p.Kind]+" "+p.Text)
	}
	for _, name := range c.names {
		words = append(words, "process is called "+name)
	}
	if len(words) > maxWords {
		words = append(words[:maxWords], fmt.Sprintf("%d more", len(words)-maxWords))
	}
	return strings.Join(words, ", or ")
}

var patternWords = map[pathset.Kind]string{
	pathset.Exact: "path is", pathset.Prefix: "path starts with", pathset.Suffix: "path ends with",
	pathset.Contains: "path contains", pathset.Within: "path is an entry of",
}
