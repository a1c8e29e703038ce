package compare

import (
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/bench/report"
	"github.com/peregrine-sec/peregrine/internal/sample"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

func round(n int, target, lower, upper float64, flags ...bench.Flag) bench.Round {
	return bench.Round{Number: n, Rate: bench.Rate{Target: target}, Flags: flags, Loss: bench.Loss{Of: 5000, Lower: lower, Upper: upper}}
}

// of is a clean round of some actions.
func of(action string, n int, more ...string) bench.Round {
	r := round(n, 5000, 0, 0.0006)
	for _, name := range append([]string{action}, more...) {
		r.Actions = append(r.Actions, bench.ActionResult{Name: name})
	}
	return r
}

// Each round that only one of the runs has is noted, and one that B lacks may
// be the one in which B loses.
func TestUnpaired(t *testing.T) {
	clean, high := round(1, 5000, 0, 0.0006), round(2, 1e4, 0, 0.0006)
	for _, tt := range []struct {
		name  string
		a, b  []bench.Round
		want  sample.Change
		notes []string
	}{
		{"B lacks one", []bench.Round{clean, high}, []bench.Round{clean}, sample.Unsure, []string{"B has no round of 10000 actions/s"}},
		{"B lacks one and loses", []bench.Round{clean, high}, []bench.Round{round(1, 5000, 0.01, 0.02)}, sample.Worse, []string{"B has no round of 10000 actions/s"}},
		{"B has more", []bench.Round{clean}, []bench.Round{clean, high, high}, sample.Same, []string{"A has no round of 10000 actions/s", "A has no round of 10000 actions/s"}},
		{"B has other actions too", []bench.Round{clean}, []bench.Round{of("open", 1), clean}, sample.Same, []string{"with the actions open"}},
	} {
		c, err := Runs(&report.Run{Rounds: tt.a}, &report.Run{Rounds: tt.b})
		if err != nil || c.Change != tt.want || len(c.Notes) != len(tt.notes) {
			t.Errorf("%s: %s, %v, notes %q", tt.name, c.Change, err, c.Notes)
			continue
		}
		for i, note := range tt.notes {
			if !strings.Contains(c.Notes[i], note) {
				t.Errorf("%s: note %q, want %q", tt.name, c.Notes[i], note)
			}
		}
	}
}

func TestRuns(t *testing.T) {
	clean := round(1, 5000, 0, 0.0006)
	for _, tt := range []struct {
		name string
		a, b []bench.Round
		want sample.Change
	}{
		{"alike", []bench.Round{clean}, []bench.Round{clean}, sample.Same},
		{"loses more", []bench.Round{clean}, []bench.Round{round(1, 5000, 0.01, 0.02)}, sample.Worse},
		{"loses less", []bench.Round{round(1, 5000, 0.01, 0.02)}, []bench.Round{clean}, sample.Better},
		{"intervals overlap", []bench.Round{clean}, []bench.Round{round(1, 5000, 0.0001, 0.02)}, sample.Same},
		{"the worst row counts", []bench.Round{clean, round(2, 1e4, 0, 0.1)}, []bench.Round{round(1, 5000, 0.01, 0.02), round(2, 1e4, 0, 0.1)}, sample.Worse},
		{"the host was busy", []bench.Round{clean}, []bench.Round{round(1, 5000, 0.01, 0.02, bench.HostBusy)}, sample.Unsure},
		{"the generator was the limit", []bench.Round{round(1, 5000, 0, 0.1, bench.GeneratorLimited)}, []bench.Round{clean}, sample.Unsure},
		{"nothing was done", []bench.Round{clean}, []bench.Round{{Rate: bench.Rate{Target: 5000}}}, sample.Unsure},
		{"a load is repeated", []bench.Round{clean, round(2, 5000, 0, 0.001)}, []bench.Round{clean, round(2, 5000, 0.1, 0.2)}, sample.Worse},
	} {
		c, err := Runs(&report.Run{Rounds: tt.a}, &report.Run{Rounds: tt.b})
		if err != nil || c.Change != tt.want {
			t.Errorf("%s: %s, %v, want %s", tt.name, c.Change, err, tt.want)
		}
		if (c.Change == sample.Unsure) != strings.Contains(c.Rows[0].Why, "round") {
			t.Errorf("%s: why %q", tt.name, c.Rows[0].Why)
		}
	}
	if c, err := Runs(&report.Run{Rounds: []bench.Round{of("open", 1)}}, &report.Run{Rounds: []bench.Round{of("fork", 1)}}); err == nil || !strings.Contains(err.Error(), "the same actions") {
		t.Errorf("other actions are compared: %+v, %v", c, err)
	}
	if c, err := Runs(&report.Run{Rounds: []bench.Round{of("a", 1, "b")}}, &report.Run{Rounds: []bench.Round{of("b", 1, "a")}}); err != nil || c.Change != sample.Same {
		t.Errorf("the same actions in another order: %+v, %v", c, err)
	}
	if _, err := Runs(&report.Run{Rounds: []bench.Round{clean}}, &report.Run{Rounds: []bench.Round{round(1, 6000, 0, 0)}}); err == nil {
		t.Error("other loads are compared")
	}
}
