package bench

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench/intake"
	"github.com/peregrine-sec/peregrine/internal/bench/match"
	"github.com/peregrine-sec/peregrine/internal/bench/usage"
	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/stats"
)

// Check is one finding of the preflight.
type Check struct {
	Name string `json:"name"`
	// Status is "ok", "warn" or "fail". A failed check ends the run with
	// ExitPreflight unless it is forced.
	Status string `json:"status"`
	Text   string `json:"text"` // what was found, and what to do about it
}

// The statuses of a Check.
const (
	CheckOK   = "ok"
	CheckWarn = "warn"
	CheckFail = "fail"
)

// Preflight is what is known before the first round.
type Preflight struct {
	Checks []Check `json:"checks"`
	// Idle is the sensor's events per second without load.
	Idle   float64 `json:"idle_events_per_second"`
	Offset int64   `json:"clock_offset_ns"`
}

// Failed gives the checks that failed.
func (p *Preflight) Failed() []Check {
	return slices.DeleteFunc(slices.Clone(p.Checks), func(c Check) bool { return c.Status != CheckFail })
}

func (p *Preflight) add(name, status, format string, args ...any) {
	p.Checks = append(p.Checks, Check{name, status, fmt.Sprintf(format, args...)})
}

const (
	// canaryWait is how long the alert of a canary may take.
	canaryWait = 5 * time.Second
	// idleBusy is the share of idle CPU that an unloaded host should have.
	idleBusy = 0.2
	// idleVariation is the highest coefficient of variation of a quiet host's
	// event rate. Below idleFloor events/s chance alone varies more.
	idleVariation = 0.3
	idleFloor     = 1000
	// maxOffset is a clock offset that needs a word.
	maxOffset = time.Millisecond
)

// Preflight checks that a measurement can mean something: the sensor lives,
// every action is seen to raise its alert, the host is quiet, the clocks agree.
// idle is how long the idle host is watched. It calibrates the session's clock.
func (s *Session) Preflight(ctx context.Context, idle time.Duration) (*Preflight, error) {
	p := &Preflight{}
	if exited(s.o.Target.Exited()) {
		p.add("sensor", CheckFail, "the sensor's process has ended")
		return p, nil
	}
	if pid := s.o.Target.PID(); pid != 0 {
		p.add("sensor", CheckOK, "process %d is alive", pid)
	} else {
		p.add("sensor", CheckWarn, "its process is not known: CPU and memory are not measured (use --pid)")
	}
	if err := s.canaries(ctx, p); err != nil {
		return p, fmt.Errorf("preflight: %w", err)
	}
	if err := s.idle(ctx, p, idle); err != nil {
		return p, fmt.Errorf("preflight: %w", err)
	}
	return p, ctx.Err()
}

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
		if c.alert != nil && len(result.Instances) == 1 && s.actions[i].InThread {
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
	any     int            // alerts of any kind
}

// watch waits for the alert.
func (c *canary) watch(ctx context.Context) {
	if c.result.Completed == 0 {
		return
	}
	begin := time.Now()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for time.Since(begin) < canaryWait && ctx.Err() == nil {
		for _, a := range c.session.take() {
			c.any++
			switch {
			case a.Rule == c.action.Rule && c.ours(a):
				c.alert, c.took = &a, time.Since(begin)
				return
			case c.during(a):
				c.others = append(c.others, a)
			}
		}
		<-tick.C
	}
}

// ours says whether an alert can be the action's: on a busy host others raise
// alerts of the same rule at the same time.
func (c *canary) ours(a intake.Alert) bool {
	return len(c.result.Instances) != 1 || c.action.Cost != action.Fast || a.TID == 0 || a.TID == c.result.Instances[0].TID
}

// during says whether an alert is of the time of the action, and of its
// thread if that is known.
func (c *canary) during(a intake.Alert) bool {
	if len(c.result.Instances) != 1 {
		return false
	}
	in := c.result.Instances[0]
	slack := int64(10 * time.Millisecond)
	return a.Time >= in.Start-slack && a.Time <= in.End+slack && (a.TID == 0 || a.TID == in.TID || c.action.Cost != action.Fast)
}

// verdict says whether the alert came, and if not, why.
func (c *canary) verdict(s *Session, before []stats.Sample) (status, text string) {
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
		return CheckFail, fmt.Sprintf("no alert of rule %q within %v, and the sensor's rate limit withheld alerts meanwhile: set outputs.rate to 0", rule, canaryWait)
	case counts.Malformed > 0 && counts.Alerts == 0:
		return CheckFail, "what arrives is not an alert: " + counts.LastError
	case counts.Alerts == 0:
		return CheckFail, "no alert of any rule has ever arrived: does the sensor write to where bench reads (see --alerts), as JSON?"
	case c.action.RuleOff:
		return CheckFail, fmt.Sprintf("no alert within %v: rule %q is disabled in its file; enable it, or leave the action out", canaryWait, rule)
	case c.action.RuleSet != action.Stable:
		return CheckFail, fmt.Sprintf("no alert within %v: rule %q is not among the default rules, but in the %s ones; load that file, or leave the action out", canaryWait, rule, c.action.RuleSet)
	}
	return CheckFail, fmt.Sprintf("no alert within %v: rule %q is missing, disabled, or has an exception for this process", canaryWait, rule)
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
func throttled(before, now []stats.Sample) bool {
	if len(now) == 0 || now[len(now)-1].Extra == nil {
		return false
	}
	first := uint64(0)
	if len(before) > 0 && before[len(before)-1].Extra != nil {
		first = before[len(before)-1].Extra.Throttled
	}
	return now[len(now)-1].Extra.Throttled > first
}

// idle watches the sensor and the host without load.
func (s *Session) idle(ctx context.Context, p *Preflight, d time.Duration) error {
	watch, err := usage.Start(0)
	if err != nil {
		return err
	}
	start := time.Now()
	if err := wait(ctx, d); err != nil {
		return err
	}
	_, host := watch.Stop()
	p.checkHost(host)
	if s.o.Target.Stats() == nil {
		p.add("stats", CheckWarn, "the sensor's stats are not read: its drops are not known (use --stats)")
		return nil
	}
	samples := plateau(s.Samples(), start.UnixNano(), time.Now().UnixNano())
	if len(samples) == 0 {
		text := "no new sample"
		if err := s.StatsError(); err != nil {
			text = err.Error()
		}
		p.add("stats", CheckFail, "%s within %v: does the sensor write there, and at least each second?", text, d)
		return nil
	}
	p.checkIdle(samples)
	return nil
}

func (p *Preflight) checkHost(host usage.Host) {
	status := CheckOK
	if host.CPUs > 0 && host.Idle < idleBusy*float64(host.CPUs) {
		status = CheckWarn
	}
	p.add("host", status, "%.1f of %d CPUs idle without load", host.Idle, host.CPUs)
}

// checkIdle is about samples of a sensor that has nothing to do.
func (p *Preflight) checkIdle(samples []stats.Sample) {
	p.Idle = meanRate(samples)
	var drops uint64
	var squares float64
	longest := int64(0)
	for _, s := range samples {
		drops += s.Delta.Drops
		squares += math.Pow(rate(s)-p.Idle, 2)
		longest = max(longest, s.Elapsed)
	}
	variation := 0.0
	if len(samples) > 1 && p.Idle > 0 {
		variation = math.Sqrt(squares/float64(len(samples)-1)) / p.Idle
	}
	switch {
	case drops > 0:
		p.add("idle", CheckFail, "the sensor drops events without any load (%d in %d samples): give it more CPU or a larger buffer first", drops, len(samples))
	case variation > idleVariation && p.Idle > idleFloor:
		p.add("idle", CheckWarn, "%.0f events/s without load, but varying by %.0f %%: something else works on this host", p.Idle, 100*variation)
	default:
		p.add("idle", CheckOK, "%.0f events/s without load, no drops", p.Idle)
	}
	if longest > int64(1500*time.Millisecond) {
		p.add("stats", CheckWarn, "samples are %v apart: rounds need one a second", time.Duration(longest).Round(100*time.Millisecond))
	}
}
