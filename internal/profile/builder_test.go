package profile

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// wave makes windows in which opens come in bursts of a second.
func wave(windows int) *Builder {
	b := NewBuilder()
	for i := range windows {
		opens := 10.0
		if i/10%2 == 1 {
			opens = 90
		}
		b.Add([]Count{
			{Syscall: "openat", Calls: opens},
			{Syscall: "openat", Failed: true, Calls: 10},
			{Syscall: "recvfrom", Container: true, Calls: 20},
		})
	}
	return b
}

func TestBuilder(t *testing.T) {
	p := wave(200).Profile()
	if p.Seconds != 20 || p.Rate != 800 || p.Failed != 0.125 {
		t.Errorf("%g s, %g/s, %g failed", p.Seconds, p.Rate, p.Failed)
	}
	second := Spread{P50: 400, P99: 1200, Max: 1200, Correlation: -0.95}
	if diff := cmp.Diff(second, p.Bursts.Second, cmp.Comparer(within1percent)); diff != "" {
		t.Error(diff)
	}
	tenth := Spread{P50: 400, P99: 1200, Max: 1200, Correlation: 0.805}
	if diff := cmp.Diff(tenth, p.Bursts.Tenth, cmp.Comparer(within1percent)); diff != "" {
		t.Error(diff)
	}
	if len(p.Syscalls) != 2 || p.Syscalls[0].Name != "openat" {
		t.Fatalf("%+v", p.Syscalls)
	}
	if diff := cmp.Diff(Calls{Rate: 600, Failed: 0.16667}, p.Syscalls[0].Host); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Calls{Rate: 200}, p.Syscalls[1].Container); diff != "" {
		t.Error(diff)
	}
	if n := len(p.Shape.Strands); n != 2 || p.Shape.Windows() != 200 || p.Shape.Strands[1].Counts[7] != 20 {
		t.Errorf("%d strands of %d windows", n, p.Shape.Windows())
	}
	if p.Containers() != 0.25 {
		t.Errorf("%g in containers", p.Containers())
	}
}

func within1percent(a, b float64) bool { return math.Abs(a-b) <= 0.011*max(math.Abs(a), math.Abs(b)) }

// A syscall that comes late has had windows without a call.
func TestLateSyscall(t *testing.T) {
	b := NewBuilder()
	for i := range 40 {
		var counts []Count
		if i >= 30 {
			counts = []Count{{Syscall: "mmap", Calls: 5}}
		}
		b.Add(counts)
	}
	s := b.Profile().Syscalls[0]
	if s.Rate() != 12.5 || s.Bursts.Tenth.P50 != 0 || s.Bursts.Tenth.Max != 50 || s.Bursts.Second.Max != 50 || s.Bursts.Second.P50 != 0 {
		t.Errorf("%+v", s)
	}
	if c := s.Bursts.Tenth.Correlation; c < 0.8 || c > 1 {
		t.Errorf("correlation %g of one long burst", c)
	}
}

// The correlation computed on the fly is that of the definition.
func TestCorrelation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.SliceOfN(rapid.IntRange(0, 1000), 3, 50).Draw(t, "calls")
		skipped := rapid.IntRange(0, 5).Draw(t, "skipped")
		d := newDistribution(1)
		d.skip(skipped)
		all := make([]float64, skipped)
		for _, n := range x {
			d.add(float64(n))
			all = append(all, float64(n))
		}
		var mean, variance, covariance float64
		for _, n := range all {
			mean += n / float64(len(all))
		}
		for i, n := range all {
			variance += (n - mean) * (n - mean)
			if i > 0 {
				covariance += (n - mean) * (all[i-1] - mean)
			}
		}
		want := 0.0
		if variance > 0 {
			want = covariance / variance
		}
		if got := d.correlation(); math.Abs(got-want) > 1e-6 {
			t.Fatalf("%g, want %g", got, want)
		}
	})
}

// Nothing is an empty profile, not a division by zero.
func TestNothing(t *testing.T) {
	if p := NewBuilder().Profile(); p.Rate != 0 || p.Containers() != 0 || len(p.Shape.Totals()) != 0 {
		t.Errorf("%+v", p)
	}
}
