package sweep

import (
	"context"
	"time"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/search"
)

// smaller are the limits to go on with where the load was the limit of every
// row: under one of them the sensor is.
var smaller = []float64{0.1, 0.05, 0.02}

// goSmaller measures smaller limits of each variant without an answer, while
// there is time, until one of them is a capacity of the sensor.
func (s *sweep) goSmaller(ctx context.Context, of int) error {
	for _, v := range s.Variants {
		for {
			l, ok := s.nextSmaller(v.Name)
			if !ok || s.Fixed || s.left() < s.Plan.Estimate()*2/3 {
				break
			}
			of++
			if err := s.row(ctx, of, of, job{v, l, 1}); err != nil {
				return err
			}
		}
	}
	return nil
}

// nextSmaller is the limit that should be the sensor's, by the CPU that it has
// used where the load was the limit; false where a row is confirmed, or one
// was not limited by the load.
func (s *sweep) nextSmaller(sensor string) (capacity.Limit, bool) {
	var least *capacity.Row
	for i := range s.rows {
		row := &s.rows[i]
		switch {
		case row.Sensor != sensor:
		case row.Status != capacity.AtLeast || row.Limit.CPU == 0:
			return capacity.Limit{}, false
		case least == nil || row.Limit.CPU < least.Limit.CPU:
			least = row
		}
	}
	if least == nil {
		return capacity.Limit{}, false
	}
	enough := least.Limit.CPU
	if t := least.CleanTrial(); t != nil && t.Round.Usage != nil {
		enough = min(enough, t.Round.Usage.CPU)
	}
	next := capacity.Limit{Memory: least.Limit.Memory}
	for _, cpu := range smaller {
		if cpu < least.Limit.CPU && (next.CPU == 0 || next.CPU >= enough) {
			next.CPU = cpu
		}
	}
	return next, next.CPU > 0
}

// narrow uses the time that is left in the end for further long rounds in rows
// of which too little is known, each once.
func (s *sweep) narrow(ctx context.Context, _ int) error {
	for _, m := range s.measured {
		need := s.Plan.Idle + s.Plan.WarmUp + s.Plan.Confirm + 10*time.Second
		if m.search == nil || !m.search.Wide() || s.left() < need {
			continue
		}
		m.say("time is left to know more")
		m.burden, m.slowOutput = none, false
		err := s.measure(ctx, m, func() (search.Found, error) {
			return m.search.More(ctx, s.left())
		})
		if refused := onlyRefused(err); refused != nil { // the row has its answer
			m.row.Error = ""
			m.note("there was time to know more, but " + refused.Reason)
			s.keep(m)
			err = nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// onlyRefused returns the preflight's refusal if the error is nothing else; nil
// if another failure is joined to it, such as restoring a limit, which
// errors.As would not see.
func onlyRefused(err error) *PreflightError {
	for err != nil {
		switch e := err.(type) {
		case *PreflightError:
			return e
		case interface{ Unwrap() []error }:
			causes := e.Unwrap()
			if len(causes) != 1 {
				return nil
			}
			err = causes[0]
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		default:
			return nil
		}
	}
	return nil
}
