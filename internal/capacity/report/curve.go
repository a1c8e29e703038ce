package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/peregrine-sec/peregrine/internal/bench/chart"
	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/page"
)

// curveChart draws capacity against CPU: a solid line through confirmed rows, a
// dashed one through bounds. Several sensors are drawn in operations, which
// mean the same for all. It is Empty if there is nothing to compare.
func curveChart(r *capacity.Result) page.Chart {
	c := page.Chart{ID: "curve", Height: 260, X: page.Axis{Label: "CPU limit"}, Y: page.Axis{Label: "sensor events/s"}, Wide: true,
		Caption: "Capacity against the CPU limit. Dashed: lower bounds and rows that are not confirmed.",
		Label:   "Capacity against CPU; the table beside it has the same figures"}
	several := len(r.Findings.Curves) > 1
	if several {
		c.Y.Label = "operations/s"
	}
	var cpus []float64 // rising, of all sensors
	for _, of := range r.Findings.Curves {
		for _, p := range of.Points {
			cpus = append(cpus, p.CPU)
		}
		if of.Knee != nil && !several {
			c.Marks = []page.Mark{{Name: "knee", Color: "warn", X: &of.Knee.CPU}}
		}
	}
	slices.Sort(cpus)
	cpus = slices.Compact(cpus)
	if len(cpus) < 2 {
		return page.Chart{}
	}
	for i, of := range r.Findings.Curves {
		addCurve(&c, of, cpus, several, curveColors[i%len(curveColors)])
	}
	c.X.Values = append(page.Values{0}, cpus...) // the axis has its origin
	return c
}

var curveColors = []string{"accent", "load", "drops", "good"}

// addCurve draws one sensor. Where only some of its points are confirmed, the
// dashed line goes through all.
func addCurve(c *page.Chart, of capacity.Curve, cpus []float64, operations bool, color string) {
	name := c.Y.Label
	if of.Sensor != "" {
		name = of.Sensor
	}
	confirmed := page.Line{Name: name, Color: color, Dots: true, Join: true, Values: page.Values{math.NaN()}}
	all := page.Line{Name: name + ", bounds", Color: color, Dash: page.Dashed, Dots: true, Join: true, Values: page.Values{math.NaN()}}
	bounds := false
	for _, cpu := range cpus {
		rate, certain := math.NaN(), math.NaN()
		if i := slices.IndexFunc(of.Points, func(p capacity.Point) bool { return p.CPU == cpu }); i >= 0 {
			p := &of.Points[i]
			rate = p.Rate
			if operations {
				rate = p.Operations
			}
			if p.Certain {
				certain = rate
			}
			bounds = bounds || !p.Certain
		}
		confirmed.Values, all.Values = append(confirmed.Values, certain), append(all.Values, rate)
	}
	if bounds {
		c.Lines = append(c.Lines, all)
	}
	c.Lines = append(c.Lines, confirmed)
}

func decimal(x float64) string { return strconv.FormatFloat(x, 'f', 2, 64) }

// rowCharts draws the trials of a row.
func rowCharts(index int, row *capacity.Row) []page.Chart {
	var rounds []chart.Drawn
	for i := range row.Trials {
		t := &row.Trials[i]
		rounds = append(rounds, chart.Drawn{Round: &t.Round, Offered: t.Verdict.Offered, Loss: t.Verdict.Loss(), Clean: t.Verdict.Clean})
	}
	o := chart.Options{Suffix: fmt.Sprintf("-%d", index), CPU: row.Limit.CPU, Memory: float64(row.Limit.Memory), Latencies: compared(row)}
	if row.NDR.Lower > 0 {
		o.Marks = append(o.Marks, page.Mark{Name: "NDR", Color: "good", X: &row.NDR.Lower})
	}
	if row.PDR.Lower > row.NDR.Lower*1.01 {
		o.Marks = append(o.Marks, page.Mark{Name: "PDR", Color: "warn", X: &row.PDR.Lower})
	}
	return chart.Of(rounds, o)
}

// compared are the trials whose latencies tell most: the clean one that is the
// answer, the lowest that lost something, and the first, which had the least load.
func compared(row *capacity.Row) (list []chart.Named) {
	add := func(what string, t *capacity.Trial) {
		if t == nil || slices.ContainsFunc(list, func(n chart.Named) bool { return n.Round == &t.Round }) {
			return
		}
		list = append(list, chart.Named{Name: fmt.Sprintf("%s, %s/s", what, human.Number(t.Verdict.Offered)), Round: &t.Round})
	}
	add("clean", row.CleanTrial())
	add("lossy", row.FailedTrial())
	if len(row.Trials) > 0 {
		add("first", &row.Trials[0])
	}
	return list
}
