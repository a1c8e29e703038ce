package report

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/peregrine-sec/peregrine/internal/capacity"
)

func decimal(x float64) string { return strconv.FormatFloat(x, 'f', 2, 64) }

// charts are the data that the page's script draws. A nil in a series is a
// gap.
type charts struct {
	Curve curveChart  `json:"curve"`
	Rows  []rowCharts `json:"rows"`
}

type rowCharts struct {
	Time    timeline    `json:"time"`
	Trials  trialSeries `json:"trials"`
	NDR     float64     `json:"ndr"`
	PDR     float64     `json:"pdr"`
	CPU     float64     `json:"cpu"`    // limit
	Memory  float64     `json:"memory"` // limit, bytes
	Shade   []shade     `json:"shade"`
	Latency bool        `json:"latency"` // there are alerts
}

// timeline is by sample; seconds count from the row's begin.
type timeline struct {
	Seconds []float64  `json:"seconds"`
	Events  []*float64 `json:"events"` // per second
	Drops   []*float64 `json:"drops"`  // per second
	Load    []*float64 `json:"load"`   // operations per second offered
}

// shade is a round on the time axis.
type shade struct {
	From  float64 `json:"from"`
	To    float64 `json:"to"`
	Phase string  `json:"phase"`
	Clean bool    `json:"clean"`
}

// trialSeries is by trial: in order of time for resources, of rate for the
// rest.
type trialSeries struct {
	Seconds []float64  `json:"seconds"` // middle of the round
	CPU     []*float64 `json:"cpu"`
	RSS     []*float64 `json:"rss"`

	Rate []float64  `json:"rate"` // rising
	Loss []float64  `json:"loss"` // per cent
	P50  []*float64 `json:"p50"`  // milliseconds
	P99  []*float64 `json:"p99"`
	P999 []*float64 `json:"p999"`
}

func chartsOf(r *capacity.Result) charts {
	c := charts{Curve: curveChartOf(r)}
	for i := range r.Rows {
		c.Rows = append(c.Rows, rowChartsOf(&r.Rows[i]))
	}
	return c
}

func rowChartsOf(row *capacity.Row) rowCharts {
	c := rowCharts{NDR: row.NDR.Lower, PDR: row.PDR.Lower, CPU: row.Limit.CPU, Memory: float64(row.Limit.Memory)}
	if len(row.Trials) == 0 {
		return c
	}
	origin := row.Trials[0].Round.Start
	seconds := func(ns int64) float64 { return float64(ns-origin) / 1e9 }
	for i := range row.Trials {
		t := &row.Trials[i]
		from, to := seconds(t.Round.Start), seconds(t.Round.End)
		c.Shade = append(c.Shade, shade{from, to, string(t.Phase), t.Verdict.Clean})
		c.Time.add(t, seconds)
		c.Trials.resources(t, (from+to)/2)
		c.Latency = c.Latency || t.Round.Latency.Count > 0
	}
	byRate := slices.Clone(row.Trials)
	slices.SortStableFunc(byRate, func(a, b capacity.Trial) int { return cmp.Compare(a.Verdict.Offered, b.Verdict.Offered) })
	for i := range byRate {
		c.Trials.losses(&byRate[i])
	}
	return c
}

// add appends a round's samples, and a gap after them.
func (l *timeline) add(t *capacity.Trial, seconds func(int64) float64) {
	offered := t.Verdict.Offered
	last := seconds(t.Round.Start)
	for _, s := range t.Round.Samples {
		at := seconds(s.Time)
		if s.Elapsed <= 0 || at <= last {
			continue
		}
		per := float64(s.Elapsed) / 1e9
		events, drops := float64(s.Delta.Events)/per, float64(s.Delta.Drops)/per
		var load *float64
		if s.Time <= t.Round.End {
			load = &offered
		}
		l.Seconds = append(l.Seconds, at)
		l.Events, l.Drops, l.Load = append(l.Events, &events), append(l.Drops, &drops), append(l.Load, load)
		last = at
	}
	l.Seconds = append(l.Seconds, last+1e-3)
	l.Events, l.Drops, l.Load = append(l.Events, nil), append(l.Drops, nil), append(l.Load, nil)
}

func (s *trialSeries) resources(t *capacity.Trial, middle float64) {
	s.Seconds = append(s.Seconds, middle)
	if u := t.Round.Usage; u != nil {
		cpu, rss := u.CPU, float64(max(u.RSSPeak, u.CgroupPeak))/(1<<20)
		s.CPU, s.RSS = append(s.CPU, &cpu), append(s.RSS, &rss)
		return
	}
	s.CPU, s.RSS = append(s.CPU, nil), append(s.RSS, nil)
}

func (s *trialSeries) losses(t *capacity.Trial) {
	rate := t.Verdict.Offered
	if n := len(s.Rate); n > 0 && rate <= s.Rate[n-1] {
		rate = s.Rate[n-1] * (1 + 1e-9) // uPlot wants rising x
	}
	s.Rate = append(s.Rate, rate)
	s.Loss = append(s.Loss, 100*t.Verdict.Loss())
	q := t.Round.Latency
	for _, into := range []struct {
		series *[]*float64
		ns     int64
	}{{&s.P50, q.P50}, {&s.P99, q.P99}, {&s.P999, q.P999}} {
		if into.ns <= 0 {
			*into.series = append(*into.series, nil)
			continue
		}
		value := float64(into.ns) / 1e6
		*into.series = append(*into.series, &value)
	}
}
