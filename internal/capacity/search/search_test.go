package search

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// sensorModel models a sensor for a search: it takes a number of operations per
// second, its ring buffers more, and the generator has a maximum too.
type sensorModel struct {
	capacity  float64 // operations per second, for ever
	ring      float64 // operations that are buffered above it
	generator float64 // ceiling; 0 for none
	overhead  time.Duration
	watched   bool                // a growing queue is noticed before it overflows
	accident  func(n int) float64 // loss that has nothing to do with the rate
	clock     time.Time
	log       []modelTrial
}

type modelTrial struct {
	phase  capacity.Phase
	target float64
	length time.Duration
	Observation
}

func (m *sensorModel) now() time.Time { return m.clock }

func (m *sensorModel) try(_ context.Context, phase capacity.Phase, target float64, length time.Duration) (Observation, error) {
	m.clock = m.clock.Add(length + m.overhead)
	o := Observation{Offered: target}
	if m.generator > 0 && target > m.generator {
		o.Offered = m.generator
	}
	o.Limited = o.Offered < 0.9*target
	n := o.Offered * length.Seconds()
	excess := max(0, o.Offered-m.capacity) * length.Seconds()
	o.Loss = max(0, excess-m.ring) / n
	queued := m.watched && excess > 0.02*n
	if m.accident != nil {
		o.Loss = max(o.Loss, m.accident(len(m.log)))
	}
	o.Clean = o.Loss == 0 && !queued
	o.Partial = o.Loss <= 0.001 && !queued
	o.Marginal = !o.Clean && o.Loss <= 0.005
	m.log = append(m.log, modelTrial{phase, target, length, o})
	return o, nil
}

func (m *sensorModel) search(t interface{ Fatal(...any) }, plan capacity.Plan) Found {
	found, err := New(plan, m.now, m.try).Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// patient is the default plan without a limit of time.
func patient() capacity.Plan {
	p := capacity.DefaultPlan()
	p.Budget = 24 * time.Hour
	return p
}

// consistent checks the invariants of every search, whatever the sensor did.
func consistent(t *rapid.T, plan capacity.Plan, m *sensorModel, f Found) {
	for name, b := range map[string]capacity.Bound{"NDR": f.NDR, "PDR": f.PDR} {
		if (b.Lower > 0) != (b.LowerTrial >= 0) || (b.Upper > 0) != (b.UpperTrial >= 0) {
			t.Fatalf("%s bounds without their trials: %+v", name, b)
		}
		if b.Lower > 0 && b.Upper > 0 && b.Lower >= b.Upper {
			t.Fatalf("%s bounds cross: %+v", name, b)
		}
		if b.UpperTrial >= 0 && name == "NDR" && m.log[b.UpperTrial].Clean {
			t.Fatalf("upper bound %+v comes from a clean trial", b)
		}
	}
	if f.PDR.Lower < f.NDR.Lower {
		t.Fatalf("PDR %v below NDR %v", f.PDR.Lower, f.NDR.Lower)
	}
	if f.Status == capacity.Confirmed || f.Status == capacity.AtLeast {
		proof := m.log[f.NDR.LowerTrial]
		if !proof.Clean || proof.length != plan.Confirm {
			t.Fatalf("status %s on the proof %+v", f.Status, proof)
		}
	}
	if f.Status == capacity.Confirmed && f.NDR.Upper == 0 {
		t.Fatalf("confirmed without a failure above: %+v", f)
	}
	for _, tr := range m.log {
		if tr.length == plan.Confirm && !tr.Clean && f.NDR.Lower >= min(tr.target, tr.Offered) && f.Status != capacity.NoCapacity {
			t.Fatalf("long failure %+v at or below the answer %+v", tr, f)
		}
	}
	elapsed := m.clock.Sub(time.Time{})
	if elapsed > plan.Budget+m.overhead {
		t.Fatalf("search took %v of %v", elapsed, plan.Budget)
	}
}

// A sensor with a sharp limit: the answer is within the precision below it.
func TestSearchSharp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &sensorModel{capacity: math.Exp(rapid.Float64Range(math.Log(10), math.Log(8e6)).Draw(t, "log capacity")), overhead: time.Second}
		plan := patient()
		f := m.search(t, plan)
		consistent(t, plan, m, f)
		if f.Status != capacity.Confirmed || f.NDR.Lower > m.capacity || f.NDR.Upper < m.capacity || f.NDR.Upper*(1-plan.Precision) > f.NDR.Lower*(1+1e-9) {
			t.Fatalf("capacity %v: %+v", m.capacity, f)
		}
	})
}

// The default budget is enough for any usual sensor, and for the full
// precision unless doubling alone takes most of it.
func TestSearchInBudget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &sensorModel{capacity: rapid.Float64Range(2000, 600e3).Draw(t, "capacity"), overhead: time.Second}
		plan := capacity.DefaultPlan()
		f := m.search(t, plan)
		consistent(t, plan, m, f)
		precision := plan.Precision
		if m.capacity > 200e3 {
			precision *= 2
		}
		if f.Status != capacity.Confirmed || f.NDR.Upper*(1-precision) > f.NDR.Lower*(1+1e-9) {
			t.Fatalf("capacity %v: %+v", m.capacity, f)
		}
	})
}

// A ring that hides an overload for seconds is found out by the long round.
func TestSearchRing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &sensorModel{
			capacity: rapid.Float64Range(5e3, 1e6).Draw(t, "capacity"),
			overhead: time.Second, watched: rapid.Bool().Draw(t, "watched"),
		}
		m.ring = m.capacity * rapid.Float64Range(0, 10).Draw(t, "seconds of ring")
		plan := patient()
		f := m.search(t, plan)
		consistent(t, plan, m, f)
		hidden := m.capacity + m.ring/plan.Confirm.Seconds()
		if f.Status != capacity.Confirmed || f.NDR.Lower > hidden*1.0001 || f.NDR.Lower < m.capacity*0.9 {
			t.Fatalf("capacity %v, hidden up to %v: %+v", m.capacity, hidden, f)
		}
	})
}

// A sensor that outruns the generator is never given a capacity.
func TestSearchGeneratorLimited(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &sensorModel{generator: rapid.Float64Range(5e3, 2e6).Draw(t, "generator"), overhead: time.Second}
		m.capacity = m.generator * rapid.Float64Range(1, 50).Draw(t, "reserve")
		plan := patient()
		f := m.search(t, plan)
		consistent(t, plan, m, f)
		if f.Status != capacity.AtLeast || f.NDR.Upper != 0 || f.NDR.Lower > m.generator*1.0001 || f.NDR.Lower < m.generator*0.8999 {
			t.Fatalf("generator %v, sensor %v: %+v", m.generator, m.capacity, f)
		}
	})
}

// A generator that is only a little faster than the sensor still finds it.
func TestSearchNearGenerator(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &sensorModel{generator: rapid.Float64Range(5e3, 2e6).Draw(t, "generator"), overhead: time.Second}
		m.capacity = m.generator * rapid.Float64Range(0.3, 0.95).Draw(t, "share")
		f := m.search(t, patient())
		if f.Status != capacity.Confirmed || f.NDR.Lower > m.capacity || f.NDR.Lower < m.capacity*0.9 {
			t.Fatalf("generator %v, sensor %v: %+v", m.generator, m.capacity, f)
		}
	})
}

// Whatever a sensor does, lossy here and clean there, the search ends in its
// time and claims nothing that a trial has not shown.
func TestSearchChaos(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		losses := rapid.SliceOfN(rapid.SampledFrom([]float64{0, 0, 0, 0.0005, 0.003, 0.2, 1}), 400, 400).Draw(t, "losses")
		m := &sensorModel{
			capacity: rapid.Float64Range(1, 1e6).Draw(t, "capacity"), generator: rapid.Float64Range(100, 1e6).Draw(t, "generator"),
			ring: rapid.Float64Range(0, 1e6).Draw(t, "ring"), overhead: time.Second,
			accident: func(n int) float64 { return losses[n%len(losses)] },
		}
		plan := capacity.DefaultPlan()
		consistent(t, plan, m, m.search(t, plan))
	})
}

// Accidents of scheduling, a little loss in one trial of twelve, move the
// answer by no more than the steps of the confirmation in nine of ten runs: a
// long round that lost anything is never explained away.
func TestSearchAccidents(t *testing.T) {
	const runs = 200
	var answers []float64
	for seed := range uint64(runs) {
		random := rand.New(rand.NewPCG(seed, 1))
		m := &sensorModel{capacity: 100e3, overhead: time.Second, accident: func(int) float64 {
			if random.IntN(12) == 0 {
				return 0.002
			}
			return 0
		}}
		answers = append(answers, m.search(t, patient()).NDR.Lower)
	}
	slices.Sort(answers)
	if low := answers[runs/10]; low < 85e3 {
		t.Errorf("a tenth of the answers is below %v of 100000", low)
	}
	if high := answers[runs-1]; high > 100e3 {
		t.Errorf("an answer is %v, above the capacity of 100000", high)
	}
}

func TestSearchHopeless(t *testing.T) {
	m := &sensorModel{capacity: 0.01, overhead: time.Second}
	f := m.search(t, patient())
	if f.Status != capacity.NoCapacity || f.NDR.Lower != 0 {
		t.Errorf("a sensor that takes nothing: %+v", f)
	}
}

// The partial-drop rate lies above the no-drop rate where the loss grows
// slowly.
func TestSearchPartial(t *testing.T) {
	m := &sensorModel{capacity: 100e3, overhead: time.Second}
	loss := func(rate float64) float64 { return max(0, (rate-100e3)/100e6) } // 0.1 % at 200k
	try := func(ctx context.Context, phase capacity.Phase, target float64, length time.Duration) (Observation, error) {
		m.clock = m.clock.Add(length)
		l := loss(target)
		return Observation{Offered: target, Clean: l == 0, Partial: l <= 0.001, Loss: l}, nil
	}
	f, err := New(patient(), m.now, try).Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if f.NDR.Lower < 95e3 || f.NDR.Lower > 100e3 || f.PDR.Lower < 190e3 || f.PDR.Lower > 200e3 {
		t.Errorf("NDR %v, want 100000; PDR %v, want 200000", f.NDR, f.PDR)
	}
}

func TestSearchStopsOnError(t *testing.T) {
	stop := errors.New("stop")
	for at := range 9 {
		m, n := &sensorModel{capacity: 30e3, overhead: time.Second}, 0
		_, err := New(capacity.DefaultPlan(), m.now, func(ctx context.Context, phase capacity.Phase, target float64, length time.Duration) (Observation, error) {
			if n++; n > at {
				return Observation{}, stop
			}
			return m.try(ctx, phase, target, length)
		}).Run(context.Background())
		if !errors.Is(err, stop) || n != at+1 {
			t.Errorf("error in trial %d: got %v after %d trials", at, err, n)
		}
	}
}

// An error while the bound is narrowed ends the search, too.
func TestMoreStopsOnError(t *testing.T) {
	stop := errors.New("stop")
	m, fail := &sensorModel{capacity: 20e3, overhead: time.Second}, false
	plan := capacity.DefaultPlan()
	plan.Start, plan.Budget = 14e3, 75*time.Second
	s := New(plan, m.now, func(ctx context.Context, phase capacity.Phase, target float64, length time.Duration) (Observation, error) {
		if fail {
			return Observation{}, stop
		}
		return m.try(ctx, phase, target, length)
	})
	if _, err := s.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	fail = true
	if f, err := s.More(context.Background(), 5*time.Minute); !errors.Is(err, stop) || f.NDR.Lower != 14e3 {
		t.Errorf("%+v, %v", f, err)
	}
}

// A bound lies between the highest pass below all failures and the lowest
// failure; of passes at one rate, the longest and latest proves it.
func TestBound(t *testing.T) {
	const short, long = 5 * time.Second, time.Minute
	at := func(rate float64, length time.Duration, clean bool) trial {
		return trial{rate, length, Observation{Offered: rate, Clean: clean}}
	}
	for name, tt := range map[string]struct {
		trials []trial
		want   capacity.Bound
	}{
		"nothing":                         {nil, capacity.Bound{LowerTrial: -1, UpperTrial: -1}},
		"a pass":                          {[]trial{at(10, short, true)}, capacity.Bound{Lower: 10, UpperTrial: -1}},
		"a failure":                       {[]trial{at(10, short, false)}, capacity.Bound{Upper: 10, LowerTrial: -1}},
		"a pass at the failing rate":      {[]trial{at(10, short, true), at(10, short, false)}, capacity.Bound{Upper: 10, LowerTrial: -1, UpperTrial: 1}},
		"a pass above a failure":          {[]trial{at(10, short, false), at(20, long, true), at(5, short, true)}, capacity.Bound{Lower: 5, Upper: 10, LowerTrial: 2}},
		"the first of equal failures":     {[]trial{at(10, short, false), at(10, short, false)}, capacity.Bound{Upper: 10, LowerTrial: -1}},
		"the last of equal passes":        {[]trial{at(10, short, true), at(10, short, true)}, capacity.Bound{Lower: 10, LowerTrial: 1, UpperTrial: -1}},
		"the longest of equal passes":     {[]trial{at(10, long, true), at(10, short, true)}, capacity.Bound{Lower: 10, UpperTrial: -1}},
		"a lower pass after a higher":     {[]trial{at(10, short, true), at(5, long, true)}, capacity.Bound{Lower: 10, UpperTrial: -1}},
		"a generator that is too slow":    {[]trial{{20, short, Observation{Offered: 10, Clean: true}}}, capacity.Bound{Lower: 10, UpperTrial: -1}},
		"a generator that is ahead of it": {[]trial{{10, short, Observation{Offered: 11}}}, capacity.Bound{Upper: 10, LowerTrial: -1}},
	} {
		s := New(patient(), time.Now, nil)
		s.trials = tt.trials
		if got := s.bound(s.clean, 0); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
	s := New(patient(), time.Now, nil)
	s.trials = []trial{at(10, short, false), at(5, long, true), at(7, long-1, true)}
	if got, want := s.bound(s.clean, long), (capacity.Bound{Lower: 5, LowerTrial: 1, UpperTrial: -1}); got != want {
		t.Errorf("long trials: %+v, want %+v", got, want)
	}
}

// A rate without loss is within the partial goal too, whatever failed below it.
func TestWiden(t *testing.T) {
	s := New(patient(), time.Now, nil)
	for _, rate := range []float64{10, 20, 30} {
		s.trials = append(s.trials, trial{rate, time.Second, Observation{Offered: rate}})
	}
	ndr := capacity.Bound{Lower: 20, LowerTrial: 7}
	for _, tt := range []struct{ pdr, want capacity.Bound }{
		{capacity.Bound{Lower: 25, Upper: 26}, capacity.Bound{Lower: 25, Upper: 26}},
		{capacity.Bound{Lower: 20, Upper: 26}, capacity.Bound{Lower: 20, Upper: 26}},
		{capacity.Bound{Lower: 5, Upper: 25, UpperTrial: 3}, capacity.Bound{Lower: 20, LowerTrial: 7, Upper: 25, UpperTrial: 3}},
		{capacity.Bound{Lower: 5, Upper: 20}, capacity.Bound{Lower: 20, LowerTrial: 7, Upper: 30, UpperTrial: 2}},
		{capacity.Bound{Lower: 5, Upper: 10}, capacity.Bound{Lower: 20, LowerTrial: 7, Upper: 30, UpperTrial: 2}},
	} {
		if got := s.widen(tt.pdr, ndr); got != tt.want {
			t.Errorf("%+v: %+v, want %+v", tt.pdr, got, tt.want)
		}
	}
}

// ExampleSearch shows the order of a search.
func ExampleSearch() {
	m := &sensorModel{capacity: 5000, overhead: time.Second}
	f, _ := New(capacity.DefaultPlan(), m.now, m.try).Run(context.Background())
	for _, t := range m.log {
		fmt.Printf("%-7s %5.0f/s %3.0f s clean=%v\n", t.phase, t.target, t.length.Seconds(), t.Clean)
	}
	fmt.Printf("%s: no drops at %.0f/s, drops at %.0f/s\n", f.Status, f.NDR.Lower, f.NDR.Upper)
	// Output:
	// ramp     4000/s   5 s clean=true
	// ramp     8000/s   5 s clean=false
	// bisect   5657/s   8 s clean=false
	// bisect   4757/s   8 s clean=true
	// bisect   5187/s   8 s clean=false
	// bisect   4967/s   8 s clean=true
	// confirm  4967/s  60 s clean=true
	// confirmed: no drops at 4967/s, drops at 5187/s
}

// With time for a long pass but none to try higher rates, the search says so,
// and narrows the bound when there is time again.
func TestWideAboveALongPass(t *testing.T) {
	m := &sensorModel{capacity: 20e3, overhead: time.Second}
	plan := capacity.DefaultPlan()
	plan.Start, plan.Budget = 14e3, 75*time.Second
	s := New(plan, m.now, m.try)
	f, err := s.Run(context.Background())
	if err != nil || f.Status != capacity.Confirmed || !s.Wide() {
		t.Fatalf("%+v, %v, wide %v", f, err, s.Wide())
	}
	f, err = s.More(context.Background(), 5*time.Minute)
	if err != nil || s.Wide() || f.NDR.Lower < 18e3 || f.NDR.Lower > 20e3 {
		t.Errorf("with more time %+v, %v, wide %v", f, err, s.Wide())
	}
}
