package report

import (
	"math"
	"slices"

	"github.com/peregrine-sec/peregrine/internal/capacity"
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
