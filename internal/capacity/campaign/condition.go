package campaign

import (
	"fmt"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/capacity"
)

// Condition is a --fail-if: a comparison about every row of a result.
type Condition struct {
	text  string
	row   func(*capacity.Row) float64 // nil if it is about the clean round
	round bench.Condition
}

// rowMetrics are what conditions can ask of a row; all other metrics are those
// of bench, and are asked of the row's clean round.
var rowMetrics = map[string]func(*capacity.Row) float64{
	"syscalls": func(r *capacity.Row) float64 { return r.Syscalls },
	"eps":      func(r *capacity.Row) float64 { return r.EPS },
	"ndr":      func(r *capacity.Row) float64 { return r.NDR.Lower },
	"pdr":      func(r *capacity.Row) float64 { return r.PDR.Lower },
}

// RowMetrics are their names, for help.
const RowMetrics = "syscalls eps ndr pdr"

// ParseCondition reads "syscalls<200k", "ndr < 5000", "latency.p99>50ms".
func ParseCondition(s string) (Condition, error) {
	c := Condition{text: s}
	text := s
	for name, metric := range rowMetrics {
		rest, ok := strings.CutPrefix(strings.TrimSpace(s), name)
		if ok && strings.IndexAny(strings.TrimSpace(rest), "<>=!") == 0 {
			// Bench reads comparison and value; its own "offered" stands in
			// for the metric.
			c.row, text = metric, "offered"+rest
		}
	}
	var err error
	if c.round, err = bench.ParseCondition(text); err != nil {
		return c, fmt.Errorf("%w; of a row also %s", err, RowMetrics)
	}
	return c, nil
}

// holds evaluates the condition on a row.
func (c Condition) holds(row *capacity.Row) (value float64, holds, known bool) {
	if c.row != nil {
		stand := bench.Round{}
		stand.Rate.Offered = c.row(row)
		return c.round.Eval(&stand)
	}
	if t := row.CleanTrial(); t != nil {
		return c.round.Eval(&t.Round)
	}
	return 0, false, false
}

// Violated lists the conditions that are true, with where.
func Violated(r *capacity.Result, conditions []Condition) []string {
	var found []string
	for i := range r.Rows {
		for _, c := range conditions {
			if value, holds, known := c.holds(&r.Rows[i]); known && holds {
				found = append(found, fmt.Sprintf("%s: %s (%.6g)", r.Rows[i].Limit, c.text, value))
			}
		}
	}
	return found
}
