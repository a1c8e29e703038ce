package bench

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/peregrine-sec/peregrine/internal/bench/match"
	"github.com/peregrine-sec/peregrine/internal/bench/usage"
)

func TestParseRates(t *testing.T) {
	for _, tt := range []struct {
		text string
		want []float64
		err  string
	}{
		{"500", []float64{500}, ""},
		{"1k, 2.5k,1M", []float64{1000, 2500, 1e6}, ""},
		{"ramp 1k..10k x2", []float64{1000, 2000, 4000, 8000, 10000}, ""},
		{"ramp 1k..8k x2", []float64{1000, 2000, 4000, 8000}, ""},
		{"ramp 100..300 +100", []float64{100, 200, 300}, ""},
		{"ramp 5..5 x2", []float64{5}, ""},
		{"ramp 1k..50k", nil, "expected FROM..TO"},
		{"ramp 1k..50k x1", nil, "expected FROM..TO"},
		{"ramp 5k..1k x2", nil, "TO above FROM"},
		{"ramp 1..1M +1", nil, "more than 1000 rounds"},
		{"fast", nil, "expected a number"},
		{"1k,,2k", nil, "expected a number"},
		{"-5", nil, "expected a number"},
		{"NaN", nil, "expected a number"},
		{"", nil, "expected a number"},
	} {
		got, err := ParseRates(tt.text)
		if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%q: error %v, want %q", tt.text, err, tt.err)
		}
		if diff := cmp.Diff(tt.want, got, cmpopts.EquateApprox(1e-9, 0)); diff != "" {
			t.Errorf("%q: %s", tt.text, diff)
		}
	}
}

func TestConditions(t *testing.T) {
	r := &Round{
		Loss: Loss{Lost: 2, Of: 1000, Share: 0.002, Upper: 0.007}, Rate: Rate{Offered: 5000},
		Latency: match.Quantiles{Count: 1, P99: 60e6}, Usage: &usage.Window{RSSPeak: 64 << 20, CPU: 0.5},
	}
	for _, tt := range []struct {
		text         string
		holds, known bool
	}{
		{"lost>0.1%", true, true},
		{"lost > 0.2%", false, true},
		{"lost>=0.2%", true, true},
		{"latency.p99>50ms", true, true},
		{"latency.p99<=0.05s", false, true},
		{"rss>=64MiB", true, true},
		{"cpu<0.6", true, true},
		{"offered<5k", false, true},
		{"offered==5k", true, true},
		{"failed!=0", false, true},
		{"drops>0", false, false}, // no stats
	} {
		c, err := ParseCondition(tt.text)
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		if _, holds, known := c.Eval(r); holds != tt.holds || known != tt.known {
			t.Errorf("%q: holds %v, known %v; want %v, %v", tt.text, holds, known, tt.holds, tt.known)
		}
	}
	for text, want := range map[string]string{
		"lost": "expected a metric", "loss>1": "expected one of", "lost=1": "unknown comparison", "lost>much": "expected percent", "lost>": "expected percent",
	} {
		if _, err := ParseCondition(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
