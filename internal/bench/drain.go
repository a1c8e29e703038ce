package bench

import (
	"context"
	"slices"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench/intake"
	"github.com/peregrine-sec/peregrine/internal/bench/match"
	"github.com/peregrine-sec/peregrine/internal/generator"
)

// nudgeGap is how long after the load, or after the previous action, a sample
// is overdue if the sensor writes one each second, with a margin.
const nudgeGap = 1200 * time.Millisecond

// drain matches alerts until all are there, or it is too late; and waits for
// the samples in which drops of the load surface.
func (s *Session) drain(ctx context.Context, o *observation) {
	var main generator.Result // nothing without actions
	if o.main != nil {
		main = *o.main
	}
	s.runs[main.Run] = true
	o.index = match.NewIndex(s.actions, main.Instances, main.Run, s.clock)
	expected := int(main.Completed)
	deadline, nudged := o.end.Add(s.o.Drain), o.end
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		o.gone = o.gone || exited(s.o.Target.Exited())
		s.match(o, deadline)
		missing := expected - o.tally[match.Matched] - o.tally[match.Late]
		now := time.Now()
		settled := s.sampledSince(o.end) && (missing <= 0 || s.receivedAll(o))
		if settled || now.After(deadline) && (missing <= 0 || now.After(deadline.Add(s.o.Linger)) || ctx.Err() != nil) {
			o.drainEnd = now
			return
		}
		if exited(s.o.Abort) {
			o.drainEnd = now
			return
		}
		if !s.sampledSince(o.end) && now.After(nudged.Add(nudgeGap)) && ctx.Err() == nil {
			s.nudge(ctx)
			nudged = time.Now()
		}
		if o.gone && s.ended() {
			o.drainEnd = now // nothing more can come
			s.match(o, deadline)
			return
		}
		<-tick.C
	}
}

// receivedAll says whether the sensor's own counts leave nothing to wait for:
// it has made no alert in the last interval, and as many since the round's
// start as were received, or lost on the way. Without such counts, it is false.
func (s *Session) receivedAll(o *observation) bool {
	samples := s.Samples()
	n := len(samples)
	first := n - 1
	for first > 0 && samples[first].Time > o.start.UnixNano() {
		first--
	}
	if n < 2 || samples[first].Extra == nil || samples[n-1].Extra == nil || samples[n-2].Extra == nil {
		return false
	}
	from, to := samples[first].Extra, samples[n-1].Extra
	made := int(to.Alerts - from.Alerts)
	gone := int(to.OutputsDropped - from.OutputsDropped + to.Throttled - from.Throttled)
	return made > 0 && to.Alerts == samples[n-2].Extra.Alerts && o.tally.Sum()+o.earlier >= made-gone
}

func exited(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false // also for nil: not ours to know
	}
}

// ended says that the stream of alerts is at its end.
func (s *Session) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.alertErr != nil
}

// match puts the alerts that have come to this round or an earlier one.
func (s *Session) match(o *observation, deadline time.Time) {
	taken := s.take()
	for alerts := range taken.chunks() {
		s.place(o, alerts, deadline)
	}
}

// place puts alerts to this round or an earlier one.
func (s *Session) place(o *observation, alerts []intake.Alert, deadline time.Time) {
	alerts = slices.DeleteFunc(alerts, func(a intake.Alert) bool {
		elsewhere := s.hostname != "" && a.Hostname != "" && a.Hostname != s.hostname && o.index.Ours(a.Rule)
		if elsewhere {
			o.tally[match.Foreign]++
			o.stray(&a, "another host's")
		}
		return elsewhere
	})
	var outside []intake.Alert
	tally := o.index.Match(alerts, deadline.UnixNano(), func(a *intake.Alert, v match.Class, _ *generator.Instance) {
		switch v {
		case match.Outside:
			outside = append(outside, *a)
		case match.Matched:
		default:
			o.stray(a, classWord(v))
		}
	})
	tally[match.Outside] = 0
	for v, n := range tally {
		o.tally[v] += n
	}
	for i := range outside {
		if s.creditEarlier(outside[i:i+1]) || outside[i].Run != "" && s.runs[outside[i].Run] {
			o.earlier++
			o.stray(&outside[i], "earlier")
		} else {
			o.tally[match.Foreign]++
			o.stray(&outside[i], classWord(match.Foreign))
		}
	}
}

// maxStrays bounds the memory for a storm of foreign alerts.
const maxStrays = 100_000

func (o *observation) stray(a *intake.Alert, class string) {
	if len(o.strays) < maxStrays {
		o.strays = append(o.strays, Stray{*a, class})
	}
}

func classWord(v match.Class) string {
	return [...]string{match.Late: "late", match.Duplicate: "duplicate", match.Failed: "failed", match.Foreign: "foreign", match.Other: "other"}[v]
}

// creditEarlier gives one alert to the earlier round that it belongs to.
func (s *Session) creditEarlier(alert []intake.Alert) bool {
	for _, p := range slices.Concat(s.earlier, s.canaries) {
		tally := p.index.Match(alert, 1, nil) // whatever it is now, it is late
		if tally[match.Late]+tally[match.Duplicate]+tally[match.Failed] > 0 {
			return true
		}
	}
	return false
}

// Amend brings the counts of an earlier round up to date with alerts that came
// later still. It says whether it still could.
func (s *Session) Amend(r *Round) bool {
	for _, p := range s.earlier {
		if p.number == r.Number {
			r.setScores(p.index)
			return true
		}
	}
	return false
}
