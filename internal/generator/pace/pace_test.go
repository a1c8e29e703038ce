package pace

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestPace(t *testing.T) {
	for _, test := range []struct {
		name    string
		pacer   Pacer
		elapsed time.Duration
		n       uint64
		wait    time.Duration
		stop    bool
	}{
		{"the first is due at once", Constant{100}, 0, 0, 0, false},
		{"the second after one period", Constant{100}, 0, 1, 10 * time.Millisecond, false},
		{"part of the period has passed", Constant{100}, 4 * time.Millisecond, 1, 6 * time.Millisecond, false},
		{"overdue is negative", Constant{100}, 50 * time.Millisecond, 1, -40 * time.Millisecond, false},
		{"a third of a second is rounded once, not added up", Constant{3}, 0, 3_000_000, 1_000_000 * time.Second, false},
		{"less than one per second", Constant{0.5}, 0, 1, 2 * time.Second, false},
		{"beyond the end of time", Constant{1e-9}, 0, 1 << 40, math.MaxInt64 / 2, false},
		{"a flat ramp is constant", Ramp{10, 10, time.Second}, 0, 5, 500 * time.Millisecond, false},
		{"a ramp from nothing: n = t²/2", Ramp{0, 1, 4 * time.Second}, 0, 2, 4 * time.Second, true},
		{"a ramp ends", Ramp{10, 10, time.Second}, 0, 10, 0, true},
		{"a ramp upwards", Ramp{0, 200, 2 * time.Second}, 0, 50, time.Second, false},
		{"a ramp downwards", Ramp{200, 0, 2 * time.Second}, 0, 150, time.Second, false},
		{"steps: in the first", Steps{[]float64{10, 100}, time.Second}, 0, 9, 900 * time.Millisecond, false},
		{"steps: start of the second", Steps{[]float64{10, 100}, time.Second}, 0, 10, time.Second, false},
		{"steps: in the second, late", Steps{[]float64{10, 100}, time.Second}, 2 * time.Second, 20, -900 * time.Millisecond, false},
		{"steps end", Steps{[]float64{10, 100}, time.Second}, 0, 110, 0, true},
		{"sleep does not look back", Sleep{time.Second}, time.Hour, 7, time.Second, false},
		{"no sleep", Sleep{}, time.Hour, 7, 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			wait, stop := test.pacer.Pace(test.elapsed, test.n)
			if stop != test.stop || !stop && wait != test.wait {
				t.Errorf("got %v, %v, want %v, %v", wait, stop, test.wait, test.stop)
			}
		})
	}
}

// openLoops draws pacers of all kinds.
func openLoops(t *rapid.T) OpenLoop {
	rate := rapid.Float64Range(0.5, 50_000)
	length := time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(time.Minute)).Draw(t, "length"))
	switch rapid.IntRange(0, 2).Draw(t, "kind") {
	case 0:
		return Constant{rate.Draw(t, "rate")}
	case 1:
		return Ramp{rate.Draw(t, "from"), rate.Draw(t, "to"), length}
	}
	return Steps{rapid.SliceOfN(rate, 1, 5).Draw(t, "rates"), length}
}

// The schedule does not depend on when it is asked, never goes back, and says
// of each time how many are due before it.
func TestOpenLoopLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := openLoops(t)
		n := rapid.Uint64Range(0, 1_000_000).Draw(t, "n")
		elapsed := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "elapsed"))
		due, stop := p.Pace(0, n)
		wait, stopLater := p.Pace(elapsed, n)
		if stop != stopLater || !stop && elapsed+wait != due {
			t.Fatalf("due at %v, but at %v when asked after %v", due, elapsed+wait, elapsed)
		}
		if stop {
			return
		}
		if before, _ := p.Pace(0, max(n, 1)-1); before > due {
			t.Fatalf("action %d is due at %v, the one before at %v", n, due, before)
		}
		const rounding = 2 // ns, times a rate of at most 50,000: less than one action
		if planned := p.Planned(due - rounding); planned > n {
			t.Fatalf("action %d is due at %v, but %d are planned before", n, due, planned)
		}
		if planned := p.Planned(due + rounding); planned < n+1 && due+rounding < endOf(p) {
			t.Fatalf("action %d is due at %v, but only %d are planned until then", n, due, planned)
		}
	})
}

func endOf(p OpenLoop) time.Duration {
	switch p := p.(type) {
	case Ramp:
		return p.For
	case Steps:
		return p.Each * time.Duration(len(p.Rates))
	}
	return math.MaxInt64
}

func TestTheFirstActionOfASlowRampIsPlanned(t *testing.T) {
	for _, p := range []OpenLoop{Ramp{0.5, 0.5, time.Millisecond}, Constant{0.5}} {
		if got := p.Planned(2 * time.Nanosecond); got != 1 {
			t.Errorf("%v plans %d within 2ns, want its first", p, got)
		}
	}
}

// A ramp from nothing has an area of half its end: five actions here, of which
// the first is due at once.
func TestRampFromNothing(t *testing.T) {
	r := Ramp{0, 10, time.Second}
	for at, want := range map[time.Duration]uint64{1: 1, 500: 2, 1000: 5, 2000: 5} {
		if got := r.Planned(at * time.Millisecond); got != want {
			t.Errorf("%d actions planned within %d ms, want %d", got, at, want)
		}
	}
	for n, want := range map[uint64]time.Duration{0: 0, 1: 447, 4: 894} {
		if wait, stop := r.Pace(0, n); stop || wait.Round(time.Millisecond) != want*time.Millisecond {
			t.Errorf("action %d is due at %v, stop %v, want %d ms", n, wait, stop, want)
		}
	}
	if _, stop := r.Pace(0, 5); !stop {
		t.Error("a sixth action")
	}
}

// Nothing is due before the start.
func TestNothingIsPlannedBeforeTheStart(t *testing.T) {
	for _, p := range []OpenLoop{Constant{10}, Ramp{1, 10, time.Second}, Steps{[]float64{1, 2}, time.Second}, NewSeries([]float64{1, 2}, nil, time.Second)} {
		if got := p.Planned(-time.Second); got != 0 {
			t.Errorf("%v plans %d actions before it starts", p, got)
		}
	}
}

func TestScaleKeepsTheSum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := openLoops(t)
		share := rapid.Float64Range(0.1, 0.9).Draw(t, "share")
		at := min(endOf(p), time.Minute)
		a, okA := Scale(p, share).(OpenLoop)
		b, okB := Scale(p, 1-share).(OpenLoop)
		if !okA || !okB {
			t.Fatal("a scaled open loop is not an open loop")
		}
		whole, parts := float64(p.Planned(at)), float64(a.Planned(at)+b.Planned(at))
		if math.Abs(whole-parts) > 6 { // each step of each part rounds up
			t.Fatalf("%v and %v of it plan %v and %v", p, share, whole, parts)
		}
	})
}

func TestCheck(t *testing.T) {
	good := []Pacer{Constant{1}, Ramp{0, 5, time.Second}, Steps{[]float64{1, 2}, time.Second}, Sleep{}, Sleep{time.Second}}
	for _, p := range good {
		if err := Check(p); err != nil {
			t.Errorf("%#v: %v", p, err)
		}
	}
	bad := []Pacer{Constant{0}, Constant{-1}, Constant{math.NaN()}, Constant{math.Inf(1)}, Constant{2e9}, Ramp{0, 0, time.Second},
		Ramp{1, 2, 0}, Ramp{-1, 2, time.Second}, Steps{nil, time.Second}, Steps{[]float64{1, 0}, time.Second}, Steps{[]float64{1}, 0}, Sleep{-1}}
	for _, p := range bad {
		if Check(p) == nil {
			t.Errorf("%#v: no error", p)
		}
	}
}
