package compare

import (
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/bench/report"
)

func round(n int, target, lower, upper float64, flags ...bench.Flag) bench.Round {
	return bench.Round{Number: n, Rate: bench.Rate{Target: target}, Flags: flags, Loss: bench.Loss{Of: 5000, Lower: lower, Upper: upper}}
}

func TestRuns(t *testing.T) {
	clean := round(1, 5000, 0, 0.0006)
	for _, tt := range []struct {
		name string
		a, b []bench.Round
		want Change
	}{
		{"alike", []bench.Round{clean}, []bench.Round{clean}, Same},
		{"loses more", []bench.Round{clean}, []bench.Round{round(1, 5000, 0.01, 0.02)}, Worse},
		{"loses less", []bench.Round{round(1, 5000, 0.01, 0.02)}, []bench.Round{clean}, Better},
		{"intervals overlap", []bench.Round{clean}, []bench.Round{round(1, 5000, 0.0001, 0.02)}, Same},
		{"the worst row counts", []bench.Round{clean, round(2, 1e4, 0, 0.1)}, []bench.Round{round(1, 5000, 0.01, 0.02), round(2, 1e4, 0, 0.1)}, Worse},
		{"the host was busy", []bench.Round{clean}, []bench.Round{round(1, 5000, 0.01, 0.02, bench.HostBusy)}, Inconclusive},
		{"the generator was the limit", []bench.Round{round(1, 5000, 0, 0.1, bench.GeneratorLimited)}, []bench.Round{clean}, Inconclusive},
		{"nothing was done", []bench.Round{clean}, []bench.Round{{Rate: bench.Rate{Target: 5000}}}, Inconclusive},
		{"a load is repeated", []bench.Round{clean, round(2, 5000, 0, 0.001)}, []bench.Round{clean, round(2, 5000, 0.1, 0.2)}, Worse},
	} {
		c, err := Runs(&report.Run{Rounds: tt.a}, &report.Run{Rounds: tt.b})
		if err != nil || c.Change != tt.want {
			t.Errorf("%s: %s, %v, want %s", tt.name, c.Change, err, tt.want)
		}
		if (c.Change == Inconclusive) != strings.Contains(c.Rows[0].Why, "round") {
			t.Errorf("%s: why %q", tt.name, c.Rows[0].Why)
		}
	}
	if _, err := Runs(&report.Run{Rounds: []bench.Round{clean}}, &report.Run{Rounds: []bench.Round{round(1, 6000, 0, 0)}}); err == nil {
		t.Error("other loads are compared")
	}
}
