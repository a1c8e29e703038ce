// Package classic is event-generator's bench, as the method document uses it:
// a closed loop whose sleep is halved round by round, a rest after each, and
// the log lines of old. What it counts comes from the rounds of package bench,
// so that alerts of others, late ones and failed actions do not end up in the
// ratio; the lines and their formulas are unchanged.
package classic

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench"
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

// Check says what event-generator would have said.
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
// end it, and no error. each is told of every round.
func Run(ctx context.Context, runner bench.Runner, o Options, log *Log, each func(*bench.Round) error) error {
	warned := false
	for n := 1; o.Rounds == 0 || n <= o.Rounds; n++ {
		if n > 1 {
			if err := log.Info(""); err != nil {
				return err
			}
		}
		start := time.Now()
		fields := []Field{{"sleep", o.Sleep}}
		if o.DryRun {
			fields = append(fields, Field{"dry-run", "true"})
		}
		if err := log.Info(fmt.Sprintf("round #%d", n), fields...); err != nil {
			return err
		}
		round, err := runner.Run(ctx, bench.Load{
			Closed: true, Sleep: o.Sleep, Duration: o.RoundDuration,
			Ended: func() { _ = log.Info("resting...") }, // a broken log is seen in the next line
		})
		if err != nil && !round.Partial {
			return err
		}
		if err := o.print(log, &round, &warned); err != nil {
			return err
		}
		if err := each(&round); err != nil {
			return err
		}
		if !rest(ctx, start.Add(2*o.RoundDuration)) {
			return nil
		}
		if o.Loop {
			o.Sleep /= 2
		}
	}
	return nil
}

// rest waits until a time; false if ctx ended before.
func rest(ctx context.Context, until time.Time) bool {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// print logs the results of a round. warned is whether the hint about slow
// actions has been given, which is once.
func (o Options) print(log *Log, r *bench.Round, warned *bool) error {
	var errs []error
	for _, a := range r.Actions {
		ratio := 0.0
		if a.OK > 0 {
			ratio = float64(a.Matched) / float64(a.OK)
		}
		errs = append(errs, log.Info(a.Name, Field{"actual", a.Matched}, Field{"expected", a.OK}, Field{"ratio", ratio}))
		if a.OK == 0 {
			errs = append(errs, log.Warn("cannot generate events", Field{"action", a.Name}))
			if !*warned {
				*warned = true
				errs = append(errs, log.Warn("some actions may be too slow, consider to use different actions"))
			}
		}
	}
	errs = append(errs, log.Info("statistics", o.statistics(r)...))
	if r.Alerts.Foreign+r.Alerts.Duplicate+r.Total.Late+r.Total.Failed > 0 {
		errs = append(errs, log.Warn("not counted", Field{"foreign", r.Alerts.Foreign}, Field{"duplicate", r.Alerts.Duplicate},
			Field{"late", r.Total.Late}, Field{"failed", r.Total.Failed}))
	}
	return errors.Join(errs...)
}

// statistics are the fields of the line of that name.
func (o Options) statistics(r *bench.Round) []Field {
	lost, throughput := Lost(r.Actions), float64(r.Total.Started)/o.RoundDuration.Seconds()
	fields := []Field{{"throughput", throughput}}
	if o.Humanize {
		fields[0].Value = fmt.Sprintf("%.1f EPS", throughput)
	}
	if !o.DryRun {
		f := Field{"lost", lost}
		if o.Humanize {
			f.Value = fmt.Sprintf("%d%%", int(lost*100))
		}
		fields = append(fields, f)
	}
	if u := r.Usage; u != nil {
		more := []Field{{"cpu", u.CPU}, {"res_mem", u.RSSLast}, {"virt_mem", u.Virtual}}
		if o.Humanize {
			more = []Field{{"cpu", fmt.Sprintf("%.1f%%", 100*u.CPU)}, {"res_mem", bytes(u.RSSLast)}, {"virt_mem", bytes(u.Virtual)}}
		}
		fields = append(fields, more...)
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
