// Package run performs a whole bench: it measures the generator's ceiling, starts
// the sensor, runs the preflight, the calibration and the rounds, judges them, and
// stops the sensor. The command line calls it once.
package run

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/bench/classic"
	"github.com/peregrine-sec/peregrine/internal/bench/report"
	"github.com/peregrine-sec/peregrine/internal/bench/target"
	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/generator/eventlog"
	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/version"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// Options configures a run.
type Options struct {
	Bench   bench.Options // Target is not started yet
	Command []string      // for the record
	// Identity says which sensor it is.
	Identity target.Identity

	// Rates are those of the rounds, each of which lasts Duration, with Noise
	// in the background and Rest between them. Not used by the classic mode.
	Rates    []float64
	Noise    float64
	Duration time.Duration
	Rest     time.Duration

	// Classic, if not nil, is event-generator's mode, logged to Log.
	Classic *classic.Options
	Log     *eventlog.Logger

	Idle       time.Duration // of the preflight; 0 leaves the preflight out
	Force      bool          // go on when it fails
	Calibrate  bool          // count syscalls in a window before the rounds
	Conditions []bench.Condition
	Directory  *report.Directory // nil keeps nothing
	Notes      []string          // of the run, for the record
	// Done is called after each round; nil for none.
	Done func(*bench.Round)
	// Say reports progress to people; nil for silence.
	Say func(format string, args ...any)
}

// PreflightError says that the measurement would mean nothing.
type PreflightError struct{ Checks []bench.Check }

func (e *PreflightError) Error() string {
	var lines []string
	for _, c := range e.Checks {
		lines = append(lines, fmt.Sprintf("%s: %s", c.Name, c.Text))
	}
	return "preflight: " + strings.Join(lines, "\n  ") + "\n(--force goes on all the same)"
}

// Run performs everything. It returns the results also with an error, marked
// Partial.
func Run(ctx context.Context, o Options) (run *report.Run, err error) {
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	c := &measurement{Options: o, run: &report.Run{
		Schema: bench.RoundSchema, Command: o.Command, Started: time.Now(), Notes: o.Notes,
		Identity: o.Identity, Version: version.Version(),
		Sensor: o.Bench.Target.Command(), Host: report.ReadHost(),
	}}
	if o.Directory != nil {
		c.Bench.Recorder = o.Directory
	}
	for _, note := range o.Notes {
		o.Say("note: %s", note)
	}
	err = c.measure(ctx)
	c.run.Ended, c.run.Partial = time.Now(), err != nil
	c.run.Evaluate(o.Conditions)
	if o.Directory != nil {
		err = errors.Join(err, o.Directory.Finish(c.run), o.Directory.Close())
	}
	return c.run, err
}

type measurement struct {
	Options
	run     *report.Run
	session *bench.Session
}

// measure does all in its order.
func (c *measurement) measure(ctx context.Context) (err error) {
	if err := c.suited(ctx); err != nil {
		return err
	}
	if err := c.privileges(); err != nil {
		return err
	}
	if c.Classic == nil {
		if err := c.ceiling(ctx); err != nil {
			return err
		}
	}
	c.Say("starting the sensor")
	sensor := c.Bench.Target
	if p, ours := sensor.(*target.Process); ours {
		p.Tell(c.Say)
	}
	c.Bench.Say = c.Say
	if err := sensor.Start(ctx, nil); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sensor.Stop(context.WithoutCancel(ctx))) }()
	c.run.Identity.PID = sensor.PID()
	if c.session, err = bench.Open(ctx, c.Bench); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.session.Close()) }()
	if err := c.prepare(ctx); err != nil {
		return err
	}
	if c.Classic != nil {
		return classic.Run(ctx, c.session, *c.Classic, c.Log, c.keep)
	}
	return c.rounds(ctx)
}

// suited refuses actions on a Kubernetes cluster, which are no load, and those
// whose alerts the sensor cannot raise.
func (c *measurement) suited(ctx context.Context) error {
	var refused []bench.Check
	if p, ours := c.Bench.Target.(*target.Process); ours && c.Idle > 0 {
		refused = bench.MissingRules(c.Bench.Actions, p.Rules(ctx))
	}
	for _, a := range c.Bench.Actions {
		if a.Needs.Place == action.Cluster {
			refused = append(refused, bench.Check{Name: "action " + a.Name, Status: bench.CheckFail, Text: a.BenchWhy})
		}
	}
	if len(refused) > 0 && !c.Force {
		return &PreflightError{refused}
	}
	return nil
}

// privileges asks the generator whether it can work here at all.
func (c *measurement) privileges() error {
	if c.Bench.Generate != nil {
		return nil // not the real one
	}
	o := generator.Options{Actions: generator.Choices(c.Bench.Actions), Sandbox: c.Bench.Sandbox}
	if err := generator.Check(o); err != nil {
		return &PreflightError{[]bench.Check{{Name: "privileges", Status: bench.CheckFail, Text: err.Error()}}}
	}
	return nil
}

// ceiling measures the generator alone, and chooses its workers.
func (c *measurement) ceiling(ctx context.Context) (err error) {
	c.Say("measuring the generator's ceiling")
	if c.run.Ceiling, err = bench.MeasureCeiling(ctx, c.Bench); err != nil {
		return err
	}
	highest := 0.0
	for _, r := range c.Rates {
		highest = max(highest, r)
	}
	if c.Bench.Workers == 0 {
		c.Bench.Workers = c.run.Ceiling.Workers(highest)
	}
	if most := c.run.Ceiling.Rate * float64(c.Bench.Workers); highest > most {
		c.Say("warn: generator: %s actions/s are asked for, about %s are possible with %d workers", human.Number(highest), human.Number(most), c.Bench.Workers)
	}
	return nil
}

// prepare is the preflight and the calibration.
func (c *measurement) prepare(ctx context.Context) (err error) {
	if c.Idle > 0 {
		c.Say("preflight: each action once, then %v of idling", c.Idle)
		if c.run.Preflight, err = c.session.Preflight(ctx, c.Idle); err != nil {
			return err
		}
		failed := c.run.Preflight.Failed()
		for _, check := range c.run.Preflight.Checks {
			if check.Status == bench.CheckWarn || check.Status == bench.CheckFail && c.Force {
				c.Say("%s: %s: %s", check.Status, check.Name, check.Text)
			}
		}
		if len(failed) > 0 && !c.Force {
			return &PreflightError{failed}
		}
	}
	if !c.Calibrate {
		return nil
	}
	c.Say("calibration: counting the host's syscalls")
	calibration, err := c.session.Calibrate(ctx, time.Second)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil: // without the privilege there is no count, and no harm
		c.Say("syscalls are not counted: %v", err)
	default:
		c.run.Calibration = &calibration
	}
	return nil
}

// rounds runs one round per rate.
func (c *measurement) rounds(ctx context.Context) error {
	for i, rate := range c.Rates {
		if i > 0 {
			if err := wait.For(ctx, c.Rest); err != nil {
				return err
			}
		}
		round, err := c.session.Run(ctx, bench.Load{Rate: rate, Noise: c.Noise, Duration: c.Duration})
		if err == nil || round.Partial {
			err = errors.Join(err, c.keep(&round))
		}
		if err != nil {
			return err
		}
	}
	c.limited()
	return nil
}

// keep adds a round, and brings the one before up to date with its late
// alerts.
func (c *measurement) keep(r *bench.Round) error {
	if n := len(c.run.Rounds); n > 0 {
		c.session.Amend(&c.run.Rounds[n-1])
	}
	if c.run.Ceiling != nil {
		r.Findings = append(r.Findings, c.run.Ceiling.Grown(r)...)
	}
	c.run.Rounds = append(c.run.Rounds, *r)
	if c.Done != nil {
		c.Done(r)
	}
	return nil
}

// limited marks the round from which on the generator did not keep up although
// no single round shows it.
func (c *measurement) limited() {
	var offered, targets []float64
	for _, r := range c.run.Rounds {
		offered, targets = append(offered, r.Rate.Offered), append(targets, r.Rate.Target)
	}
	i := bench.LimitedAt(offered, targets)
	if i < 0 || c.run.Rounds[i].Has(bench.GeneratorLimited) {
		return
	}
	r := &c.run.Rounds[i]
	r.Flags = append(r.Flags, bench.GeneratorLimited)
	r.Findings = append(r.Findings, bench.Finding{Code: "generator_limited",
		Text: "the offered rate has not grown for two rounds although the target doubled: the generator is the limit"})
}

// Conclusion is how a run ends, for the exit code.
type Conclusion int

// The conclusions, the gravest last.
const (
	Passed       Conclusion = iota
	Inconclusive            // the generator was a round's limit, loss cannot be told, or a condition could not be judged
	Violated                // a condition is true
)

// Conclude is the conclusion of a run and a sentence for it, "" if it passed.
func Conclude(r *report.Run) (Conclusion, string) {
	conclusion, why := Passed, ""
	for i := range r.Rounds {
		if r.Rounds[i].Has(bench.GeneratorLimited) {
			conclusion, why = Inconclusive, fmt.Sprintf("round %d: the generator, not the sensor, was the limit", r.Rounds[i].Number)
		}
	}
	for i := range r.Rounds {
		if r.Rounds[i].Has(bench.Ambiguous) {
			conclusion, why = Inconclusive, fmt.Sprintf("round %d: alerts of others may stand for missing ones", r.Rounds[i].Number)
		}
	}
	for _, o := range r.Conditions {
		if o.Unknown {
			conclusion, why = Inconclusive, fmt.Sprintf("%s: no round can tell", o.Condition)
		}
	}
	for _, o := range r.Conditions {
		if len(o.Rounds) > 0 {
			return Violated, fmt.Sprintf("%s in round %s", o.Condition, strings.Trim(fmt.Sprint(o.Rounds), "[]"))
		}
	}
	return conclusion, why
}
