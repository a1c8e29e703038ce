// Package pace says when the next action is due. Pacers are pure: the time
// that has passed is handed in, so that a schedule can be tested as a table.
// Sleeping until the due time is in clock.go and needs a locked OS thread.
package pace

import (
	"fmt"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Pacer plans a schedule of actions.
type Pacer interface {
	// Pace returns how long after elapsed (the time since the start) action n
	// (from 0) is due; a negative wait means that it is overdue by that much.
	// An open-loop pacer keeps elapsed+wait independent of elapsed: the schedule
	// never moves because of a slow worker. stop says that action n is past the
	// end of the schedule.
	Pace(elapsed time.Duration, n uint64) (wait time.Duration, stop bool)
}

// OpenLoop is implemented by pacers whose schedule does not depend on when
// the actions were done.
type OpenLoop interface {
	Pacer
	// Planned is the number of actions due before the time d.
	Planned(d time.Duration) uint64
}

// Constant is Rate actions per second, evenly spaced, without an end.
type Constant struct{ Rate float64 }

var _ OpenLoop = Constant{}

func (c Constant) Pace(elapsed time.Duration, n uint64) (time.Duration, bool) {
	return seconds(float64(n)/c.Rate) - elapsed, false
}

func (c Constant) Planned(d time.Duration) uint64 {
	return count(math.Ceil(c.Rate * d.Seconds()))
}

// Ramp goes from rate From to rate To, linearly, within For, and stops there.
//
//	rate(t) = From + (To-From) t/For
//	n(t)    = From t + (To-From) t²/(2 For)   solved for t to get the due time
type Ramp struct {
	From, To float64
	For      time.Duration
}

var _ OpenLoop = Ramp{}

func (r Ramp) Pace(elapsed time.Duration, n uint64) (time.Duration, bool) {
	if n >= r.Planned(r.For) {
		return 0, true
	}
	// The stable form of the root also covers From == To and From == 0.
	a := (r.To - r.From) / (2 * r.For.Seconds())
	root := math.Sqrt(math.Max(0, r.From*r.From+4*a*float64(n)))
	if r.From+root == 0 {
		return -elapsed, false
	}
	return seconds(2*float64(n)/(r.From+root)) - elapsed, false
}

func (r Ramp) Planned(d time.Duration) uint64 {
	t := max(0, min(d, r.For)).Seconds()
	n := r.From*t + (r.To-r.From)*t*t/(2*r.For.Seconds())
	// A whole number of actions may come out a little above itself. The slack
	// is relative: an absolute one hides the first action of a slow ramp.
	return count(math.Ceil(n - n*1e-12))
}

// Steps holds each rate for Each and stops after the last.
type Steps struct {
	Rates []float64
	Each  time.Duration
}

var _ OpenLoop = Steps{}

func (s Steps) Pace(elapsed time.Duration, n uint64) (time.Duration, bool) {
	var start time.Duration
	for _, rate := range s.Rates {
		step := Constant{rate}
		if here := step.Planned(s.Each); n >= here {
			n -= here
			start += s.Each
			continue
		}
		wait, _ := step.Pace(elapsed-start, n)
		return wait, false
	}
	return 0, true
}

func (s Steps) Planned(d time.Duration) uint64 {
	var n uint64
	for _, rate := range s.Rates {
		n += Constant{rate}.Planned(min(d, s.Each))
		d -= s.Each
	}
	return n
}

// Sleep is the closed loop of event-generator: For before each action, counted
// from the end of the one before. Sleep{} is as fast as possible.
type Sleep struct{ For time.Duration }

var _ Pacer = Sleep{}

func (s Sleep) Pace(time.Duration, uint64) (time.Duration, bool) { return s.For, false }

// Check validates a pacer's figures.
func Check(p Pacer) error {
	rates := []float64{1}
	length := time.Second
	switch p := p.(type) {
	case Series:
		return p.check()
	case Constant:
		rates = []float64{p.Rate}
	case Ramp:
		rates, length = []float64{max(p.From, p.To)}, p.For
		if p.From < 0 || p.To < 0 {
			return fmt.Errorf("ramp from %g to %g: rates must not be negative", p.From, p.To)
		}
	case Steps:
		rates, length = p.Rates, p.Each
	case Sleep:
		if p.For < 0 {
			return fmt.Errorf("sleep of %v: must not be negative", p.For)
		}
	}
	if len(rates) == 0 || length <= 0 {
		return fmt.Errorf("%T: needs at least one rate and a positive duration", p)
	}
	for _, rate := range rates {
		if !(rate > 0) || rate > MaxRate {
			return fmt.Errorf("rate of %g actions per second: must be above 0 and at most %g", rate, float64(MaxRate))
		}
	}
	return nil
}

// MaxRate is the highest rate that can be planned: one action per nanosecond.
const MaxRate = 1e9

// seconds converts without overflow: a due time beyond 292 years is "never".
func seconds(s float64) time.Duration {
	if s >= math.MaxInt64/1e9 {
		return math.MaxInt64 / 2
	}
	return time.Duration(math.Round(s * 1e9))
}

func count(f float64) uint64 {
	if f <= 0 {
		return 0
	}
	return uint64(f)
}

// Scale is an open-loop pacer at a share of its rate.
func Scale(p Pacer, share float64) Pacer {
	switch p := p.(type) {
	case Constant:
		return Constant{p.Rate * share}
	case Ramp:
		return Ramp{p.From * share, p.To * share, p.For}
	case Steps:
		scaled := Steps{Each: p.Each}
		for _, rate := range p.Rates {
			scaled.Rates = append(scaled.Rates, rate*share)
		}
		return scaled
	case Series:
		return p.scale(share)
	}
	return p
}

// NewHistogram is one for times from 1 ns to 60 s, exact to 1 %. It takes
// some 40 KB and does not grow.
func NewHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, int64(time.Minute), 2)
}

// Record counts d, as zero or a minute if it lies outside.
func Record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(int64(d), 0), int64(time.Minute)))
}
