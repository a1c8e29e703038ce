package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench/intake"
	"github.com/peregrine-sec/peregrine/internal/bench/match"
	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/sensorstats"
)

// canaries does each action once and waits for its alert.
func (s *Session) canaries(ctx context.Context, p *Preflight) error {
	var offset match.Offset
	before := s.Samples()
	for i, a := range s.o.Actions {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.take() // what came before is nobody's
		result, err := s.o.Generate(ctx, generator.Options{Actions: choices(s.o.Actions[i : i+1]), Count: 1, Sandbox: s.o.Sandbox})
		if err != nil {
			return err
		}
		c := canary{action: a, result: result, session: s}
		c.watch(ctx)
		status, text := c.verdict(s, before)
		p.add("canary "+a.Name, status, "%s", text)
		if c.alert == nil {
			continue
		}
		s.hostname = c.alert.Hostname
		if c.stranger {
			s.actions[i].InThread = false
			p.add("threads "+a.Name, CheckWarn, "its alert names thread %d, which is %d here: the sensor is in another pid namespace, and alerts are matched by time alone",
				c.alert.TID, result.Instances[0].TID)
		}
		if len(result.Instances) == 1 && a.Cost == action.Fast {
			offset.Add(result.Instances[0].Start, result.Instances[0].End, c.alert.Time)
		}
	}
	s.settleClock(p, &offset)
	return nil
}

// settleClock takes the offset that the canaries' alerts show.
func (s *Session) settleClock(p *Preflight, offset *match.Offset) {
	value, ok := offset.Value()
	if !ok {
		value = 0 // half of a contradiction is no offset
	}
	s.clock.Offset, p.Offset = value, value
	switch d := time.Duration(value); {
	case !ok:
		p.add("clock", CheckWarn, "the sensor's event times contradict each other by our clock: latencies are not exact")
	case d.Abs() > maxOffset:
		p.add("clock", CheckWarn, "the sensor's event times are %v from ours: corrected", d)
	default:
		p.add("clock", CheckOK, "the sensor's event times agree with ours (offset %v)", d)
	}
}

// canary is one action that was done to see its alert.
type canary struct {
	session *Session
	action  *action.Action
	result  *generator.Result
	alert   *intake.Alert
	took    time.Duration  // from the action to the alert
	others  []intake.Alert // of other rules, of the time of the action
	// stranger says that the alert names a thread that is not ours, although
	// none of ours came: thread ids mean something else to the sensor.
	stranger bool
}

// watch waits for the alert.
func (c *canary) watch(ctx context.Context) {
	if c.result.Completed == 0 {
		return
	}
	begin := time.Now()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var strangers []intake.Alert
	for time.Since(begin) < c.session.canaryWait && ctx.Err() == nil {
		taken := c.session.take()
		for a := range taken.all() {
			switch {
			case a.Rule == c.action.Rule && c.ours(a):
				c.alert, c.took = &a, time.Since(begin)
				return
			case !c.during(a):
			case a.Rule == c.action.Rule:
				strangers = append(strangers, a)
			case c.ours(a):
				c.others = append(c.others, a)
			}
		}
		<-tick.C
	}
	// One alert at the moment of the action is its own; of several, nobody can
	// say which.
	if len(strangers) == 1 {
		c.alert, c.stranger = &strangers[0], true
		c.took = time.Duration(c.alert.Received - c.result.Instances[0].Start)
	}
}

// ours says whether an alert can be the action's: on a busy host others raise
// alerts of the same rule at the same time.
func (c *canary) ours(a intake.Alert) bool {
	return len(c.result.Instances) != 1 || c.action.Cost != action.Fast || a.TID == 0 || a.TID == c.result.Instances[0].TID
}

// during says whether an alert is of the time of the action.
func (c *canary) during(a intake.Alert) bool {
	if len(c.result.Instances) != 1 {
		return false
	}
	in := c.result.Instances[0]
	slack := int64(10 * time.Millisecond)
	return a.Time >= in.Start-slack && a.Time <= in.End+slack
}

// verdict says whether the alert came, and if not, why.
func (c *canary) verdict(s *Session, before []sensorstats.Sample) (status, text string) {
	rule := c.action.Rule
	counts := s.o.Target.Alerts().Counts()
	switch {
	case c.result.Skipped > 0:
		return CheckFail, fmt.Sprintf("cannot be done here: %s; leave it out", c.why())
	case c.result.Failed > 0:
		return CheckFail, fmt.Sprintf("failed: %s", c.why())
	case c.alert != nil:
		return CheckOK, fmt.Sprintf("alert of rule %q after %v", rule, c.took.Round(100*time.Microsecond))
	case len(c.others) > 0:
		return CheckFail, fmt.Sprintf("rule %q is shadowed: the event raised %q instead; Falco gives one alert per event (rule_matching: first): load the rule before the other, or leave the action out", rule, c.others[0].Rule)
	case throttled(before, s.Samples()):
		return CheckFail, fmt.Sprintf("no alert of rule %q within %v, and the sensor's rate limit withheld alerts meanwhile: set outputs.rate to 0", rule, s.canaryWait)
	case counts.Malformed > 0 && counts.Alerts == 0:
		return CheckFail, "what arrives is not an alert: " + counts.LastError
	case counts.Alerts == 0:
		return CheckFail, "no alert of any rule has ever arrived: does the sensor write to where bench reads (see --alerts), as JSON?"
	case c.action.RuleOff:
		return CheckFail, fmt.Sprintf("no alert within %v: rule %q is disabled in its file; enable it, or leave the action out", s.canaryWait, rule)
	case c.action.RuleSet != action.Stable:
		return CheckFail, fmt.Sprintf("no alert within %v: rule %q is not among the default rules, but in the %s ones; load that file, or leave the action out", s.canaryWait, rule, c.action.RuleSet)
	}
	return CheckFail, fmt.Sprintf("no alert within %v: rule %q is missing, disabled, or has an exception for this process", s.canaryWait, rule)
}

func (c *canary) why() string {
	if len(c.result.Actions) == 0 {
		return "no reason given"
	}
	a := c.result.Actions[0]
	if a.Why != "" {
		return a.Why
	}
	for errno := range a.Errnos {
		return errno.Error()
	}
	return "no reason given"
}

// throttled says whether alerts were withheld between two moments.
func throttled(before, now []sensorstats.Sample) bool {
	if len(now) == 0 || now[len(now)-1].Extra == nil {
		return false
	}
	first := uint64(0)
	if len(before) > 0 && before[len(before)-1].Extra != nil {
		first = before[len(before)-1].Extra.Throttled
	}
	return now[len(now)-1].Extra.Throttled > first
}
