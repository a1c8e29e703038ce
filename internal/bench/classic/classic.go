// Package classic implements event-generator's bench, as used by the method
// document: a closed loop that halves its sleep in each round, a rest after each
// round, and the original log lines and formulas. The counts come from the
// rounds of package bench, so foreign alerts, late alerts and failed actions do
// not distort the ratio.
package classic

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/generator/eventlog"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// Options are event-generator's flags.
type Options struct {
	Sleep         time.Duration // before each action
	RoundDuration time.Duration
	Loop          bool // halve the sleep with each round
	Humanize      bool
	DryRun        bool // no alert is expected
	Rounds        int  // 0: until interrupted
}

// Check returns the errors that event-generator would have returned.
func (o Options) Check() error {
	if o.RoundDuration <= o.Sleep {
		return errors.New("--round-duration must be longer than --sleep")
	}
	if o.Sleep < 0 {
		return errors.New("--sleep must not be negative")
	}
	return nil
}

// Run performs rounds and logs them until ctx ends, which is the usual way to
// end it, and no error. each is called for every round.
func Run(ctx context.Context, runner bench.Runner, o Options, log *eventlog.Logger, each func(*bench.Round) error) error {
	warned, stalled, before := false, false, 0.0
	for n := 1; o.Rounds == 0 || n <= o.Rounds; n++ {
		if n > 1 {
			log.Log(eventlog.Info, "", nil)
		}
		start := time.Now()
		fields := eventlog.Fields{"sleep": o.Sleep}
		if o.DryRun {
			fields["dry-run"] = true
		}
		log.Log(eventlog.Info, fmt.Sprintf("round #%d", n), fields)
		round, err := runner.Run(ctx, bench.Load{
			Closed: true, Sleep: o.Sleep, Duration: o.RoundDuration,
			Ended: func() { log.Log(eventlog.Info, "resting...", nil) },
		})
		if err != nil && !round.Partial {
			return err
		}
		warned = o.print(log, &round, warned)
		now := o.throughput(&round)
		if o.Loop && !stalled && now > 0 && now < growing*before && !round.Partial {
			stalled = true
			stall(log, &round)
		}
		before = now
		if err := each(&round); err != nil {
			return err
		}
		if wait.For(ctx, time.Until(start.Add(2*o.RoundDuration))) != nil {
			return nil
		}
		if o.Loop {
			o.Sleep /= 2
		}
	}
	return nil
}

// growing is the factor by which the rate of a round must exceed that of the
// one before, whose sleep was twice as long, to count as growth.
const growing = 1.1

// stall says that a shorter sleep brings no more actions, and which one takes
// the time.
func stall(log *eventlog.Logger, r *bench.Round) {
	fields := eventlog.Fields{}
	if c := bench.SlowAction(r.Actions); c != nil {
		fields["slow"], fields["share"], fields["without"] = c.Name, fmt.Sprintf("%.0f%%", 100*c.Share), c.Others
	}
	log.Log(eventlog.Warn, "EPS no longer grows with a shorter sleep: the generator is the limit, not the sensor", fields)
}

// throughput is event-generator's EPS: actions by the round's length.
func (o Options) throughput(r *bench.Round) float64 {
	return float64(r.Total.Started) / o.RoundDuration.Seconds()
}

// print logs the results of a round. warned is whether the hint about slow
// actions has been given, which is once.
func (o Options) print(log *eventlog.Logger, r *bench.Round, warned bool) bool {
	for _, a := range r.Actions {
		ratio := 0.0
		if a.OK > 0 {
			ratio = float64(a.Matched) / float64(a.OK)
		}
		log.Log(eventlog.Info, a.Name, eventlog.Fields{"actual": a.Matched, "expected": a.OK, "ratio": ratio})
		if a.OK > 0 && a.Matched+a.Late == 0 && !o.DryRun {
			log.Log(eventlog.Warn, fmt.Sprintf("no alert at all: rule %q is not loaded in this sensor?", a.Rule), eventlog.Fields{"action": a.Name})
		}
		if a.OK > 0 {
			continue
		}
		log.Log(eventlog.Warn, "cannot generate events", eventlog.Fields{"action": a.Name})
		if !warned {
			log.Log(eventlog.Warn, "some actions may be too slow, consider to use different actions", nil)
		}
		warned = true
	}
	log.Log(eventlog.Info, "statistics", o.statistics(r))
	if r.Alerts.Foreign+r.Alerts.Duplicate+r.Total.Late+r.Total.Failed > 0 {
		log.Log(eventlog.Warn, "not counted", eventlog.Fields{
			"foreign": r.Alerts.Foreign, "duplicate": r.Alerts.Duplicate, "late": r.Total.Late, "failed": r.Total.Failed})
	}
	if s := r.Sensor; s != nil && s.Drops+s.OutputsDropped+s.Throttled > 0 {
		log.Log(eventlog.Warn, "sensor lost", eventlog.Fields{
			"drops": s.Drops, "output_drops": s.OutputsDropped, "throttled": s.Throttled})
	}
	return warned
}

// statistics are the fields of the line of that name.
func (o Options) statistics(r *bench.Round) eventlog.Fields {
	lost, throughput := Lost(r.Actions), o.throughput(r)
	fields := eventlog.Fields{"throughput": throughput}
	if !o.DryRun {
		fields["lost"] = lost
	}
	if u := r.Usage; u != nil {
		fields["cpu"], fields["res_mem"], fields["virt_mem"] = u.CPU, u.RSSLast, u.Virtual
	}
	if !o.Humanize {
		return fields
	}
	fields["throughput"] = fmt.Sprintf("%.1f EPS", throughput)
	if !o.DryRun {
		fields["lost"] = fmt.Sprintf("%d%%", int(lost*100)) // truncated, as it always was
	}
	if u := r.Usage; u != nil {
		fields["cpu"], fields["res_mem"], fields["virt_mem"] = fmt.Sprintf("%.1f%%", 100*u.CPU), bytes(u.RSSLast), bytes(u.Virtual)
	}
	return fields
}

// Lost is one minus the mean of the actions' ratios, each counting the same.
func Lost(actions []bench.ActionResult) float64 {
	if len(actions) == 0 {
		return 0
	}
	sum := 0.0
	for _, a := range actions {
		if a.OK > 0 {
			sum += float64(a.Matched) / float64(a.OK)
		}
	}
	return 1 - sum/float64(len(actions))
}

// bytes writes a size in decimal units, with one digit after the point below
// ten: "36 MB", "1.1 GB".
func bytes(n uint64) string {
	if n < 10 {
		return fmt.Sprintf("%d B", n)
	}
	units := []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}
	e := min(int(math.Log(float64(n))/math.Log(1000)), len(units)-1)
	v := math.Floor(float64(n)/math.Pow(1000, float64(e))*10+0.5) / 10
	if v < 10 {
		return fmt.Sprintf("%.1f %s", v, units[e])
	}
	return fmt.Sprintf("%.0f %s", v, units[e])
}
