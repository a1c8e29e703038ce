package capacity

import (
	"strings"

	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/sample"
)

// Findings are the conclusions from all rows of a result. Package diagnose
// computes them once, and they are stored.
type Findings struct {
	Headline Headline `json:"headline"`
	Answers  []Answer `json:"answers"`         // by limit, smallest CPU first; those of a limit by sensor
	Curves   []Curve  `json:"curves"`          // by sensor
	Costs    []Cost   `json:"costs"`           // by sensor
	Pairs    []Pair   `json:"pairs,omitempty"` // each sensor with the first
	// Headroom is that of a recorded workload, by limit, smallest CPU first.
	Headroom []Headroom `json:"headroom,omitempty"`
}

// Headline is the first sentence of a report.
type Headline struct {
	Text string `json:"text"`
	// Confirmed says that the text leads with a confirmed row.
	Confirmed bool `json:"confirmed"`
	// Caveats are reasons to distrust the run as a whole or the row of Text.
	Caveats []string `json:"caveats,omitempty"`
}

// Answer is the table's line for one sensor and limit.
type Answer struct {
	Sensor string `json:"sensor,omitempty"`
	Limit  Limit  `json:"limit"`
	// Row is the index of the row that stands for its repeats: the one in the
	// middle, not an average.
	Row    int    `json:"row"`
	Status Status `json:"status"`

	Operations float64 `json:"operations_per_second"` // of the generator
	Events     float64 `json:"events_per_second"`     // as the sensor counts them
	Alerts     float64 `json:"alerts_per_second"`
	// AtLeast says that the figures are lower bounds. Carried is the smaller limit
	// that they come from, if it sustained more.
	AtLeast bool   `json:"at_least,omitempty"`
	Carried *Limit `json:"carried_by,omitempty"`
	// Spread is the interval of the repeats' events per second; nil without
	// repeats.
	Spread *sample.Interval `json:"spread,omitempty"`
}

// Claim formats a figure of the table: rounded down, so that it promises no
// more than was measured, with a mark of its confidence.
func (a *Answer) Claim(x float64) string {
	switch text := human.Number(RoundDown(x)); {
	case x == 0:
		return "–"
	case a.AtLeast:
		return "≥ " + text
	case a.Status == Confirmed:
		return text
	default:
		return "~ " + text
	}
}

// Cost is the CPU time of an event and of an alert, over all clean rounds, in
// seconds: the figure that depends least on the size of the machine.
type Cost struct {
	Sensor            string          `json:"sensor,omitempty"`
	PerMillionEvents  sample.Interval `json:"per_million_events"`
	PerThousandAlerts sample.Interval `json:"per_thousand_alerts"`
}

// Pair is two sensors under one limit, in operations of the generator,
// which are the same for both.
type Pair struct {
	Limit Limit  `json:"limit"`
	A     string `json:"a"` // takes more
	B     string `json:"b"`
	// Times is A's capacity in multiples of B's; 0 if unknown.
	Times    float64 `json:"times,omitempty"`
	AtLeast  bool    `json:"at_least,omitempty"` // A is a lower bound
	Sentence string  `json:"sentence"`
}

// Headroom is how far a recorded workload can grow under a limit, in multiples
// of it.
type Headroom struct {
	Sensor string `json:"sensor,omitempty"`
	Limit  Limit  `json:"limit"`
	// Bursts is the result for the workload as recorded over time, Average that
	// for the same calls evenly spaced; nil if not measured.
	Bursts  Multiple  `json:"bursts"`
	Average *Multiple `json:"average,omitempty"`
	// Buffer is the factor by which the ring buffer must grow for the bursts to
	// scale as far as the average; 0 if the buffer is not what limits them.
	Buffer   float64 `json:"buffer_times,omitempty"`
	Sentence string  `json:"sentence"`
}

// Multiple is a result in multiples of the workload.
type Multiple struct {
	Times   float64    `json:"times"`
	AtLeast bool       `json:"at_least,omitempty"`
	Factor  FactorName `json:"limiting_factor"`
}

// Each sensor is measured in two variants of a workload: as recorded over time,
// and evenly spaced.
const (
	inBursts = "bursts"
	evenly   = "average"
)

// Bursty and Steady name the two variants of a sensor.
func Bursty(sensor string) string { return strings.TrimSpace(sensor + " " + inBursts) }

// Steady is the other one.
func Steady(sensor string) string { return strings.TrimSpace(sensor + " " + evenly) }

// OfBursty is the sensor whose variant this is; false if it is another.
func OfBursty(variant string) (sensor string, is bool) {
	sensor, is = strings.CutSuffix(variant, inBursts)
	return strings.TrimSpace(sensor), is
}

// Point is a place on the capacity curve.
type Point struct {
	CPU        float64 `json:"cpu"`
	Rate       float64 `json:"events_per_second"` // as the sensor counts them
	Operations float64 `json:"operations_per_second"`
	AtLeast    bool    `json:"at_least,omitempty"`
	// Certain says that every row of the point is confirmed.
	Certain bool `json:"certain"`
}

// Curve is the capacity by CPU limit, both rising.
type Curve struct {
	Sensor string  `json:"sensor,omitempty"`
	Points []Point `json:"points"`
	// Knee is the point after which more CPU adds less than half as much
	// capacity per CPU as the first did; nil if the confirmed points have none.
	Knee *Point `json:"knee,omitempty"`
}

// CPUFor returns the CPU that a rate needs: interpolated linearly between
// points, in proportion below the first. Beyond the last point, enough is false
// and the CPU is that of this point.
func (c Curve) CPUFor(rate float64) (cpu float64, enough bool) {
	before := Point{}
	for _, p := range c.Points {
		if rate <= p.Rate {
			return before.CPU + (p.CPU-before.CPU)*(rate-before.Rate)/(p.Rate-before.Rate), true
		}
		before = p
	}
	return before.CPU, false
}

// RateFor is the inverse of CPUFor.
func (c Curve) RateFor(cpu float64) (rate float64, known bool) {
	before := Point{}
	for _, p := range c.Points {
		if cpu <= p.CPU {
			return before.Rate + (p.Rate-before.Rate)*(cpu-before.CPU)/(p.CPU-before.CPU), true
		}
		before = p
	}
	return before.Rate, false
}
