package bench

import (
	"math"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensorstats"
)

// TestLimitedAt has the method document's slow example: rounds 12 to 14, each
// with half the sleep of the one before.
func TestLimitedAt(t *testing.T) {
	for _, tt := range []struct {
		name             string
		offered, targets []float64
		want             int
	}{
		{"the document's", []float64{1017.4, 1072.2, 968.4}, nil, 2},
		{"its growing rounds", []float64{8674.2, 10177.2}, nil, -1},
		{"one slow round", []float64{1000, 1050, 2000}, nil, -1},
		{"target not doubled", []float64{1000, 1050, 1100}, []float64{1000, 1050, 1100}, -1},
		{"none", nil, nil, -1},
	} {
		if got := LimitedAt(tt.offered, tt.targets); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestSlowAction(t *testing.T) {
	cost := func(us ...float64) (list []ActionResult) {
		for i, c := range us {
			list = append(list, ActionResult{Name: "syscall." + string(rune('A'+i)), CostMean: c * 1000})
		}
		return list
	}
	for _, tt := range []struct {
		name    string
		actions []ActionResult
		want    string
		without float64
	}{
		{"disk", cost(10, 900, 30), "syscall.B", 50_000},
		{"more than three times the median", cost(10, 10, 10, 10, 35), "syscall.E", 100_000},
		{"even", cost(10, 12, 9), "", 0},
		{"alone", cost(1000), "", 0},
		{"not run", cost(0, 0), "", 0},
	} {
		got := SlowAction(tt.actions)
		switch {
		case tt.want == "" && got != nil, tt.want != "" && (got == nil || got.Name != tt.want || math.Abs(got.Without-tt.without) > 1):
			t.Errorf("%s: %+v, want %s and %.0f actions/s without", tt.name, got, tt.want, tt.without)
		}
		if got != nil && strings.Contains(got.Others, got.Name[8:]) {
			t.Errorf("%s: %q still holds the culprit", tt.name, got.Others)
		}
	}
}

// TestLossWithoutDrops has the method document's round 14: the kernel dropped
// nothing, and yet 1.7 % of the alerts are missing. By drops it is clean, by a
// goal of 0.1 % it is not, and the difference must be said.
func TestLossWithoutDrops(t *testing.T) {
	r := Round{Queue: Queue{Stable: true}, Sensor: &SensorStats{Events: 1_825_000},
		Total: Score{OK: 43371, Matched: 42651, Lost: 720}, Loss: newLoss(720, 43371)}
	for text, want := range map[string]bool{"drops>0": false, "lost>0.1%": true, "lost>1.7%": false} {
		c, err := ParseCondition(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, holds, known := c.Eval(&r); holds != want || !known {
			t.Errorf("%s: %v, %v", text, holds, known)
		}
	}
	if found := diagnose(&r); len(found) != 1 || !strings.Contains(found[0].Text, "720 of 43371 alerts never came although the sensor reports no drops") {
		t.Errorf("%+v", found)
	}
}

func TestGrown(t *testing.T) {
	c := Ceiling{Actions: []CeilingCost{{"a.Disk", 10_000}, {"a.Quick", 1000}, {"a.Unmeasured", 0}}}
	r := Round{Flags: []Flag{GeneratorLimited}, Actions: []ActionResult{{Name: "a.Disk", CostMean: 25_000}, {Name: "a.Quick", CostMean: 1900}, {Name: "a.Unmeasured", CostMean: 5}}}
	found := c.Grown(&r)
	if len(found) != 1 || found[0].Text != "a.Disk takes 25 us under this load, 10 us alone: it contends for CPU or disk" {
		t.Errorf("%+v", found)
	}
	r.Flags = nil
	if found := c.Grown(&r); found != nil {
		t.Errorf("%+v of a round that reached its rate", found)
	}
	if (&Ceiling{Rate: 1000}).Workers(100) != 1 || (&Ceiling{}).Workers(100) != 1 {
		t.Error("more than one worker for a tenth of the ceiling")
	}
}

func TestDiagnosis(t *testing.T) {
	stable := Queue{Stable: true}
	for _, tt := range []struct {
		name  string
		round Round
		want  []string // codes, in order
		text  string
	}{
		{"clean", Round{Queue: stable, Sensor: &SensorStats{}}, nil, ""},
		{"ring too small", Round{Queue: stable, Total: Score{OK: 100, Lost: 7}, Sensor: &SensorStats{Drops: 50, Events: 1000, DropPercent: 5, ByCause: sensorstats.Causes{Buffer: 50}}},
			[]string{"kernel_drops", "lost"}, "dropped 50 of 1000 events (5.00 %) (ring full 50)"},
		{"throttle", Round{Queue: stable, Total: Score{OK: 100, Lost: 7}, Flags: []Flag{Throttled}, Sensor: &SensorStats{Throttled: 7}},
			[]string{"throttled", "lost"}, "rate limit withheld 7"},
		{"silent loss", Round{Queue: stable, Total: Score{OK: 100, Lost: 7}, Sensor: &SensorStats{}}, []string{"lost"}, "although the sensor reports no drops"},
		{"no stats", Round{Queue: stable, Total: Score{OK: 100, Lost: 7}}, []string{"lost"}, "cannot be said where"},
		{"late", Round{Queue: stable, Total: Score{OK: 100, Late: 7}}, []string{"late"}, "late, not lost"},
		{"slow action", Round{Queue: stable, Flags: []Flag{GeneratorLimited}, Rate: Rate{Target: 5000, Offered: 1000},
			Actions: []ActionResult{{Name: "syscall.Slow", CostMean: 9e5}, {Name: "syscall.Quick", CostMean: 1e5}}},
			[]string{"generator_limited", "slow_action"}, `syscall.Slow takes 90 % of the generator's time; without it one worker could do up to 10000 actions/s: use "Quick"`},
		{"full disk", Round{Queue: stable, Total: Score{Failed: 3}, Actions: []ActionResult{{Errnos: map[string]uint64{"ENOSPC": 3}}}}, []string{"actions_failed"}, "ENOSPC 3"},
		{"restart", Round{Queue: stable, Flags: []Flag{SensorRestarted}}, []string{"sensor_restarted"}, "began again at 0"},
		{"gap", Round{Queue: stable, Flags: []Flag{SampleGap}, Sensor: &SensorStats{Missed: 3}}, []string{"sample_gap"}, "3 samples"},
		{"backlog", Round{}, []string{"backlog"}, "pile up"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var codes, texts []string
			for _, f := range diagnose(&tt.round) {
				codes, texts = append(codes, f.Code), append(texts, f.Text)
			}
			if strings.Join(codes, " ") != strings.Join(tt.want, " ") || !strings.Contains(strings.Join(texts, "\n"), tt.text) {
				t.Errorf("codes %v, want %v; text %q, want %q", codes, tt.want, texts, tt.text)
			}
		})
	}
}

// Alerts that cannot be attributed or cannot be read are reported.
func TestAmbiguousAndUnreadable(t *testing.T) {
	for _, tt := range []struct {
		lost, foreign int
		ambiguous     bool
	}{{0, 50, false}, {20, 1, false}, {20, 2, true}, {5000, 499, false}, {5000, 5000, true}} {
		r := Round{Total: Score{Lost: tt.lost}, Alerts: AlertCounts{Foreign: tt.foreign}}
		if got := ambiguous(&r); got != tt.ambiguous {
			t.Errorf("%d lost beside %d of others: ambiguous %v", tt.lost, tt.foreign, got)
		}
	}
	r := Round{Flags: []Flag{Ambiguous, Unreadable}, Total: Score{Lost: 9}, Alerts: AlertCounts{Foreign: 10, Malformed: 3, MalformedError: "no \"rule\"\x1b[2J"}}
	text := ""
	for _, f := range diagnose(&r) {
		text += f.Text + "\n"
	}
	for _, want := range []string{"other processes raised 10 alerts of the same rules while 9 expected alerts are missing", `3 lines or messages that arrived are no alerts: no "rule".[2J`} {
		if !strings.Contains(text, want) {
			t.Errorf("findings %q lack %q", text, want)
		}
	}
}
