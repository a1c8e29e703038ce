package sweep

import (
	"fmt"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/diagnose"
	"github.com/peregrine-sec/peregrine/internal/human"
)

// generatorKeepsUp is the share of the target below which a round is the
// generator's limit.
const generatorKeepsUp = 0.9

// marginalLoss is the loss up to which a failure may be an accident of
// scheduling rather than a limit.
const marginalLoss = 0.005

// Judge judges a round with a target in operations per second. partial is the
// loss that PDR tolerates; limits has the counts of the sensor's place in the
// round.
func Judge(round *bench.Round, target, partial float64, limits capacity.Usage) capacity.Verdict {
	v := capacity.Verdict{Offered: round.Rate.Offered + round.Rate.NoiseOffered}
	v.Limited = v.Offered < generatorKeepsUp*target
	fail := func(format string, args ...any) { v.Reasons = append(v.Reasons, fmt.Sprintf(format, args...)) }

	if s := round.Sensor; s != nil && s.Events > 0 && s.Drops > 0 {
		v.DropShare = float64(s.Drops) / float64(s.Events)
		fail("%d of %d events dropped (%s)", s.Drops, s.Events, human.Share(v.DropShare))
	}
	if lost := diagnose.Missing(round) + round.Total.Late; lost > 0 && round.Total.OK > 0 {
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
		fail("alerts piled up: p99 latency from %s to %s, %s to drain",
			duration(round.Queue.FirstP99), duration(round.Queue.LastP99), duration(round.Queue.Drain))
	}
	v.Clean = len(v.Reasons) == 0
	v.Partial = !broken && !grows && v.Loss() <= partial
	v.Marginal = !broken && (lossy || grows) && v.Loss() <= marginalLoss
	return v
}

// hardFailures reports failures that make a round useless whatever was lost in
// it.
func hardFailures(round *bench.Round, limits capacity.Usage, fail func(string, ...any)) bool {
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
// Such rounds say nothing about capacity: the load itself failed.
func Unusable(round *bench.Round) string {
	t := round.Total
	if t.Started > 0 && float64(t.Failed) > failedTooMuch*float64(t.Started) {
		return fmt.Sprintf("%d of %d actions failed: %s", t.Failed, t.Started, errnos(round))
	}
	if round.Has(bench.Ambiguous) {
		return fmt.Sprintf("other processes raised %d alerts of the same rules while %d expected alerts were missing, so the loss is unknown; stop these processes", round.Alerts.Foreign, round.Total.Lost)
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

func duration(ns int64) string { return human.Duration(time.Duration(ns)) }
