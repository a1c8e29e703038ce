package capacity

import (
	"fmt"
	"slices"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/capacity/limit"
	"github.com/peregrine-sec/peregrine/internal/sample"
)

// Comparison is two runs side by side, limit by limit.
type Comparison struct {
	A, B    string // what they are
	Rows    []Difference
	Verdict Change // the worst of the rows
	Notes   []string
}

// Difference is one limit of a comparison. Delta is (B-A)/A.
type Difference struct {
	Limit  limit.Limit
	A, B   sample.Interval // syscalls per second
	Delta  float64
	P      float64
	Change Change
}

// Change is a verdict on B seen from A.
type Change string

// The verdicts, from good to bad.
const (
	Better  Change = "better"
	Same    Change = "same"
	Unsure  Change = "inconclusive"
	Worse   Change = "worse"
	Missing Change = "missing"
)

// significant is the usual level; relevant is the difference below which
// nobody would change anything.
const (
	significant = 0.05
	relevant    = 0.05
)

// Compare sets the runs of b against the runs of a; more than one run a side
// are pooled. With fewer than four rows a side no p value can be significant:
// the rows' own bounds decide then.
func Compare(a, b []Result) Comparison {
	c := Comparison{A: describe(a), B: describe(b), Verdict: Better}
	left, right := pool(a), pool(b)
	for _, l := range limitsOf(a) {
		d := difference(l, left[l], right[l])
		c.Rows = append(c.Rows, d)
	}
	c.Verdict = overall(c.Rows)
	c.Notes = comparable(a, b)
	if slices.ContainsFunc(c.Rows, func(d Difference) bool { return d.Change == Unsure && min(d.A.N, d.B.N) < 4 }) {
		c.Notes = append(c.Notes, "the bounds of both sides overlap, and fewer than four rows of a limit do not allow for more: measure both with --repeat 4 or more")
	}
	return c
}

func describe(results []Result) string {
	if len(results) == 0 {
		return "nothing"
	}
	r := results[0]
	if len(results) == 1 {
		return fmt.Sprintf("%s, %s", r.Sensor.Name, r.Started.Format("2006-01-02 15:04"))
	}
	return fmt.Sprintf("%s, %d runs from %s", r.Sensor.Name, len(results), r.Started.Format("2006-01-02 15:04"))
}

func pool(results []Result) map[limit.Limit][]Row {
	rows := map[limit.Limit][]Row{}
	for _, result := range results {
		for _, row := range result.Rows {
			if row.Syscalls > 0 {
				rows[row.Limit] = append(rows[row.Limit], row)
			}
		}
	}
	return rows
}

// limitsOf lists the limits in the order of their first rows.
func limitsOf(results []Result) []limit.Limit {
	var order []limit.Limit
	seen := map[limit.Limit]bool{}
	for _, result := range results {
		for _, row := range result.Rows {
			if !seen[row.Limit] {
				seen[row.Limit] = true
				order = append(order, row.Limit)
			}
		}
	}
	return order
}

func rates(rows []Row) []float64 {
	var xs []float64
	for _, row := range rows {
		xs = append(xs, row.Syscalls)
	}
	return xs
}

func difference(l limit.Limit, a, b []Row) Difference {
	d := Difference{Limit: l, A: sample.MedianInterval(rates(a)), B: sample.MedianInterval(rates(b)), P: sample.Difference(rates(a), rates(b))}
	if d.A.N == 0 || d.B.N == 0 {
		d.Change = Missing
		return d
	}
	d.Delta = (d.B.Median - d.A.Median) / d.A.Median
	switch {
	case d.Delta > -relevant && d.Delta < relevant:
		d.Change = Same
	case d.A.N >= 4 && d.B.N >= 4 && d.P >= significant:
		d.Change = Unsure
	case d.A.N < 4 || d.B.N < 4:
		d.Change = byBounds(a, b, d.Delta)
	case d.Delta > 0:
		d.Change = Better
	default:
		d.Change = Worse
	}
	return d
}

// byBounds decides with few runs: only where every row of one side failed at
// a load below what every row of the other side has passed.
func byBounds(a, b []Row, delta float64) Change {
	above := func(high, low []Row) bool {
		for _, h := range high {
			for _, l := range low {
				if l.NDR.Upper == 0 || h.NDR.Lower <= l.NDR.Upper {
					return false
				}
			}
		}
		return true
	}
	switch {
	case delta > 0 && above(b, a):
		return Better
	case delta < 0 && above(a, b):
		return Worse
	}
	return Unsure
}

// overall is the worst of the rows' verdicts.
func overall(rows []Difference) Change {
	rank := map[Change]int{Better: 0, Same: 1, Unsure: 2, Missing: 3, Worse: 4}
	if len(rows) == 0 {
		return Missing
	}
	worst := rows[0].Change
	for _, d := range rows {
		if rank[d.Change] > rank[worst] {
			worst = d.Change
		}
	}
	return worst
}

// comparable lists what differs besides the sensor.
func comparable(a, b []Result) []string {
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	x, y := a[0], b[0]
	var notes []string
	differ := func(what string, p, q any) {
		if p != q {
			notes = append(notes, fmt.Sprintf("%s differs: %v and %v", what, p, q))
		}
	}
	differ("load", x.Method.Load, y.Method.Load)
	differ("CPU model", x.Environment.CPU, y.Environment.CPU)
	differ("number of CPUs", x.Environment.CPUs, y.Environment.CPUs)
	differ("kernel", x.Environment.Kernel, y.Environment.Kernel)
	differ("version", x.Environment.Peregrine, y.Environment.Peregrine)
	differ("sensor", x.Sensor.Name, y.Sensor.Name)
	differ("set of rules or configuration", short(x.Sensor.SHA256), short(y.Sensor.SHA256))
	for _, only := range []struct {
		side      string
		has, lack []string
	}{{"A", x.Sensor.Command, y.Sensor.Command}, {"B", y.Sensor.Command, x.Sensor.Command}} {
		if more := slices.DeleteFunc(slices.Clone(only.has), func(arg string) bool { return fileName(arg) || slices.Contains(only.lack, arg) }); len(more) > 0 {
			notes = append(notes, fmt.Sprintf("only the sensor of %s had %s", only.side, strings.Join(more, " ")))
		}
	}
	differ("set of actions", fmt.Sprint(x.Method.Actions), fmt.Sprint(y.Method.Actions))
	return notes
}

// fileName says whether an argument names a file of the run, which differs
// between any two.
func fileName(arg string) bool {
	return strings.Contains(arg, "sensor-stats.json") || strings.Contains(arg, "falco-stats.json")
}

// short is the begin of a digest.
func short(sha string) string { return sha[:min(12, len(sha))] }
