package bench

import (
	"slices"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench/match"
	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/internal/sample"
	"github.com/peregrine-sec/peregrine/internal/sensorstats"
)

const (
	// limitedBelow is the share of the target under which the generator, not
	// the sensor, limits a round.
	limitedBelow = 0.95
	// dirtyAbove is the share of foreign alerts that makes the background dirty.
	dirtyAbove = 0.01
	// ambiguousFrom is the number of others' alerts for each missing one from
	// which the loss may be a mistake in telling them apart.
	ambiguousFrom = 0.1
	// busyBelow is the share of idle CPU under which the host is busy.
	busyBelow = 0.1
	// stableFactor and stableFloor: the p99 latency of the last third may be
	// this many times that of the first, plus stableFloor for the noise of a
	// scheduler, before alerts count as piling up.
	stableFactor = 2
	stableFloor  = int64(25 * time.Millisecond)
	// maxBacklog is how long after the load the last alert may come.
	maxBacklog = int64(time.Second)
	// maxClockStep is how far the wall clock may move in a round.
	maxClockStep = time.Millisecond
)

// round is the record of an observation. It is pure.
func (o *observation) round() Round {
	r := Round{
		Schema: RoundSchema, Number: o.number, Label: o.load.Label,
		Start: o.start.UnixNano(), End: o.end.UnixNano(), DrainEnd: o.drainEnd.UnixNano(),
		Partial: o.partial, Usage: o.usage, Syscalls: o.syscalls, Samples: o.samples,
	}
	seconds := o.end.Sub(o.start).Seconds()
	r.Rate = o.rate(seconds)
	latency, response := match.NewHistogram(), match.NewHistogram()
	for i, a := range o.actions {
		if o.main == nil {
			break
		}
		var errnos map[string]uint64
		if i < len(o.main.Actions) {
			errnos = o.main.Actions[i].ErrnoNames()
		}
		cost, mean := o.index.Cost(i)
		r.Actions = append(r.Actions, ActionResult{
			Name: a.Name, Rule: a.Rule, Errnos: errnos,
			Cost: cost.Quantiles(), CostMean: mean,
			Latency: o.index.Latency(i).Quantiles(), Response: o.index.Response(i).Quantiles(),
		})
		latency.Merge(o.index.Latency(i))
		response.Merge(o.index.Response(i))
	}
	r.Latency, r.Response = latency.Quantiles(), response.Quantiles()
	r.LatencyCurve = latency.Curve()
	r.setScores(o.index)
	r.Alerts = o.alerts()
	r.Queue = o.queue()
	if o.hasStats {
		r.Sensor = newSensorStats(o.before, o.samples, r.Start, r.End)
	}
	r.Observer = Observer{CPU: o.host.Self, HostIdle: o.host.Idle, HostSteal: o.host.Steal, CPUs: o.host.CPUs}
	if all := o.drainEnd.Sub(o.start).Seconds(); all > 0 {
		r.Observer.Reads = float64(o.counts.Reads) / all
	}
	if seconds > 0 {
		for _, result := range []*generator.Result{o.main, o.noise} {
			if result != nil {
				r.Observer.Generator += result.CPU.Seconds() / seconds
			}
		}
	}
	r.Flags = o.flags(&r)
	return r
}

// setScores fills the counts per action and in total, and the losses.
func (r *Round) setScores(x *match.Index) {
	r.Total = Score{}
	for i, counts := range x.Scores() {
		if i >= len(r.Actions) {
			break
		}
		r.Actions[i].Score = counts
		r.Actions[i].Loss = newLoss(counts.Lost, counts.OK)
		r.Total.Started += counts.Started
		r.Total.OK += counts.OK
		r.Total.Failed += counts.Failed
		r.Total.Skipped += counts.Skipped
		r.Total.Matched += counts.Matched
		r.Total.Late += counts.Late
		r.Total.Lost += counts.Lost
		r.Total.Duplicate += counts.Duplicate
		r.Total.Repeated += counts.Repeated
	}
	r.Loss = newLoss(r.Total.Lost, r.Total.OK)
}

func (o *observation) rate(seconds float64) Rate {
	rate := Rate{Target: o.load.Rate, NoiseTarget: o.load.Noise}
	if o.main != nil && seconds > 0 {
		rate.Offered = float64(o.main.Offered-o.main.Skipped) / seconds
		rate.Completed = float64(o.main.Completed) / seconds
		h := match.NewHistogram()
		for _, in := range o.main.Instances {
			h.Add(in.Start - in.Planned)
		}
		rate.Lateness = h.Quantiles()
	}
	if o.noise != nil && o.noise.TargetRate > 0 {
		rate.NoiseOffered = o.noise.CompletedRate() / o.noise.TargetRate * o.load.Noise
	}
	return rate
}

func (o *observation) alerts() AlertCounts {
	t := o.tally
	return AlertCounts{
		Received: t.Sum() + o.earlier, Matched: t[match.Matched] + t[match.Late], Duplicate: t[match.Duplicate],
		Foreign: t[match.Foreign], Earlier: o.earlier, Failed: t[match.Failed], Other: t[match.Other],
		Malformed: o.counts.Malformed, MalformedError: o.malformedError(),
	}
}

// ambiguous says that alerts of others may stand for those that are missing.
func ambiguous(r *Round) bool {
	return r.Total.Lost > 0 && float64(r.Alerts.Foreign) >= ambiguousFrom*float64(r.Total.Lost)
}

func (o *observation) malformedError() string {
	if o.counts.Malformed == 0 {
		return ""
	}
	return o.counts.LastError
}

func (o *observation) queue() Queue {
	q := Queue{FirstP99: o.index.Part(0).Quantiles().P99, LastP99: o.index.Part(2).Quantiles().P99}
	if last := o.index.Last(); last != 0 {
		q.Drain = max(0, last-o.end.UnixNano())
	}
	// A growing queue is still there at the end; that of a hiccup in the last
	// third is not.
	waiting := q.Drain > q.LastP99/4 || o.tally[match.Late] > 0
	grew := q.LastP99 > stableFactor*q.FirstP99+stableFloor && waiting
	q.Stable = !grew && q.Drain <= maxBacklog
	return q
}

func (o *observation) flags(r *Round) []Flag {
	var flags []Flag
	set := func(when bool, f Flag) {
		if when {
			flags = append(flags, f)
		}
	}
	short := func(offered, target float64) bool { return target > 0 && offered < limitedBelow*target }
	set(!o.partial && (short(r.Rate.Offered, r.Rate.Target) || short(r.Rate.NoiseOffered, r.Rate.NoiseTarget)), GeneratorLimited)
	set(r.Alerts.Foreign > 5 && float64(r.Alerts.Foreign) > dirtyAbove*float64(r.Total.OK), DirtyBackground)
	set(ambiguous(r), Ambiguous)
	set(r.Alerts.Malformed > 0, Unreadable)
	set(slices.ContainsFunc(o.samples, func(s sensorstats.Sample) bool { return s.Restarted }), SensorRestarted)
	set(o.gone || o.usage != nil && o.usage.Gone, SensorGone)
	set(r.Total.Failed > 0, ActionsFailed)
	set(max(o.clockStep, stepOf(o.main)) > maxClockStep, ClockStep)
	set(r.Observer.CPUs > 0 && r.Observer.HostIdle < busyBelow*float64(r.Observer.CPUs), HostBusy)
	set(o.partial, Interrupted)
	if s := r.Sensor; s != nil {
		set(s.Missed > 0, SampleGap)
		set(s.Throttled > 0, Throttled)
		set(s.OutputsDropped > 0, OutputDrops)
		set(s.Plateau < minPlateau, ShortPlateau)
	}
	return flags
}

func stepOf(r *generator.Result) time.Duration {
	if r == nil {
		return 0
	}
	return r.ClockStep.Abs()
}

// newLoss is lost of n with its 95 % interval.
func newLoss(lost, n int) Loss {
	l := Loss{Lost: lost, Of: n}
	if n > 0 {
		l.Share = float64(lost) / float64(n)
	}
	l.Lower, l.Upper = sample.Share(lost, n)
	return l
}
