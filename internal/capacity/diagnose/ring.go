package diagnose

import (
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/capacity"
)

const (
	// bridges is the shortest time that a ring must bridge, the scheduler's
	// period: a sensor with a quota may be kept from running for most of one.
	bridges = 100 * time.Millisecond
	// quotaFull is the share of a quota that the scheduler gives for certain.
	quotaFull = 0.98
)

// ringTooSmall tells a ring that does not bridge a pause from a sensor that
// does not keep up. One that does not keep up drops nothing before its ring is
// full, when the oldest event in it is as old as the ring is long: hundreds of
// milliseconds for a usual ring. From then on it drops all the time. A ring
// that is too small drops while every event in it is young, and either the
// sensor had CPU to spare, or it caught up under the same load.
func ringTooSmall(l capacity.Limit, t *capacity.Trial) bool {
	if o := t.Round.Observer; o.CPUs > 0 && o.HostIdle < hostFull {
		return false // the pause is the machine's
	}
	dropping, all := droppingSamples(&t.Round)
	recovered := dropping > 0 && 2*dropping <= all
	wait, known := longestWait(&t.Round)
	if !known {
		return recovered && spare(l, t)
	}
	return wait < bridges && (recovered || spare(l, t))
}

// spare says whether the sensor's CPU would have been enough for the events
// that it dropped as well. A quota is given in full; a thread is never busy all
// the time.
func spare(l capacity.Limit, t *capacity.Trial) bool {
	enough := cpuBusy
	if l.CPU > 0 && l.CPU < 1 {
		enough = quotaFull * l.CPU
	}
	return t.Verdict.DropShare < 1 && cpuOf(t)/(1-t.Verdict.DropShare) < enough
}

// longestWait is the greatest age of an event when its alert arrived; no event
// in the ring can have been much older. It is false for a round without alerts.
func longestWait(round *bench.Round) (time.Duration, bool) {
	return time.Duration(round.Latency.Max), round.Latency.Count > 0
}

// droppingSamples counts the samples with drops, and all from the first of
// these on, that lie in the load window.
func droppingSamples(round *bench.Round) (dropping, all int) {
	for i := range round.Samples {
		s := &round.Samples[i]
		if s.Elapsed <= 0 || s.Time-s.Elapsed < round.Start || s.Time > round.End {
			continue
		}
		if s.Delta.Drops > 0 {
			dropping++
		}
		if dropping > 0 {
			all++
		}
	}
	return dropping, all
}
