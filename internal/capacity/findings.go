package capacity

import (
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
