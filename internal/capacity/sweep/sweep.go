// Package sweep measures the rows of a capacity table. For each limit, it starts
// the sensor, observes it idle, warms it up, lets package search find the highest
// clean rate in rounds of package bench, and judges each round. It always
// restores its changes.
package sweep

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/diagnose"
	"github.com/peregrine-sec/peregrine/internal/capacity/search"
)

// Stand is how a sensor comes under a limit.
type Stand interface {
	// Open limits the place where the sensor runs or will run. The sensor
	// that it returns has to be restored, whatever happens to it.
	Open(ctx context.Context, l capacity.Limit) (Sensor, error)
}

// Sensor is a sensor under a limit.
type Sensor interface {
	// Start brings the sensor up, or connects to one that runs, and returns
	// when each action has been seen to raise its alert. It may be called
	// again after Stop.
	Start(ctx context.Context) error
	// Run loads the sensor for one round.
	Run(ctx context.Context, load bench.Load) (bench.Round, error)
	// Settle waits until the sensor has delivered the alerts of earlier rounds;
	// false if it has not within most.
	Settle(ctx context.Context, most time.Duration) (bool, error)
	// Ended says whether the sensor's process has ended by itself.
	Ended() bool
	// Stop undoes Start.
	Stop(ctx context.Context) error
	// Restore puts everything back as it was before Open.
	Restore(ctx context.Context) error
	// Usage reads the counters of the sensor's place.
	Usage() (capacity.Usage, error)
	// Owned says that Start makes the process, so that it can be made again.
	Owned() bool
	// Place names where the sensor runs.
	Place() string
}

// ErrEnded is the error of a Start whose sensor came up and then ended.
var ErrEnded = errors.New("the sensor has ended")

// Observer follows a sweep.
type Observer interface {
	Progress(Progress)
	// Keep is given the rows after each one, so that measurements outlive a run
	// that is killed.
	Keep([]capacity.Row)
}

// Variant is one of the sensors that are compared; the only one has no name.
type Variant struct {
	Name  string
	Stand Stand
}

// Options configure Run.
type Options struct {
	Variants []Variant
	Limits   []capacity.Limit
	Load     capacity.Load
	Plan     capacity.Plan
	Repeat   int
	Seed     uint64
	Total    time.Duration // for all rows together
	Force    bool          // measure although the preflight says not to
	Fixed    bool          // only the Limits can be measured: no smaller ones follow
	Now      func() time.Time
	Observer Observer
}

// Progress is reported before and after each round.
type Progress struct {
	Row, Rows int
	Sensor    string // of a comparison
	Limit     capacity.Limit
	Phase     capacity.Phase
	Target    float64
	Length    time.Duration
	Done      *capacity.Trial // nil before the round
	Left      time.Duration
	Message   string // something else that is worth a line
}

// PreflightError says that the conditions for a measurement do not hold.
type PreflightError struct{ Reason string }

func (e *PreflightError) Error() string { return "preflight: " + e.Reason }

// sweep is one Run.
type sweep struct {
	Options
	rows     []capacity.Row
	measured []*measurement // of the rows
	deadline time.Time
	expected time.Duration // of one row, by the latest that was measured
}

// Run measures a row for each limit and variant, and each again Repeat times
// in an order drawn from Seed. An error, or the end of ctx, leaves the rows
// that were measured until then.
func Run(ctx context.Context, o Options) ([]capacity.Row, error) {
	s := &sweep{Options: o, deadline: o.Now().Add(o.Total), expected: o.Plan.Estimate()}
	order := s.order()
	for i, job := range order {
		if err := s.row(ctx, i+1, len(order), job); err != nil {
			return s.rows, err
		}
	}
	for _, step := range []func(context.Context, int) error{s.repeatNoisy, s.goSmaller, s.narrow} {
		if err := step(ctx, len(order)); err != nil {
			return s.rows, err
		}
	}
	return s.rows, nil
}

// job is one row to be measured.
type job struct {
	variant Variant
	limit   capacity.Limit
	repeat  int
}

// order lists the rows. The variants of a limit follow each other, so that a
// drift of the machine meets all of them; repeats are in a random order, so
// that it does not look like an effect.
func (s *sweep) order() []job {
	random := rand.New(rand.NewPCG(s.Seed, 0))
	var jobs []job
	for repeat := range max(1, s.Repeat) {
		limits := slices.Clone(s.Limits)
		if repeat > 0 {
			random.Shuffle(len(limits), func(i, j int) { limits[i], limits[j] = limits[j], limits[i] })
		}
		for _, l := range limits {
			for i := range s.Variants {
				// The first one is not always the same.
				v := s.Variants[(i+repeat)%len(s.Variants)]
				jobs = append(jobs, job{v, l, repeat + 1})
			}
		}
	}
	return jobs
}

// budget is the time for the next row: the remaining time, less the needs of
// later rows, which start near their answer and take two thirds. A row left
// without time by accidents of others gets a few short rounds.
func (s *sweep) budget(after int) time.Duration {
	reserved := time.Duration(after) * (s.Plan.Estimate() * 2 / 3)
	return max(4*s.Plan.Ramp, s.left()-reserved)
}

func (s *sweep) left() time.Duration { return s.deadline.Sub(s.Now()) }

// row measures one limit.
func (s *sweep) row(ctx context.Context, number, of int, j job) error {
	m := &measurement{sweep: s, number: number, of: of, index: len(s.rows), stand: j.variant.Stand,
		row: capacity.Row{Sensor: j.variant.Name, Limit: j.limit, Repeat: j.repeat, Status: capacity.Failed, Clean: -1, Failed: -1}}
	return s.measure(ctx, m, func() (search.Found, error) {
		plan := s.Plan
		plan.Budget, plan.Start = s.budget(of-number), s.startRate(j)
		plan.Spare = time.Duration(of-number) * plan.Confirm
		m.search = search.New(plan, s.Now, m.try)
		return m.search.Run(ctx)
	})
}

// startRate begins where an earlier row suggests, so that its ramp is short.
func (s *sweep) startRate(j job) float64 {
	start := s.Plan.Start
	for _, row := range s.rows {
		if row.NDR.Lower == 0 || row.Sensor != j.variant.Name {
			continue
		}
		guess := row.NDR.Lower * 0.9 // which should pass
		if j.limit.CPU > 0 && row.Limit.CPU > j.limit.CPU {
			guess = row.NDR.Lower * j.limit.CPU / row.Limit.CPU / 2
		}
		start = max(start, guess)
	}
	return start
}

// keep puts the row where it belongs, and on disk.
func (s *sweep) keep(m *measurement) {
	if m.index == len(s.rows) {
		s.rows, s.measured = append(s.rows, m.row), append(s.measured, m)
		s.expected = s.Now().Sub(m.began)
	}
	s.rows[m.index] = m.row
	if s.Observer != nil {
		s.Observer.Keep(s.rows)
	}
}

func (s *sweep) progress(p Progress) {
	if s.Observer != nil {
		s.Observer.Progress(p)
	}
}

// variant is the one with a name.
func (s *sweep) variant(name string) Variant {
	return s.Variants[slices.IndexFunc(s.Variants, func(v Variant) bool { return v.Name == name })]
}

// repeatNoisy measures rows again that are worse than one with less CPU.
func (s *sweep) repeatNoisy(ctx context.Context, of int) error {
	for _, i := range diagnose.Inversions(s.rows) {
		m := s.measured[i] // which a later round of the row is kept from
		m.note("more CPU gave less than a smaller limit did")
		s.keep(m)
		if s.left() < s.expected {
			continue
		}
		again := job{s.variant(m.row.Sensor), m.row.Limit, m.row.Repeat + 1}
		if err := s.row(ctx, of, of, again); err != nil {
			return err
		}
	}
	return nil
}
