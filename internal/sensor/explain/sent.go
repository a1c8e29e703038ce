package explain

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
)

// sent counts for which rules the kernel sends events.
type sent struct {
	rules          []*plan.Alone
	of, only       []uint64 // by rule
	table, leftOut uint64
}

func newSent(list []*rules.Rule) (*sent, error) {
	s := &sent{of: make([]uint64, len(list)), only: make([]uint64, len(list))}
	for _, r := range list {
		a, err := plan.NewAlone(r)
		if err != nil {
			return nil, fmt.Errorf("rule %q: %w", r.Name, err)
		}
		s.rules = append(s.rules, a)
	}
	return s, nil
}

// observe counts an event.
func (s *sent) observe(c *field.Context) {
	if k := c.Event.Kind(); k == event.KindTask { // of the snapshot, or of a capture's start
		return
	}
	if plan.ForTable(c.Event) {
		s.table++
		return
	}
	n, last := 0, 0
	for i, r := range s.rules {
		if r.Sends(c.Event, c.Proc) {
			n, last = n+1, i
			s.of[i]++
		}
	}
	switch n {
	case 0:
		s.leftOut++
	case 1:
		s.only[last]++
	}
}

// writeSent writes for which rules events left the kernel, the most first.
func (c *Costs) writeSent(b *bytes.Buffer) {
	list := slices.DeleteFunc(slices.Clone(c.Rules), func(r RuleCost) bool { return r.Sent == 0 })
	slices.SortStableFunc(list, func(a, b RuleCost) int {
		return cmp.Or(cmp.Compare(b.Alone, a.Alone), cmp.Compare(b.Sent, a.Sent))
	})
	fmt.Fprintf(b, "\nThe kernel sends %d of these events with any rules, for the process table, and\n"+
		"filters %d. It sends the others for these rules; alone: for no other rule.\n"+
		"The kernel checks for the rule: r result, c container, a argument, n name of the\n"+
		"program, s socket, d address, p path.\n\n", c.ForTable, c.LeftOut)
	fmt.Fprintf(b, "%12s %12s  %-7s  %s\n", "sent", "alone", "checks", "rule")
	for _, r := range list {
		writeWrapped(b, fmt.Sprintf("%12d %12d  %s  ", r.Sent, r.Alone, letters(r.Stages)), strings.Fields(r.Rule))
	}
}
