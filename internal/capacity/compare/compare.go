// Package compare compares two capacity runs and decides whether the second is
// better or worse than the first.
package compare

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/sample"
)

// Comparison is two runs side by side, limit by limit.
type Comparison struct {
	A, B    string // their titles
	Rows    []Difference
	Overall sample.Change // the worst of the rows
	Notes   []string
}

// Difference is one limit of a comparison. Delta is (B-A)/A.
type Difference struct {
	Sensor string // of runs that have several
	Limit  capacity.Limit
	A, B   sample.Interval // operations per second of the generator
	Delta  float64
	P      float64
	Change sample.Change
	Why    string // it is inconclusive
}

// significant is the usual level of a test; differences below relevant do not
// count as a change.
const (
	significant = 0.05
	relevant    = 0.05
)

// key identifies rows that can be compared.
type key struct {
	sensor string
	limit  capacity.Limit
}

// Compare sets the runs of b against the runs of a; the runs of a side are
// pooled. They are compared in operations of the generator, which are the same
// for every sensor, and so have to be of the same load. With fewer than four
// rows a side no p value can be significant: the rows' own rounds decide then.
// A lower bound, and a row of a noisy or busy machine, is no evidence.
func Compare(a, b []capacity.Result) (Comparison, error) {
	c := Comparison{A: describe(a), B: describe(b), Overall: sample.Better}
	if len(a) == 0 || len(b) == 0 {
		return c, errors.New("compare: expected at least one run on each side")
	}
	if err := sameLoad(slices.Concat(a, b)); err != nil {
		return c, err
	}
	keys, left := pool(a)
	_, right := pool(b)
	if len(keys) == 0 {
		c.Overall = sample.Missing
	}
	for _, k := range keys {
		d := difference(k, left[k], right[k])
		c.Rows, c.Overall = append(c.Rows, d), sample.Worst(c.Overall, d.Change)
	}
	c.Notes = differences(a[0], b[0])
	return c, nil
}

// sameLoad refuses runs whose operations are not the same.
func sameLoad(all []capacity.Result) error {
	for _, r := range all[1:] {
		x, y := all[0].Method, r.Method
		if x.Load != y.Load {
			return fmt.Errorf("compare: the loads differ: %s, and %s: measure both with the same --load", x.Load, y.Load)
		}
		if !slices.Equal(slices.Sorted(slices.Values(x.Actions)), slices.Sorted(slices.Values(y.Actions))) {
			return fmt.Errorf("compare: the actions differ: %s, and %s: measure both with the same --actions", strings.Join(x.Actions, ", "), strings.Join(y.Actions, ", "))
		}
	}
	return nil
}

func describe(results []capacity.Result) string {
	if len(results) == 0 {
		return "nothing"
	}
	r, count := results[0], ""
	if len(results) > 1 {
		count = fmt.Sprintf("%d runs from ", len(results))
	}
	return fmt.Sprintf("%s, %s%s", names(r), count, r.Started.Format("2006-01-02 15:04"))
}

func names(r capacity.Result) string {
	var all []string
	for _, s := range r.Sensors {
		all = append(all, s.Name)
	}
	return strings.Join(all, " and ")
}

// side is the rows of one limit.
type side struct {
	confirmed []capacity.Row // and nothing speaks against them
	doubtful  []string       // why others are not used
}

// pool puts the rows of one limit together; keys are in the order of their first
// rows.
func pool(results []capacity.Result) (keys []key, sides map[key]*side) {
	sides = map[key]*side{}
	for _, result := range results {
		for _, row := range result.Rows {
			k := key{row.Sensor, row.Limit}
			if sides[k] == nil {
				keys, sides[k] = append(keys, k), &side{}
			}
			if why := doubt(result, row); why != "" {
				sides[k].doubtful = append(sides[k].doubtful, why)
			} else {
				sides[k].confirmed = append(sides[k].confirmed, row)
			}
		}
	}
	return keys, sides
}

// doubt says why a row does not count as evidence; "" if it does.
func doubt(result capacity.Result, row capacity.Row) string {
	switch {
	case row.Status == capacity.AtLeast:
		return "a row is a lower bound"
	case row.Status != capacity.Confirmed:
		return "a row is " + strings.ReplaceAll(string(row.Status), "_", " ")
	case len(row.Noisy) > 0:
		return "a row is noisy: " + row.Noisy[0]
	case result.Method.Force:
		return "a run was measured with --force"
	case result.Environment.Busy():
		return "a machine was busy before the run"
	}
	return ""
}

func rates(rows []capacity.Row) []float64 {
	var xs []float64
	for _, row := range rows {
		xs = append(xs, row.NDR.Lower)
	}
	return xs
}

func difference(k key, a, b *side) Difference {
	d := Difference{Sensor: k.sensor, Limit: k.limit, P: 1}
	if b == nil {
		d.A = sample.MedianInterval(rates(a.confirmed))
		d.Change, d.Why = sample.Missing, "B has no such row"
		return d
	}
	xs, ys := rates(a.confirmed), rates(b.confirmed)
	d.A, d.B, d.P = sample.MedianInterval(xs), sample.MedianInterval(ys), sample.Difference(xs, ys)
	if d.A.N == 0 || d.B.N == 0 {
		d.Change, d.Why = sample.Unsure, slices.Concat(a.doubtful, b.doubtful)[0]
		return d
	}
	d.Delta = (d.B.Median - d.A.Median) / d.A.Median
	switch {
	case d.Delta > -relevant && d.Delta < relevant:
		d.Change = sample.Same
	case d.A.N < 4 || d.B.N < 4:
		d.Change = byRounds(a.confirmed, b.confirmed, d.Delta)
		if d.Change == sample.Unsure {
			d.Why = "too few rows to decide, and at no load did one side pass and the other fail in three rounds: measure both with --repeat 4"
		}
	case d.P >= significant:
		d.Change, d.Why = sample.Unsure, "the repeats of each side differ as much"
	case d.Delta > 0:
		d.Change = sample.Better
	default:
		d.Change = sample.Worse
	}
	return d
}

// byRounds decides with few runs: only if every row of one side failed at rates
// that every row of the other side has passed.
func byRounds(a, b []capacity.Row, delta float64) sample.Change {
	above := func(high, low []capacity.Row) bool {
		for _, h := range high {
			for _, l := range low {
				if most := ceiling(&l); most == 0 || h.NDR.Lower <= most {
					return false
				}
			}
		}
		return true
	}
	switch {
	case delta > 0 && above(b, a):
		return sample.Better
	case delta < 0 && above(a, b):
		return sample.Worse
	}
	return sample.Unsure
}

// failures is how many rounds have to fail before a rate is beyond a sensor: one
// or two can be accidents, such as a neighbour's moment of work.
const failures = 3

// ceiling is a rate that a row's sensor cannot carry, by the row's own rounds:
// enough have failed at or below it, and none has passed above it. 0 means
// unknown.
func ceiling(row *capacity.Row) float64 {
	var failed []float64
	passed := 0.0
	for i := range row.Trials {
		if v := row.Trials[i].Verdict; v.Clean {
			passed = max(passed, v.Offered)
		} else {
			failed = append(failed, v.Offered)
		}
	}
	if len(failed) < failures {
		return 0
	}
	slices.Sort(failed)
	return max(failed[failures-1], passed)
}

// differences lists differences besides the figures.
func differences(x, y capacity.Result) []string {
	var notes []string
	differ := func(what string, p, q any) {
		if p != q {
			notes = append(notes, fmt.Sprintf("%s differs: %v and %v", what, p, q))
		}
	}
	differ("CPU model", x.Environment.CPU, y.Environment.CPU)
	differ("number of CPUs", x.Environment.CPUs, y.Environment.CPUs)
	differ("kernel", x.Environment.Kernel, y.Environment.Kernel)
	differ("version", x.Environment.Peregrine, y.Environment.Peregrine)
	for i := range min(len(x.Sensors), len(y.Sensors)) {
		p, q := x.Sensors[i], y.Sensors[i]
		differ("sensor", p.Name, q.Name)
		differ("set of rules or configuration", short(p.SHA256), short(q.SHA256))
		for _, only := range []struct {
			side      string
			has, lack []string
		}{{"A", p.Command, q.Command}, {"B", q.Command, p.Command}} {
			if more := slices.DeleteFunc(slices.Clone(only.has), func(arg string) bool { return fileName(arg) || slices.Contains(only.lack, arg) }); len(more) > 0 {
				notes = append(notes, fmt.Sprintf("only the sensor of %s had %s", only.side, strings.Join(more, " ")))
			}
		}
	}
	return notes
}

// fileName says whether an argument names a file of the run, which differs
// between any two.
func fileName(arg string) bool {
	return strings.Contains(arg, "sensor-stats.json") || strings.Contains(arg, "falco-stats.json")
}

// short is the start of a digest.
func short(sha string) string { return sha[:min(12, len(sha))] }
