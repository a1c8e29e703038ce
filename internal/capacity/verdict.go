package capacity

import (
	"fmt"
	"math"
	"time"

	"github.com/peregrine-sec/peregrine/internal/human"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/capacity/limit"
)

// Verdict is the decision about one round.
type Verdict struct {
	Clean   bool `json:"clean"`   // counts for NDR
	Partial bool `json:"partial"` // counts for PDR
	Limited bool `json:"generator_limited,omitempty"`
	// Marginal says that the failure may be chance and is worth another try.
	Marginal bool    `json:"marginal,omitempty"`
	Offered  float64 `json:"offered"` // operations per second
	// DropShare is dropped events by events, LostShare is missing alerts by
	// actions done. Loss is the larger one.
	DropShare float64  `json:"drop_share"`
	LostShare float64  `json:"lost_share"`
	Reasons   []string `json:"reasons,omitempty"` // why it is not clean
}

// Loss is the share of what the sensor should have taken that it has lost.
func (v Verdict) Loss() float64 { return max(v.DropShare, v.LostShare) }

// Outcome is the part of a verdict that steers a search.
func (v Verdict) Outcome() Outcome {
	return Outcome{Offered: v.Offered, Clean: v.Clean, Partial: v.Partial, Loss: v.Loss(), Marginal: v.Marginal, Limited: v.Limited}
}

// generatorKeepsUp is the share of the target below which a round is the
// generator's limit.
const generatorKeepsUp = 0.9

// marginalLoss is the loss up to which a failure may be an accident of
// scheduling rather than a limit.
const marginalLoss = 0.005

// Judge decides about a round that asked for target operations per second.
// partial is the loss that PDR tolerates; limits is what the sensor's place
// has counted in the round.
func Judge(round *bench.Round, target, partial float64, limits limit.Usage) Verdict {
	v := Verdict{Offered: round.Rate.Offered + round.Rate.NoiseOffered}
	v.Limited = v.Offered < generatorKeepsUp*target
	fail := func(format string, args ...any) { v.Reasons = append(v.Reasons, fmt.Sprintf(format, args...)) }

	if s := round.Sensor; s != nil && s.Events > 0 && s.Drops > 0 {
		v.DropShare = float64(s.Drops) / float64(s.Events)
		fail("%d of %d events dropped (%s)", s.Drops, s.Events, human.Share(v.DropShare))
	}
	if lost := missing(round) + round.Total.Late; lost > 0 && round.Total.OK > 0 {
		v.LostShare = float64(lost) / float64(round.Total.OK)
		fail("%d of %d alerts missing, %d of them late (%s)", lost, round.Total.OK, round.Total.Late, human.Share(v.LostShare))
	}
	// Alerts may reach us and still be lost on another of the sensor's outputs.
	if s := round.Sensor; s != nil && s.OutputsDropped > 0 {
		if s.Alerts > 0 {
			v.LostShare = max(v.LostShare, min(1, float64(s.OutputsDropped)/float64(s.Alerts)))
		}
		fail("the sensor's outputs dropped %d alerts", s.OutputsDropped)
	}
	lossy := len(v.Reasons) > 0
	broken := hardFailures(round, limits, fail)
	grows := !round.Queue.Stable && round.Total.Matched > 0
	if grows {
		fail("alerts piled up: p99 latency from %v to %v, %v to drain",
			ms(round.Queue.FirstP99), ms(round.Queue.LastP99), ms(round.Queue.Drain))
	}
	v.Clean = len(v.Reasons) == 0
	v.Partial = !broken && !grows && v.Loss() <= partial
	v.Marginal = !broken && (lossy || grows) && v.Loss() <= marginalLoss
	return v
}

// missing counts the alerts that never came. Where an action has one alert
// too many and one too few, an alert has been credited to the wrong one of two
// instances that are microseconds apart: no sensor makes alerts up.
func missing(round *bench.Round) int {
	if len(round.Actions) == 0 {
		return round.Total.Lost
	}
	n := 0
	for _, a := range round.Actions {
		n += max(0, a.Counts.Lost-a.Counts.Duplicate)
	}
	return n
}

// hardFailures reports what makes a round useless whatever was lost in it.
func hardFailures(round *bench.Round, limits limit.Usage, fail func(string, ...any)) bool {
	broken := false
	hard := func(format string, args ...any) { fail(format, args...); broken = true }
	if limits.OOMKills > 0 {
		hard("the kernel killed the sensor: out of memory")
	}
	if round.Has(bench.SensorRestarted) || (round.Usage != nil && round.Usage.Gone) {
		hard("the sensor ended or restarted during the round")
	}
	if round.Total.Started > 0 && round.Total.OK == 0 && round.Rate.Target > 0 {
		hard("no action succeeded: %d failed, %d skipped", round.Total.Failed, round.Total.Skipped)
	}
	return broken
}

// failedTooMuch is the share of failed actions above which a round measures
// the errors and not the sensor.
const failedTooMuch = 0.01

// Unusable says why a round must stop the measurement; "" if it need not.
// Such rounds are nobody's capacity: the load itself went wrong.
func Unusable(round *bench.Round) string {
	t := round.Total
	if t.Started > 0 && float64(t.Failed) > failedTooMuch*float64(t.Started) {
		return fmt.Sprintf("%d of %d actions failed: %s", t.Failed, t.Started, errnos(round))
	}
	if round.Has(bench.ClockStep) {
		return "the wall clock was set during the round"
	}
	return ""
}

func errnos(round *bench.Round) string {
	text := ""
	for _, a := range round.Actions {
		for name, n := range a.Errnos {
			text += fmt.Sprintf(" %s %d x %s", a.Name, n, name)
		}
	}
	if text == "" {
		return "no reason given"
	}
	return text[1:]
}

// ms turns nanoseconds into a duration that people can read.
func ms(ns int64) time.Duration {
	d := time.Duration(ns)
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond)
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}

// RoundDown rounds to two significant digits, towards zero: the capacity
// table promises no more than was measured.
func RoundDown(x float64) float64 {
	if x <= 0 || math.IsInf(x, 0) || math.IsNaN(x) {
		return 0
	}
	scale := math.Pow(10, math.Floor(math.Log10(x))-1)
	return math.Floor(x/scale+1e-9) * scale
}
