// Package diagnose draws conclusions from measured rows and whole results: the
// answer and its limiting factor, the capacity curve, the cost of an event, and
// the headline. Its findings are stored in the result.
package diagnose

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/capacity"
)

// find returns the index of the search's nth trial in the record, which also
// holds rounds that were repeated because the sensor had ended.
func find(r *capacity.Row, n int) int {
	for i := range r.Trials {
		if repeated(r, i) {
			continue
		}
		if n == 0 {
			return i
		}
		n--
	}
	return -1
}

// Answer fills in the row's figures and its limiting factor, from the search's
// bounds, which name their trials by number.
func Answer(r *capacity.Row) {
	r.Clean, r.Failed = find(r, r.NDR.LowerTrial), find(r, r.NDR.UpperTrial)
	clean := r.CleanTrial()
	if clean != nil {
		r.Syscalls, r.EPS, r.Host = figures(&clean.Round)
		r.HostEstimated = clean.Round.Syscalls != nil && clean.Round.Syscalls.Estimated
	}
	r.PreDrop = preDrop(r)
	r.Factor = Explain(r.Limit, failures(r), behind(r), clean)
	// A sensor that had to share its CPUs with the load, or with others, may
	// take more than it could show.
	if r.Factor.Name == capacity.FactorMachine && r.Status == capacity.Confirmed {
		r.Status = capacity.AtLeast
	}
}

// failures are the trials at and above the upper bound that were not clean,
// the lowest first: failures below it have been outvoted.
func failures(r *capacity.Row) []*capacity.Trial {
	if r.FailedTrial() == nil {
		return nil
	}
	var failed []*capacity.Trial
	for i := range r.Trials {
		if t := &r.Trials[i]; !t.Verdict.Clean && t.Verdict.Offered >= r.NDR.Upper*0.999 && !repeated(r, i) {
			failed = append(failed, t)
		}
	}
	slices.SortStableFunc(failed, func(a, b *capacity.Trial) int { return cmp.Compare(a.Verdict.Offered, b.Verdict.Offered) })
	return failed
}

// repeated says whether trial i was ended from outside and done again.
func repeated(r *capacity.Row, i int) bool {
	return Ended(&r.Trials[i]) && i+1 < len(r.Trials) && r.Trials[i+1].Target == r.Trials[i].Target && r.Trials[i].Limits.OOMKills == 0
}

// preDrop is the pre-drop plateau of the lowest trial that dropped events
// after some clean seconds; 0 if there was none.
func preDrop(r *capacity.Row) float64 {
	lowest, plateau := math.Inf(1), 0.0
	for i := range r.Trials {
		t := &r.Trials[i]
		if s := t.Round.Sensor; s != nil && s.Drops > 0 && s.PreDropMean > 0 && t.Verdict.Offered < lowest {
			lowest, plateau = t.Verdict.Offered, s.PreDropMean
		}
	}
	return plateau
}

// behind returns the last trial above the answer in which the generator fell
// behind; nil if it has met every target since.
func behind(r *capacity.Row) *capacity.Trial {
	for i := len(r.Trials) - 1; i >= 0; i-- {
		if t := &r.Trials[i]; t.Verdict.Limited && t.Target > r.NDR.Lower {
			return &r.Trials[i]
		}
	}
	return nil
}

// figures are the sensor's events per second, the actions per second whose
// alerts arrived, and our own count of the host's syscalls per second.
func figures(round *bench.Round) (syscalls, eps, host float64) {
	seconds := time.Duration(round.End - round.Start).Seconds()
	if round.Syscalls != nil {
		host = round.Syscalls.PerSecond
	}
	if seconds > 0 {
		eps = float64(round.Total.OK-round.Total.Late-Missing(round)) / seconds
	}
	switch {
	case round.Sensor != nil && round.Sensor.Plateau > 0:
		syscalls = round.Sensor.EventsMean
	default:
		syscalls = host // a sensor without stats: ours is the only count
	}
	return syscalls, eps, host
}

// Ended says whether the sensor did not survive a trial.
func Ended(t *capacity.Trial) bool {
	return t.Limits.OOMKills > 0 || t.Round.Has(bench.SensorRestarted) || (t.Round.Usage != nil && t.Round.Usage.Gone)
}

// Missing counts the alerts that never came. If an action has one alert too
// many and another one too few, an alert was credited to the wrong one of two
// instances microseconds apart, since no sensor invents alerts. An alert that
// was sent twice does not make up for a missing one.
func Missing(round *bench.Round) int {
	if len(round.Actions) == 0 {
		return round.Total.Lost
	}
	n := 0
	for _, a := range round.Actions {
		n += max(0, a.Score.Lost-(a.Score.Duplicate-a.Score.Repeated))
	}
	return n
}

// busyBeside is the share of the host's CPUs above which other work counts as a
// disturbance of a round.
const busyBeside = 0.2

// Others returns how many of the host's CPUs other work used in a round
// (neither sensor, load nor bench), and whether that is much.
func Others(round *bench.Round) (cpus float64, busy bool) {
	o := round.Observer
	if o.CPUs == 0 || round.Usage == nil {
		return 0, false
	}
	cpus = float64(o.CPUs) - o.HostIdle - o.CPU - o.Generator - round.Usage.CPU
	return cpus, cpus > busyBeside*float64(o.CPUs)
}
