package run

import (
	"fmt"
	"maps"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/condition"
)

// Condition is a --fail-if: a comparison about every row of a result.
type Condition = condition.Condition[capacity.Row]

// metrics are the figures of a row for conditions: its own figures, and those
// of its clean round.
var metrics = rowMetrics()

func rowMetrics() condition.Metrics[capacity.Row] {
	figure := func(f func(*capacity.Row) float64) condition.Metric[capacity.Row] {
		return condition.Number(func(r *capacity.Row) (float64, bool) { return f(r), true })
	}
	all := condition.Metrics[capacity.Row]{
		"syscalls": figure(func(r *capacity.Row) float64 { return r.Syscalls }),
		"eps":      figure(func(r *capacity.Row) float64 { return r.EPS }),
		"ndr":      figure(func(r *capacity.Row) float64 { return r.NDR.Lower }),
		"pdr":      figure(func(r *capacity.Row) float64 { return r.PDR.Lower }),
	}
	for name, metric := range maps.All(bench.Metrics) {
		all[name] = condition.Metric[capacity.Row]{Read: metric.Read, Of: func(r *capacity.Row) (float64, bool) {
			if t := r.CleanTrial(); t != nil {
				return metric.Of(&t.Round)
			}
			return 0, false
		}}
	}
	return all
}

// ParseCondition reads "syscalls<200k", "ndr < 5000", "latency.p99>50ms".
func ParseCondition(s string) (Condition, error) { return condition.Parse(s, metrics) }

// Violated lists the conditions that are true, with where.
func Violated(r *capacity.Result, conditions []Condition) []string {
	var found []string
	for i := range r.Rows {
		for _, c := range conditions {
			if value, holds, known := c.Eval(&r.Rows[i]); known && holds {
				found = append(found, fmt.Sprintf("%s: %s (%.6g)", r.Rows[i].Limit, c.Text, value))
			}
		}
	}
	return found
}
