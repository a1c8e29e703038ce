package pace

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestSeries(t *testing.T) {
	s := NewSeries([]float64{10, 0, 40}, nil, 100*time.Millisecond) // 1, 0 and 4 actions
	var due []time.Duration
	for n := range uint64(7) {
		due = append(due, s.Due(n))
	}
	want := []time.Duration{0, 200, 225, 250, 275, 300, 500}
	for i, d := range due {
		if d.Round(time.Microsecond) != want[i]*time.Millisecond {
			t.Errorf("action %d is due at %v, want %v ms", i, d, want[i])
		}
	}
	if wait, stop := s.Pace(225*time.Millisecond, 1); stop || wait.Round(time.Microsecond) != -25*time.Millisecond {
		t.Errorf("25 ms late, action 1 is due in %v, stop %v", wait, stop)
	}
	for at, want := range map[time.Duration]int{0: 0, 99: 0, 100: 1, 250: 2, 300: 0, 699: 0, 700: 1} {
		if got := s.Step(at * time.Millisecond); got != want {
			t.Errorf("step %d at %v ms, want %d", got, at, want)
		}
	}
	for _, bad := range []Series{{}, {Each: 1}, NewSeries([]float64{0}, nil, time.Second), NewSeries([]float64{-1, 5}, nil, time.Second), NewSeries([]float64{1e10}, nil, time.Second)} {
		if Check(bad) == nil {
			t.Errorf("%+v passes", bad)
		}
	}
	if got := Scale(s, 2).(Series).Due(10); got.Round(time.Microsecond) != 300*time.Millisecond {
		t.Errorf("at twice the rate, action 10 is due at %v", got)
	}
}

// A burst is due at once, at the start of its step, whatever comes before.
func TestSeriesBursts(t *testing.T) {
	s := NewSeries([]float64{5, 0, 10}, []float64{0, 3, 1}, 100*time.Millisecond) // half an action, 3, 1 and 1
	var due []time.Duration
	for n := range uint64(11) {
		due = append(due, s.Due(n).Round(time.Microsecond)/time.Millisecond)
	}
	// One more in the second round, as half of one was left.
	if want := []time.Duration{0, 100, 100, 100, 200, 250, 400, 400, 400, 500, 500}; !slices.Equal(due[:5], want[:5]) {
		t.Errorf("due after %d ms, want %d", due, want)
	}
	at := map[time.Duration]int{}
	for _, d := range due {
		at[d]++
	}
	if at[100] != 3 || at[400] != 3 {
		t.Errorf("due after %d ms: want 3 each after 100 and 400", due)
	}
}

// The actions due before a time are those planned by it.
func TestSeriesPlanned(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rates := rapid.SliceOfN(rapid.Map(rapid.IntRange(0, 50_000), func(n int) float64 { return float64(n) / 10 }), 1, 8).Draw(t, "rates")
		rates[0] += 10
		bursts := rapid.SliceOfN(rapid.Map(rapid.IntRange(0, 50), func(n int) float64 { return float64(n) }), len(rates), len(rates)).Draw(t, "bursts")
		s := NewSeries(rates, bursts, 100*time.Millisecond)
		if err := Check(s); err != nil {
			t.Fatal(err)
		}
		n := rapid.Uint64Range(0, 100_000).Draw(t, "n")
		due := s.Due(n)
		if next := s.Due(n + 1); next < due {
			t.Fatalf("action %d is due at %v, the one after at %v", n, due, next)
		}
		if before := s.Planned(due - time.Millisecond); before > n {
			t.Fatalf("%d planned before action %d is due at %v", before, n, due)
		}
		if after := s.Planned(due + time.Millisecond); after < n+1 {
			t.Fatalf("%d planned after action %d is due at %v", after, n, due)
		}
	})
}
