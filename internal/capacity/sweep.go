package capacity

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/capacity/limit"
)

// Rig is how a sensor comes up, or is found, to be measured.
type Rig interface {
	// Start returns when the sensor sees events. started is called with the
	// process id before the sensor has done anything; its error stops it.
	Start(ctx context.Context, started func(pid int) error) (Bench, error)
	// Place opens where the sensor runs, with the journal of its changes. It
	// is restored after each row.
	Place(ctx context.Context) (limit.Place, *limit.Journal, error)
	// Owned says that Start makes the process, so that it belongs in Place.
	Owned() bool
}

// Bench loads one sensor that is up.
type Bench interface {
	bench.Runner
	// Settle waits until the sensor has dealt with the alerts of earlier
	// rounds; false if it has not within most.
	Settle(ctx context.Context, most time.Duration) (bool, error)
	Close(ctx context.Context) error
}

// Options are what a Sweep is asked for.
type Options struct {
	Limits   []limit.Limit
	Load     Load
	Plan     Plan
	Repeat   int
	Seed     uint64
	Total    time.Duration // for all rows together
	Force    bool          // measure although the preflight says not to
	Rig      Rig
	Now      func() time.Time
	Progress func(Progress)
	// Checkpoint, if set, is given the rows after each one, so that what was
	// measured outlives a run that is killed.
	Checkpoint func([]Row) error
}

// Progress is told before and after each round.
type Progress struct {
	Row, Rows int
	Limit     limit.Limit
	Phase     Phase
	Target    float64
	Length    time.Duration
	Done      *Trial // nil before the round
	Left      time.Duration
	Message   string // something else that is worth a line
}

// PreflightError says that the conditions for a measurement do not hold.
type PreflightError struct{ Reason string }

func (e *PreflightError) Error() string { return "preflight: " + e.Reason }

// sweep is one run of Sweep.
type sweep struct {
	Options
	rows     []Row
	measured []*measurement // of the rows
	deadline time.Time
	expected time.Duration // of one row, by the latest that was measured
}

// Sweep measures a row for each limit, and each again Repeat times in an order
// drawn from Seed. An error, or the end of ctx, leaves the rows that were
// measured until then.
func Sweep(ctx context.Context, o Options) ([]Row, error) {
	s := &sweep{Options: o, deadline: o.Now().Add(o.Total), expected: o.Plan.estimate()}
	order := s.order()
	for i, job := range order {
		if err := s.row(ctx, i+1, len(order), job); err != nil {
			return s.rows, err
		}
	}
	if err := s.repeatNoisy(ctx, len(order)); err != nil {
		return s.rows, err
	}
	return s.rows, s.narrow(ctx)
}

// job is one row to be measured.
type job struct {
	limit  limit.Limit
	repeat int
}

// order lists the rows: the limits as given the first time, at random after
// that, so that a drift of the machine does not look like an effect.
func (s *sweep) order() []job {
	random := rand.New(rand.NewPCG(s.Seed, 0))
	var jobs []job
	for repeat := range max(1, s.Repeat) {
		of := make([]job, len(s.Limits))
		for i, l := range s.Limits {
			of[i] = job{l, repeat + 1}
		}
		if repeat > 0 {
			random.Shuffle(len(of), func(i, j int) { of[i], of[j] = of[j], of[i] })
		}
		jobs = append(jobs, of...)
	}
	return jobs
}

// budget is the time for the next row: what is left, less what the rows after
// it will need: those begin near their answer and take two thirds. A
// row that accidents of others have left nothing gets a few short rounds.
func (s *sweep) budget(after int) time.Duration {
	reserved := time.Duration(after) * (s.Plan.estimate() * 2 / 3)
	return max(4*s.Plan.Ramp, s.deadline.Sub(s.Now())-reserved)
}

// row measures one limit.
func (s *sweep) row(ctx context.Context, number, of int, j job) error {
	m := &measurement{sweep: s, number: number, of: of, index: len(s.rows),
		row: Row{Limit: j.limit, Repeat: j.repeat, Status: Failed, Clean: -1, Failed: -1}}
	return s.measure(ctx, m, func() (Found, error) {
		plan := s.Plan
		plan.Budget, plan.Start = s.budget(of-number), s.startRate(j.limit)
		plan.Spare = time.Duration(of-number) * plan.Confirm
		m.search = newSearch(plan, s.Now, m.try)
		return m.search.run(ctx)
	})
}

// measure brings a sensor up under a row's limit and searches. What it changes
// is restored on every way out.
func (s *sweep) measure(ctx context.Context, m *measurement, search func() (Found, error)) (err error) {
	m.began = s.Now()
	place, journal, err := s.Rig.Place(ctx)
	if err != nil {
		return err
	}
	m.place, m.journal = place, journal
	m.row.Place = place.String()
	defer func() {
		// The context may have ended; the restoring must not end with it.
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if stopped := m.close(clean); stopped != nil {
			// The figures are there; how the sensor ended does not change them.
			first, _, _ := strings.Cut(stopped.Error(), "\n")
			m.note("the sensor did not end well: " + first)
		}
		err = errors.Join(err, place.Restore(clean))
		if err != nil {
			m.row.Error = err.Error()
		}
		err = errors.Join(err, s.keep(m))
	}()
	if err := place.Apply(ctx, m.row.Limit); err != nil {
		return err
	}
	if err := m.start(ctx); err != nil {
		return err
	}
	if err := m.settle(ctx); err != nil {
		return err
	}
	found, err := search()
	m.finish(found)
	if err != nil && m.row.Factor.Name == FactorTime {
		m.row.Factor.Evidence, m.row.Factor.Advice = "every trial was clean until the run was cut short", "run it again"
	}
	return err
}

// keep puts the row where it belongs, and on disk.
func (s *sweep) keep(m *measurement) error {
	if m.index == len(s.rows) {
		s.rows, s.measured = append(s.rows, m.row), append(s.measured, m)
		s.expected = s.Now().Sub(m.began)
	}
	s.rows[m.index] = m.row
	if s.Checkpoint == nil {
		return nil
	}
	return s.Checkpoint(s.rows)
}

// narrow uses the time that is left in the end for further long rounds in rows
// of which too little is known, each once.
func (s *sweep) narrow(ctx context.Context) error {
	for _, m := range s.measured {
		need := s.Plan.Idle + s.Plan.WarmUp + s.Plan.Confirm + 10*time.Second
		if m.search == nil || !m.search.wide() || s.deadline.Sub(s.Now()) < need {
			continue
		}
		m.say("time is left to know more")
		m.burden, m.slowOutput = none, false
		err := s.measure(ctx, m, func() (Found, error) {
			return m.search.more(ctx, s.deadline.Sub(s.Now()))
		})
		var refused *PreflightError
		if errors.As(err, &refused) && err.Error() == refused.Error() { // and nothing else: the row has its answer
			m.row.Error = ""
			m.note("there was time to know more, but " + refused.Reason)
			err = s.keep(m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// startRate begins where an earlier row suggests, so that its ramp is short.
func (s *sweep) startRate(l limit.Limit) float64 {
	start := s.Plan.Start
	for _, row := range s.rows {
		if row.NDR.Lower == 0 {
			continue
		}
		guess := row.NDR.Lower * 0.9 // which should pass
		if l.CPU > 0 && row.Limit.CPU > l.CPU {
			guess = row.NDR.Lower * l.CPU / row.Limit.CPU / 2
		}
		start = max(start, guess)
	}
	return start
}

// repeatNoisy measures rows again that are worse than one with less CPU.
func (s *sweep) repeatNoisy(ctx context.Context, of int) error {
	for _, i := range Inversions(s.rows) {
		row := &s.rows[i]
		row.Noisy = append(row.Noisy, "more CPU gave less than a smaller limit did")
		if s.deadline.Sub(s.Now()) < s.expected {
			continue
		}
		again := job{row.Limit, row.Repeat + 1}
		if err := s.row(ctx, of, of, again); err != nil {
			return err
		}
	}
	return nil
}

// tolerance is how much less a larger limit may give before the machine is
// called noisy.
const tolerance = 0.05

// Inversions returns the rows that are worse than a row with less CPU and no
// more memory, which no sensor can be. A lower bound is worse than nothing.
func Inversions(rows []Row) []int {
	var found []int
	for i, high := range rows {
		for _, low := range rows {
			lessMemory := high.Limit.Memory == 0 || (low.Limit.Memory > 0 && low.Limit.Memory <= high.Limit.Memory)
			if high.Status != AtLeast && high.Syscalls > 0 && low.Limit.CPU < high.Limit.CPU && lessMemory && high.Syscalls < low.Syscalls*(1-tolerance) {
				found = append(found, i)
				break
			}
		}
	}
	return found
}

func (s *sweep) progress(p Progress) {
	if s.Progress != nil {
		s.Progress(p)
	}
}
