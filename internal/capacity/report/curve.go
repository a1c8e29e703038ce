package report

import (
	"slices"

	"github.com/peregrine-sec/peregrine/internal/capacity"
)

// curveChart draws capacity against CPU: a full line through what is
// confirmed, a dashed one through bounds. Several sensors are drawn in
// operations, which mean the same for all.
type curveChart struct {
	Unit   string        `json:"unit"`
	CPU    []float64     `json:"cpu"` // rising, of all series
	Series []curveSeries `json:"series"`
	Knee   *float64      `json:"knee,omitempty"` // CPU
}

type curveSeries struct {
	Name  string     `json:"name"`
	Bound bool       `json:"bound"`
	Rate  []*float64 `json:"rate"` // by CPU
}

func curveChartOf(r *capacity.Result) curveChart {
	c := curveChart{Unit: "sensor events/s"}
	several := len(r.Findings.Curves) > 1
	if several {
		c.Unit = "operations/s"
	}
	for _, of := range r.Findings.Curves {
		for _, p := range of.Points {
			c.CPU = append(c.CPU, p.CPU)
		}
		if of.Knee != nil && !several {
			c.Knee = &of.Knee.CPU
		}
	}
	slices.Sort(c.CPU)
	c.CPU = slices.Compact(c.CPU)
	for _, of := range r.Findings.Curves {
		c.add(of, several)
	}
	return c
}

// add draws one sensor. Where only some of its points are confirmed, the
// dashed line goes through all.
func (c *curveChart) add(of capacity.Curve, operations bool) {
	name := c.Unit
	if of.Sensor != "" {
		name = of.Sensor
	}
	confirmed, all := curveSeries{Name: name}, curveSeries{Name: name + ", bounds", Bound: true}
	bounds := false
	for _, cpu := range c.CPU {
		i := slices.IndexFunc(of.Points, func(p capacity.Point) bool { return p.CPU == cpu })
		var rate, certain *float64
		if i >= 0 {
			p := &of.Points[i]
			rate = &p.Rate
			if operations {
				rate = &p.Operations
			}
			if p.Certain {
				certain = rate
			}
			bounds = bounds || !p.Certain
		}
		confirmed.Rate, all.Rate = append(confirmed.Rate, certain), append(all.Rate, rate)
	}
	if bounds {
		c.Series = append(c.Series, all)
	}
	c.Series = append(c.Series, confirmed)
}
