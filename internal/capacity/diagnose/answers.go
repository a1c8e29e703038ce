package diagnose

import (
	"cmp"
	"slices"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/sample"
)

// key identifies the repeats of a row.
type key struct {
	sensor string
	limit  capacity.Limit
}

// chosen lists the limits in the order of their first rows, each with the rows
// that give its answer: the confirmed ones or, without any, those that could be
// measured. It leaves out inversions that a repeat has shown to be disturbances
// of the machine.
func chosen(rows []capacity.Row) (order []key, by map[key][]int) {
	by = map[key][]int{}
	for i, row := range rows {
		k := key{row.Sensor, row.Limit}
		if len(by[k]) == 0 {
			order = append(order, k)
		}
		by[k] = append(by[k], i)
	}
	inversions := Inversions(rows)
	for k, of := range by {
		for _, prefer := range []func(i int) bool{
			func(i int) bool { return rows[i].Status != capacity.Failed },
			func(i int) bool { return rows[i].Status == capacity.Confirmed },
			func(i int) bool { return !slices.Contains(inversions, i) },
		} {
			if kept := slices.DeleteFunc(slices.Clone(of), func(i int) bool { return !prefer(i) }); len(kept) > 0 {
				of = kept
			}
		}
		by[k] = of
	}
	return order, by
}

// answers sums up the repeats of each limit.
func answers(r *capacity.Result) []capacity.Answer {
	order, by := chosen(r.Rows)
	slices.SortStableFunc(order, func(a, b key) int {
		return cmp.Or(cmp.Compare(a.limit.CPU, b.limit.CPU), cmp.Compare(a.limit.Memory, b.limit.Memory))
	})
	all := make([]capacity.Answer, len(order))
	for i, k := range order {
		all[i] = answerOf(r, by[k])
		carry(&all[i], all[:i])
	}
	return all
}

// answerOf takes the row in the middle by events per second, the lower one of two.
func answerOf(r *capacity.Result, indexes []int) capacity.Answer {
	sorted := slices.SortedStableFunc(slices.Values(indexes), func(a, b int) int { return cmp.Compare(r.Rows[a].Syscalls, r.Rows[b].Syscalls) })
	i := sorted[(len(sorted)-1)/2]
	row := &r.Rows[i]
	a := capacity.Answer{Sensor: row.Sensor, Limit: row.Limit, Row: i, Status: row.Status, AtLeast: row.Status == capacity.AtLeast}
	if row.Status != capacity.Failed && row.Status != capacity.NoCapacity {
		a.Operations, a.Events, a.Alerts = row.NDR.Lower, row.Syscalls, row.EPS
	}
	var events []float64
	for _, i := range indexes {
		if r.Rows[i].Syscalls > 0 {
			events = append(events, r.Rows[i].Syscalls)
		}
	}
	if len(events) > 1 {
		spread := sample.MedianInterval(events)
		a.Spread = &spread
	}
	return a
}

// carry raises an unconfirmed answer to the rate that a smaller limit has
// carried: a lower bound for the larger one.
func carry(a *capacity.Answer, smaller []capacity.Answer) {
	if a.Status == capacity.Confirmed {
		return
	}
	for _, s := range smaller {
		less := s.Sensor == a.Sensor && s.Limit.CPU <= a.Limit.CPU && (a.Limit.Memory == 0 || s.Limit.Memory > 0 && s.Limit.Memory <= a.Limit.Memory)
		if sure := s.AtLeast || s.Status == capacity.Confirmed; less && sure && s.Operations > a.Operations {
			a.Operations, a.Events, a.Alerts, a.AtLeast = s.Operations, s.Events, s.Alerts, true
			a.Carried = &s.Limit
			if s.Carried != nil {
				a.Carried = s.Carried
			}
		}
	}
}
