// Package chart draws rounds of a bench: their course in time, loss and latency
// by rate, the distribution of latencies, and the sensor's resource use.
package chart

import (
	"cmp"
	"math"
	"slices"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/bench/match"
	"github.com/peregrine-sec/peregrine/internal/page"
)

// Drawn is a round as it is drawn.
type Drawn struct {
	*bench.Round
	Offered float64 // operations per second
	Loss    float64 // share; NaN if nothing could be lost
	Clean   bool
}

// Named is a round with its name in a legend.
type Named struct {
	Name string
	*bench.Round
}

// Options are the charts' surroundings.
type Options struct {
	Suffix      string      // of the charts' ids
	Marks       []page.Mark // of rates
	CPU, Memory float64     // limits, in CPUs and bytes; 0 for none
	Latencies   []Named     // whose distributions are compared: at most len(colors)
}

var (
	gap    = math.NaN()
	colors = []string{"accent", "drops", "load", "good"}
)

// MostLatencies is how many distributions a chart can tell apart.
var MostLatencies = len(colors)

// Of draws rounds, which are in the order in which they ran.
func Of(rounds []Drawn, o Options) []page.Chart {
	if len(rounds) == 0 {
		return nil
	}
	byRate := slices.Clone(rounds)
	slices.SortStableFunc(byRate, func(a, b Drawn) int { return cmp.Compare(a.Offered, b.Offered) })
	charts := []page.Chart{course(rounds), losses(byRate, o), latencies(byRate, o), distribution(o), cpu(rounds, o), memory(rounds, o)}
	for i := range charts {
		c := &charts[i]
		c.ID += o.Suffix
		if c.Empty() {
			c.X.Values = nil
		}
	}
	return charts
}

const sinceFirst = "time since the first round"

// course is by sample of the sensor, in seconds since the first round.
func course(rounds []Drawn) page.Chart {
	c := page.Chart{ID: "time", Height: 300, Wide: true, X: page.Axis{Label: sinceFirst, Unit: page.Seconds}, Y: page.Axis{Label: "per second"},
		Caption: "Load, sensor events and drops over time. Shaded: rounds, green clean, red not.",
		Label:   "Load, sensor events and drops over time; the rounds are in the table below",
		Lines: []page.Line{{Name: "load, operations/s", Color: "load", Dash: page.Dashed}, {Name: "sensor events/s", Color: "accent"},
			{Name: "drops/s", Color: "drops", Fill: "shade-bad"}},
		Spans: spans(rounds)}
	for _, r := range rounds {
		last := seconds(rounds, r.Start)
		for _, s := range r.Samples {
			at := seconds(rounds, s.Time)
			if s.Elapsed <= 0 || at <= last {
				continue
			}
			load := r.Offered
			if s.Time > r.End {
				load = gap
			}
			per := float64(s.Elapsed) / 1e9
			c.Add(at, load, float64(s.Delta.Events)/per, float64(s.Delta.Drops)/per)
			last = at
		}
		c.Add(last+1e-3, gap, gap, gap)
	}
	return c
}

// seconds is a time of the clock, in ns, since the first round.
func seconds(rounds []Drawn, ns int64) float64 { return float64(ns-rounds[0].Start) / 1e9 }

func spans(rounds []Drawn) []page.Span {
	var all []page.Span
	for _, r := range rounds {
		all = append(all, page.Span{From: seconds(rounds, r.Start), To: seconds(rounds, r.End), Good: r.Clean})
	}
	return all
}

func rates() page.Axis { return page.Axis{Label: "operations/s offered", Log: true} }

func losses(rounds []Drawn, o Options) page.Chart {
	c := page.Chart{ID: "loss", Height: 240, X: rates(), Y: page.Axis{Unit: page.Percent, Least: 1}, Marks: o.Marks,
		Caption: "Loss against the rate offered.", Label: "Loss against rate; the figures are in the table below",
		Lines: []page.Line{{Name: "loss", Color: "drops", Dots: true}}}
	for _, r := range rounds {
		if r.Offered > 0 {
			c.Add(r.Offered, 100*r.Loss)
		}
	}
	return c
}

func latencies(rounds []Drawn, o Options) page.Chart {
	c := page.Chart{ID: "latency", Height: 240, X: rates(), Y: page.Axis{Unit: page.Millis, Log: true}, Marks: o.Marks,
		Caption: "Alert latency against the rate: p50, p99, p99.9.", Label: "Alert latency against rate; the figures are in the table below",
		Lines: []page.Line{{Name: "p50", Color: "accent", Dots: true}, {Name: "p99", Color: "load", Dots: true, Dash: page.Dashed},
			{Name: "p99.9", Color: "drops", Dots: true, Dash: page.Dotted}}}
	for _, r := range rounds {
		if q := r.Latency; r.Offered > 0 {
			c.Add(r.Offered, millis(q.P50), millis(q.P99), millis(q.P999))
		}
	}
	return c
}

// millis is a time in ms, and none if it was not measured.
func millis(ns int64) float64 {
	if ns <= 0 {
		return gap
	}
	return float64(ns) / 1e6
}

// distribution is latency by percentile, as HdrHistogram's plots are.
func distribution(o Options) page.Chart {
	c := page.Chart{ID: "percentiles", Height: 260, Wide: true,
		X: page.Axis{Label: "percentile of alerts", Unit: page.Percentile, Log: true}, Y: page.Axis{Unit: page.Millis, Log: true},
		Caption: "Alert latency by percentile: so many alerts took no longer. The line ends at the slowest alert.",
		Label:   "Latency by percentile; p50, p99 and p99.9 are in the table below"}
	most := 0
	for i, of := range o.Latencies[:min(len(o.Latencies), MostLatencies)] {
		most = max(most, len(of.LatencyCurve))
		c.Lines = append(c.Lines, page.Line{Name: of.Name, Color: colors[i]})
	}
	for i := range most {
		var values []float64
		for n := range c.Lines {
			value := gap
			if curve := o.Latencies[n].LatencyCurve; i < len(curve) {
				value = millis(curve[i])
			}
			values = append(values, value)
		}
		c.Add(1/(1-match.CurveQuantile(i)), values...)
	}
	return c
}

func cpu(rounds []Drawn, o Options) page.Chart {
	c := resource("cpu", "CPU", page.Plain, o.CPU, rounds)
	c.Caption, c.Label = "CPU of the sensor by round.", "CPU use by round; the figures are in the table below"
	for _, r := range rounds {
		used := gap
		if r.Usage != nil {
			used = r.Usage.CPU
		}
		c.Add(middle(rounds, r), used)
	}
	return c
}

func memory(rounds []Drawn, o Options) page.Chart {
	c := resource("memory", "memory", page.Mebibytes, o.Memory/(1<<20), rounds)
	c.Caption, c.Label = "Peak memory of the sensor by round.", "Memory by round; the figures are in the table below"
	for _, r := range rounds {
		used := gap
		if r.Usage != nil {
			used = float64(r.Usage.RSSPeak) / (1 << 20)
		}
		if r.Usage != nil && o.Memory > 0 { // the limited cgroup is the sensor's own
			used = max(used, float64(r.Usage.CgroupPeak)/(1<<20))
		}
		c.Add(middle(rounds, r), used)
	}
	return c
}

func resource(id, name string, unit page.Unit, limit float64, rounds []Drawn) page.Chart {
	c := page.Chart{ID: id, Height: 220, X: page.Axis{Label: sinceFirst, Unit: page.Seconds}, Y: page.Axis{Unit: unit},
		Lines: []page.Line{{Name: name, Color: "accent", Dots: true}}, Spans: spans(rounds)}
	if limit > 0 {
		c.Marks = []page.Mark{{Name: "limit", Color: "drops", Y: &limit}}
	}
	return c
}

func middle(rounds []Drawn, r Drawn) float64 {
	return (seconds(rounds, r.Start) + seconds(rounds, r.End)) / 2
}
