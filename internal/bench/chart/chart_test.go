package chart

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/bench/match"
	"github.com/peregrine-sec/peregrine/internal/bench/usage"
	"github.com/peregrine-sec/peregrine/internal/page"
	"github.com/peregrine-sec/peregrine/internal/sensorstats"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// The second round has less load, and no more than its time and rate.
func rounds() []Drawn {
	first := &bench.Round{Start: 10e9, End: 12e9, Latency: match.Quantiles{Count: 5, P50: 1e6, P99: 2e6, P999: 3e6}, LatencyCurve: []int64{1e6, 2e6, 4e6},
		Usage: &usage.Window{CPU: 0.5, RSSPeak: 3 << 20, CgroupPeak: 5 << 20},
		Samples: []sensorstats.Sample{{Time: 11e9, Elapsed: 5e8, Delta: sensorstats.Counters{Events: 50, Drops: 1}},
			{Time: 11e9, Elapsed: 5e8}, {Time: 12e9}, {Time: 13e9, Elapsed: 1e9, Delta: sensorstats.Counters{Events: 7}}}}
	return []Drawn{{Round: first, Offered: 100, Loss: 0.25}, {Round: &bench.Round{Start: 20e9, End: 22e9}, Offered: 50, Clean: true}}
}

func TestOf(t *testing.T) {
	all := rounds()
	got := map[string]page.Chart{}
	for _, c := range Of(all, Options{Suffix: "-7", CPU: 2, Latencies: []Named{{"a", all[0].Round}, {"b", all[1].Round}}}) {
		got[c.ID] = c
	}
	none := math.NaN()
	for id, want := range map[string]struct{ x, first, last page.Values }{
		"time-7":        {page.Values{1, 3, 3.001, 10.001}, page.Values{100, none, none, none}, page.Values{2, 0, none, none}},
		"loss-7":        {page.Values{50, 100}, page.Values{0, 25}, page.Values{0, 25}},
		"latency-7":     {page.Values{50, 100}, page.Values{none, 1}, page.Values{none, 3}},
		"percentiles-7": {page.Values{1, math.Exp2(0.25), math.Exp2(0.5)}, page.Values{1, 2, 4}, page.Values{none, none, none}},
		"cpu-7":         {page.Values{1, 11}, page.Values{0.5, none}, page.Values{0.5, none}},
		"memory-7":      {page.Values{1, 11}, page.Values{3, none}, page.Values{3, none}},
	} {
		c := got[id]
		if len(c.Lines) == 0 {
			t.Errorf("%s: not drawn", id)
			continue
		}
		text := func(v ...page.Values) string {
			for _, values := range v {
				for i, x := range values {
					values[i] = math.Round(x*1e6) / 1e6
				}
			}
			b, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		if diff := cmp.Diff(text(want.x, want.first, want.last), text(c.X.Values, c.Lines[0].Values, c.Lines[len(c.Lines)-1].Values)); diff != "" {
			t.Errorf("%s: %s", id, diff)
		}
	}
	limited := Of(all, Options{Memory: 8 << 20})[5]
	if limited.Lines[0].Values[0] != 5 || len(limited.Marks) != 1 || *limited.Marks[0].Y != 8 {
		t.Errorf("with a limit: %+v", limited)
	}
	if diff := cmp.Diff([]page.Span{{From: 0, To: 2}, {From: 10, To: 12, Good: true}}, got["time-7"].Spans); diff != "" {
		t.Error(diff)
	}
	if m := got["cpu-7"].Marks; len(m) != 1 || *m[0].Y != 2 || got["memory-7"].Marks != nil {
		t.Errorf("limits %v, %v", m, got["memory-7"].Marks)
	}
}

// A missing measurement gives an empty chart, and no rounds give no charts.
func TestNothing(t *testing.T) {
	for _, c := range Of(rounds()[1:], Options{}) {
		if c.ID != "loss" && len(c.X.Values) > 0 {
			t.Errorf("%s has points", c.ID)
		}
	}
	if Of(nil, Options{}) != nil {
		t.Error("charts of no rounds")
	}
}
