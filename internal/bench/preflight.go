package bench

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench/usage"
	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/sensorstats"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// Check is one finding of the preflight.
type Check struct {
	Name string `json:"name"`
	// Status is "ok", "warn" or "fail". A failed check ends the run with
	// ExitPreflight unless it is forced.
	Status string `json:"status"`
	Text   string `json:"text"` // the finding and its remedy
}

// The statuses of a Check.
const (
	CheckOK   = "ok"
	CheckWarn = "warn"
	CheckFail = "fail"
)

// Preflight is the result of the checks before the first round.
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
	// heldBack is the delay above which an idle sensor's alert has waited for
	// others to fill a buffer.
	heldBack = time.Second
	// idleBusy is the share of idle CPU that an unloaded host should have.
	idleBusy = 0.2
	// idleVariation is the highest coefficient of variation of a quiet host's
	// event rate. Below idleFloor events/s chance alone varies more.
	idleVariation = 0.3
	idleFloor     = 1000
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
	for _, a := range s.o.Actions {
		if a.Bench != action.BenchYes {
			p.add("action "+a.Name, CheckWarn, "not made for load (%s): %s", a.Bench, a.BenchWhy)
		}
	}
	canaries, err := s.ready(ctx)
	if err != nil {
		return p, fmt.Errorf("preflight: %w", err)
	}
	for _, c := range canaries {
		status, text := c.check()
		p.add("canary "+c.action.Name, status, "%s", text)
		if c.adopted() {
			p.add("threads "+c.action.Name, CheckWarn, "its alerts name thread %d, which is %d here: the sensor is in another pid namespace, and alerts are matched by time alone",
				c.alert.TID, c.tries[len(c.tries)-1].TID)
		}
		if c.delay > heldBack {
			p.add("delay "+c.action.Name, CheckWarn, "its alert came %s after the event: does the sensor hold alerts back? (Falco: buffered_outputs: false, and the flag -U)", human.Duration(c.delay))
		}
	}
	if exited(s.o.Target.Exited()) {
		p.add("sensor", CheckFail, "the sensor's process has ended meanwhile")
		return p, nil
	}
	s.checkClock(p)
	if err := s.idle(ctx, p, idle); err != nil {
		return p, fmt.Errorf("preflight: %w", err)
	}
	return p, ctx.Err()
}

// MissingRules refuses actions whose rule is not among those of a sensor; rules
// are nil if they are not known.
func MissingRules(actions []*action.Action, rules []string) []Check {
	var missing []Check
	for _, a := range actions {
		if rules != nil && a.Rule != "" && !slices.Contains(rules, a.Rule) {
			missing = append(missing, Check{"action " + a.Name, CheckFail, fmt.Sprintf(
				"the sensor has no enabled rule %q, so %s raises no alert: load a file with this rule too, enable it, or select actions of rules that the sensor has", a.Rule, a.Name)})
		}
	}
	return missing
}

// idle watches the sensor and the host without load.
func (s *Session) idle(ctx context.Context, p *Preflight, d time.Duration) error {
	watch, err := usage.Start(0)
	if err != nil {
		return err
	}
	start := time.Now()
	_ = wait.For(ctx, d) // a shorter count is valid too
	_, host := watch.Stop(time.Time{}, time.Time{})
	p.checkHost(host)
	if s.o.Target.Stats() == nil {
		p.add("stats", CheckWarn, "the sensor's stats are not read: its drops are not known (use --stats)")
		return nil
	}
	samples := s.await(ctx, start)
	if len(samples) == 0 {
		text := "no new sample"
		if err := s.StatsError(); err != nil {
			text = err.Error()
		}
		p.add("stats", CheckFail, "%s within %s, although actions were performed: does the sensor write there, and at least each second?", text, human.Duration(time.Since(start)))
		return nil
	}
	p.checkIdle(samples)
	return nil
}

// await returns the whole samples since start. It performs actions until there
// is one: an idle sensor may write none.
func (s *Session) await(ctx context.Context, start time.Time) []sensorstats.Sample {
	deadline, say := time.Now().Add(s.patience.canary), time.Now().Add(s.patience.say)
	for {
		samples := plateau(s.Samples(), start.UnixNano(), time.Now().UnixNano())
		if len(samples) > 0 || ctx.Err() != nil || time.Now().After(deadline) || exited(s.o.Target.Exited()) {
			return samples
		}
		if now := time.Now(); now.After(say) {
			say = now.Add(s.patience.say)
			s.o.Say("waiting for a sample of the sensor's statistics since %s; for at most %s more", human.Duration(now.Sub(start)), human.Duration(deadline.Sub(now)))
		}
		s.nudge(ctx)
		_ = wait.For(ctx, canaryGap) // the loop's condition tells why it ended
	}
}

func (p *Preflight) checkHost(host usage.Host) {
	status := CheckOK
	if host.CPUs > 0 && host.Idle < idleBusy*float64(host.CPUs) {
		status = CheckWarn
	}
	p.add("host", status, "%.1f of %d CPUs idle without load", host.Idle, host.CPUs)
}

// checkIdle is about samples of a sensor that has nothing to do.
func (p *Preflight) checkIdle(samples []sensorstats.Sample) {
	var stats SensorStats
	stats.rates(samples)
	p.Idle = stats.EventsMean
	var drops uint64
	longest := int64(0)
	for _, s := range samples {
		drops += s.Delta.Drops
		longest = max(longest, s.Elapsed)
	}
	variation := 0.0
	if p.Idle > 0 {
		variation = stats.EventsSD / p.Idle
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
