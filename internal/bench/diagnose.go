package bench

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/human"
)

// limitedGrowth is the growth of offered load below which a generator whose
// target has doubled is at its limit.
const limitedGrowth = 0.10

// LimitedAt finds the round in which the generator, not the sensor, became the
// limit: the offered rate grew by less than a tenth in two rounds in a row
// although the target grew twofold in each. targets may be nil when each round
// doubles. -1 if the generator kept up.
func LimitedAt(offered, targets []float64) int {
	slow := 0
	for i := 1; i < len(offered); i++ {
		doubled := targets == nil || targets[i] >= 1.9*targets[i-1]
		if !doubled || offered[i] >= (1+limitedGrowth)*offered[i-1] {
			slow = 0
			continue
		}
		if slow++; slow == 2 {
			return i
		}
	}
	return -1
}

// Culprit is the action that takes most of the generator's time.
type Culprit struct {
	Name  string
	Share float64 // of the time of one pass through all actions
	// Without is the highest rate of one worker with the other actions alone.
	Without float64
	// Others is a regular expression of the other actions' names.
	Others string
}

// SlowAction finds an action whose mean cost is more than half of all, or more
// than three times the median of the others; nil if none is. Costs of two
// actions are too few for a median: only the half counts.
func SlowAction(actions []ActionResult) *Culprit {
	if len(actions) < 2 {
		return nil
	}
	sum, slowest := 0.0, 0
	for i, a := range actions {
		sum += a.CostMean
		if a.CostMean > actions[slowest].CostMean {
			slowest = i
		}
	}
	if sum == 0 {
		return nil
	}
	var costs []float64
	var names []string
	for i, a := range actions {
		if i != slowest {
			costs = append(costs, a.CostMean)
			names = append(names, a.Name[strings.LastIndexByte(a.Name, '.')+1:])
		}
	}
	slices.Sort(costs)
	median := (costs[(len(costs)-1)/2] + costs[len(costs)/2]) / 2
	c := Culprit{Name: actions[slowest].Name, Share: actions[slowest].CostMean / sum, Others: strings.Join(names, "|")}
	if c.Share <= 0.5 && (len(actions) < 3 || actions[slowest].CostMean <= 3*median) {
		return nil
	}
	if rest := sum - actions[slowest].CostMean; rest > 0 {
		c.Without = float64(len(costs)) / (rest / 1e9)
	}
	return &c
}

// diagnose explains a round's figures in sentences. It is pure.
func diagnose(r *Round) []Finding {
	var found []Finding
	say := func(code, format string, args ...any) {
		found = append(found, Finding{code, fmt.Sprintf(format, args...)})
	}
	if r.Has(SensorGone) {
		say("sensor_gone", "the sensor's process ended during the round")
	}
	if r.Has(SensorRestarted) {
		say("sensor_restarted", "the sensor restarted during the round: its counters began again at 0")
	}
	if r.Has(SampleGap) {
		say("sample_gap", "%d samples of the sensor's statistics are missing: peaks between the others are not seen", r.Sensor.Missed)
	}
	if r.Has(GeneratorLimited) {
		say("generator_limited", "the generator did %.0f of the %.0f actions/s asked for: this round says nothing about the sensor's limit", r.Rate.Offered, r.Rate.Target)
	}
	if c := SlowAction(r.Actions); c != nil && (r.Has(GeneratorLimited) || r.Rate.Target == 0) {
		say("slow_action", "%s takes %.0f %% of the generator's time; without it one worker could do up to %.0f actions/s: use \"%s\"", c.Name, 100*c.Share, c.Without, c.Others)
	}
	diagnoseLoss(r, say)
	if r.Total.Failed > 0 {
		say("actions_failed", "%d actions failed (%s): not counted as lost", r.Total.Failed, errnoList(r.Actions))
	}
	if r.Alerts.Duplicate > 0 {
		say("duplicates", "%d alerts came twice for one action", r.Alerts.Duplicate)
	}
	if r.Has(DirtyBackground) {
		say("foreign", "%d alerts of the same rules were caused by others on this host: not counted", r.Alerts.Foreign)
	}
	if r.Has(Ambiguous) {
		say("ambiguous", "other processes raised %d alerts of the same rules while %d expected alerts are missing, so the loss is unknown; stop these processes and measure again", r.Alerts.Foreign, r.Total.Lost)
	}
	if r.Has(Unreadable) {
		say("unreadable", "%d lines or messages that arrived are no alerts: %s", r.Alerts.Malformed, human.Text(r.Alerts.MalformedError))
	}
	if r.Has(ClockStep) {
		say("clock_step", "the wall clock was set during the round: latencies and matches are not to be trusted")
	}
	if !r.Queue.Stable {
		say("backlog", "alerts pile up: p99 latency grew from %s to %s, the last alert came %s after the load", ms(r.Queue.FirstP99), ms(r.Queue.LastP99), ms(r.Queue.Drain))
	}
	if r.Has(HostBusy) {
		say("host_busy", "%.1f of %d CPUs were idle: the load itself (%.1f CPUs) competes with the sensor", r.Observer.HostIdle, r.Observer.CPUs, r.Observer.Generator)
	}
	return found
}

// diagnoseLoss distinguishes the ways in which alerts are lost.
func diagnoseLoss(r *Round, say func(code, format string, args ...any)) {
	s := r.Sensor
	if s != nil && s.Drops > 0 {
		say("kernel_drops", "the probe dropped %d of %d events (%.2f %%)%s: the sensor reads its ring too slowly, or the ring is too small", s.Drops, s.Events, s.DropPercent, causes(s))
	}
	if s != nil && s.Throttled > 0 {
		say("throttled", "the sensor's rate limit withheld %d alerts: raise outputs.rate and outputs.max_burst, or set the rate to 0 to switch it off", s.Throttled)
	}
	if s != nil && s.OutputsDropped > 0 {
		say("output_drops", "the sensor lost %d alerts in its output queue: outputs_queue.capacity is too small, or the channel too slow", s.OutputsDropped)
	}
	if r.Total.Late > 0 {
		say("late", "%d alerts came too late to be counted: late, not lost", r.Total.Late)
	}
	switch {
	case r.Total.Lost == 0:
	case s == nil:
		say("lost", "%d of %d alerts never came; without the sensor's stats it cannot be said where they were lost", r.Total.Lost, r.Total.OK)
	case s.Drops == 0 && s.Throttled == 0 && s.OutputsDropped == 0:
		say("lost", "%d of %d alerts never came although the sensor reports no drops: a rate limit or an output that fails in silence", r.Total.Lost, r.Total.OK)
	default:
		say("lost", "%d of %d alerts never came", r.Total.Lost, r.Total.OK)
	}
}

func causes(s *SensorStats) string {
	var list []string
	add := func(n uint64, what string) {
		if n > 0 {
			list = append(list, fmt.Sprintf("%s %d", what, n))
		}
	}
	add(s.ByCause.Buffer, "ring full")
	add(s.ByCause.PageFault, "page fault")
	add(s.ByCause.Scratch, "too large")
	add(s.ByCause.Other, "other")
	if list == nil {
		return ""
	}
	return " (" + strings.Join(list, ", ") + ")"
}

func errnoList(actions []ActionResult) string {
	sum := map[string]uint64{}
	for _, a := range actions {
		for name, n := range a.Errnos {
			sum[name] += n
		}
	}
	var list []string
	for name, n := range sum {
		list = append(list, fmt.Sprintf("%s %d", name, n))
	}
	slices.Sort(list)
	if list == nil {
		return "without an error number"
	}
	return strings.Join(list, ", ")
}

// ms writes ns as milliseconds.
func ms(ns int64) string { return human.Duration(time.Duration(ns)) }
