package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench/match"
	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// patience is how long a sensor may take. A Falco 0.44.1 uses 1.4 s of CPU time
// between its start and its first event, and says that it is open and healthy
// long before: under a small limit that takes the longer.
type patience struct {
	ready  time.Duration // until the first alert of a canary, and the first sample
	canary time.Duration // from then on, until every action has raised its alert
	say    time.Duration // between two words about it
}

// saying is the usual one.
const saying = 10 * time.Second

// patienceOf is that for a limit in CPUs; 0 means unlimited.
func patienceOf(cpus float64) patience {
	p := patience{ready: 12 * time.Second, canary: 5 * time.Second, say: saying}
	if cpus > 0 {
		p.ready += time.Duration(8 / cpus * float64(time.Second))
		p.canary += time.Duration(2 / cpus * float64(time.Second))
	}
	return p
}

const (
	// canaryGap is the pause before actions are performed again. A random
	// addition keeps a periodic neighbour from falling into step.
	canaryGap = 500 * time.Millisecond
	// agreeing is the number of canaries that must agree about the clock or
	// thread ids, and agreement the largest difference of their offsets.
	agreeing  = 3
	agreement = int64(5 * time.Millisecond)
	// keepCanaries bounds how many canaries late alerts are credited to.
	keepCanaries = 64
)

// ready performs the actions again and again until each has raised its alert
// and the sensor's statistics have moved: a sensor is ready when it works, not
// when it says so. An idle sensor may write no statistics, so one action is
// repeated until they appear.
func (s *Session) ready(ctx context.Context) ([]*canary, error) {
	var canaries []*canary
	for i, a := range s.o.Actions {
		canaries = append(canaries, &canary{session: s, action: a, index: i, inThread: a.Cost == action.Fast, began: time.Now(), before: s.Samples()})
	}
	for _, c := range canaries {
		c.peers = canaries
	}
	deadline, seen := time.Now().Add(s.patience.ready), false
	say := time.Now().Add(s.patience.say)
	for ctx.Err() == nil && time.Now().Before(deadline) && !exited(s.o.Target.Exited()) {
		open := slices.DeleteFunc(slices.Clone(canaries), (*canary).done)
		if len(open) == 0 {
			if s.moved() || len(canaries) == 0 {
				break
			}
			open = canaries[:1]
		}
		for _, c := range open {
			if err := c.perform(ctx); err != nil {
				return canaries, err
			}
		}
		s.listen(ctx, canaries, time.Now().Add(canaryGap+rand.N(canaryGap/2)))
		if !seen && slices.ContainsFunc(canaries, func(c *canary) bool { return c.alert != nil }) {
			seen = true
			deadline = earlier(deadline, time.Now().Add(s.patience.canary))
		}
		if now := time.Now(); now.After(say) {
			say = now.Add(s.patience.say)
			s.o.Say("%s; for at most %s more", s.missing(canaries), human.Duration(max(0, deadline.Sub(now))))
		}
	}
	return canaries, ctx.Err()
}

// missing says what ready waits for.
func (s *Session) missing(canaries []*canary) string {
	for _, c := range canaries {
		if !c.done() {
			return fmt.Sprintf("waiting for the alert of rule %q: %s was performed %d times in %s; %d alerts of other rules have come, %s", c.action.Rule, c.action.Name,
				len(c.tries), human.Duration(time.Since(c.began)), s.o.Target.Alerts().Traffic().Alerts, s.counted())
		}
	}
	return "waiting for the sensor's statistics: " + s.counted()
}

// counted is what the sensor's statistics say.
func (s *Session) counted() string {
	last := s.lastSample()
	switch {
	case s.o.Target.Stats() == nil:
		return "its statistics are not read"
	case last == nil:
		return "it has written no statistics"
	}
	return fmt.Sprintf("it has counted %d events", last.Cur.Events)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// moved says whether a sample with events has come since the session was
// opened; true also without statistics.
func (s *Session) moved() bool {
	if s.o.Target.Stats() == nil {
		return true
	}
	last := s.lastSample()
	return last != nil && last.Cur.Events > 0
}

// listen gives alerts to the canaries that wait, until all have theirs.
func (s *Session) listen(ctx context.Context, canaries []*canary, until time.Time) {
	for ctx.Err() == nil && time.Now().Before(until) {
		taken := s.take()
		for a := range taken.all() {
			for _, c := range canaries {
				c.hear(a)
			}
		}
		if !slices.ContainsFunc(canaries, func(c *canary) bool { return !c.done() }) && s.moved() {
			return
		}
		_ = wait.For(ctx, 5*time.Millisecond) // the loop's condition tells why it ended
	}
}

// remember keeps actions performed outside of rounds, so that their late alerts
// are not taken for others'.
func (s *Session) remember(r *generator.Result) {
	s.runs[r.Run] = true
	s.canaries = append(s.canaries, &past{number: -1, index: match.NewIndex(s.actions, slices.Clone(r.Instances), r.Run, s.clock)})
	if len(s.canaries) > keepCanaries {
		s.canaries = s.canaries[1:]
	}
}

// nudge performs one action, because a sensor may write no sample while
// nothing happens. Its alert is credited to no round.
func (s *Session) nudge(ctx context.Context) {
	if len(s.o.Actions) == 0 {
		return
	}
	// Without an event there is no sample: the caller reports that.
	if r, err := s.once(ctx, s.o.Actions[0]); err == nil {
		s.remember(r)
	}
}

// once performs an action a single time.
func (s *Session) once(ctx context.Context, a *action.Action) (*generator.Result, error) {
	return s.o.Generate(ctx, generator.Options{Actions: []generator.Choice{{Name: a.Name}}, Count: 1, Sandbox: s.o.Sandbox})
}
