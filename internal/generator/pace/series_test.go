package pace

import (
	"maps"
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

// A timed action is due at its time, whatever comes before and between.
func TestSeriesTimed(t *testing.T) {
	s := NewSeries([]float64{5, 0, 30}, [][]float64{nil, {0, 0.3, 0.3}, {0.5, 0.99}}, 100*time.Millisecond) // half an action and 3 more
	timed := map[time.Duration]int{}
	var last time.Duration
	for n := range uint64(34) { // of four rounds
		p, due := s.Place(n), s.Due(n).Round(time.Microsecond)
		if due < last {
			t.Errorf("action %d is due after %v, the one before after %v", n, due, last)
		}
		last = due
		if p.Timed >= 0 {
			timed[due/time.Millisecond]++
		}
	}
	want := map[time.Duration]int{}
	for round := range time.Duration(4) {
		for _, at := range []time.Duration{100, 130, 130, 250, 299} {
			want[300*round+at]++
		}
	}
	if !maps.Equal(timed, want) {
		t.Errorf("timed after %v ms, want %v", timed, want)
	}
}

func sorted(list []float64) []float64 {
	slices.Sort(list)
	return list
}

// The actions due before a time are those planned by it.
func TestSeriesPlanned(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rates := rapid.SliceOfN(rapid.Map(rapid.IntRange(0, 50_000), func(n int) float64 { return float64(n) / 10 }), 1, 8).Draw(t, "rates")
		rates[0] += 10
		timed := rapid.SliceOfN(rapid.Map(rapid.SliceOfN(rapid.Float64Range(0, 0.999), 0, 20), sorted), len(rates), len(rates)).Draw(t, "timed")
		s := NewSeries(rates, timed, 100*time.Millisecond)
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
