package capacity

import (
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/bench/usage"
	"github.com/peregrine-sec/peregrine/internal/capacity/limit"
)

// clean is a round at 1000 operations per second in which all went well.
func clean() *bench.Round {
	counts := bench.Counts{Started: 5000, OK: 5000, Matched: 5000}
	return &bench.Round{
		Start: 0, End: 5e9, Rate: bench.Rate{Target: 1000, Offered: 1000, Completed: 1000},
		Total: counts, Actions: []bench.ActionResult{{Name: "a", Counts: counts}},
		Queue:  bench.Queue{FirstP99: 1e6, LastP99: 1e6, Stable: true},
		Sensor: &bench.SensorStats{Plateau: 5, EventsMean: 4000, Events: 20000, Detailed: true},
		Usage:  &usage.Window{CPU: 0.3}, Observer: bench.Observer{CPUs: 4, HostIdle: 2},
	}
}

func TestJudge(t *testing.T) {
	lose := func(r *bench.Round, lost, duplicate int) {
		r.Total.Matched, r.Total.Lost, r.Total.Duplicate = r.Total.OK-lost, lost, duplicate
		r.Actions[0].Counts = r.Total
	}
	for name, test := range map[string]struct {
		spoil                             func(*bench.Round, *limit.Usage)
		clean, partial, marginal, limited bool
		reason                            string
	}{
		"clean":           {func(*bench.Round, *limit.Usage) {}, true, true, false, false, ""},
		"one drop":        {func(r *bench.Round, _ *limit.Usage) { r.Sensor.Drops = 1 }, false, true, true, false, "1 of 20000 events dropped"},
		"drops":           {func(r *bench.Round, _ *limit.Usage) { r.Sensor.Drops = 2000 }, false, false, false, false, "(10 %)"},
		"one alert lost":  {func(r *bench.Round, _ *limit.Usage) { lose(r, 1, 0) }, false, true, true, false, "1 of 5000 alerts missing"},
		"alerts lost":     {func(r *bench.Round, _ *limit.Usage) { lose(r, 500, 0) }, false, false, false, false, "500 of 5000"},
		"wrongly matched": {func(r *bench.Round, _ *limit.Usage) { lose(r, 7, 7) }, true, true, false, false, ""},
		"other output":    {func(r *bench.Round, _ *limit.Usage) { r.Sensor.OutputsDropped, r.Sensor.Alerts = 2500, 5000 }, false, false, false, false, "outputs dropped 2500"},
		"late":            {func(r *bench.Round, _ *limit.Usage) { r.Total.Late = 50 }, false, false, false, false, "50 of them late"},
		"queue grows": {func(r *bench.Round, _ *limit.Usage) { r.Queue = bench.Queue{FirstP99: 1e6, LastP99: 9e8} },
			false, false, true, false, "piled up"},
		"generator behind": {func(r *bench.Round, _ *limit.Usage) { r.Rate.Offered = 800 }, true, true, false, true, ""},
		"out of memory":    {func(_ *bench.Round, u *limit.Usage) { u.OOMKills = 1 }, false, false, false, false, "out of memory"},
		"sensor gone":      {func(r *bench.Round, _ *limit.Usage) { r.Usage.Gone = true }, false, false, false, false, "ended or restarted"},
		"nothing worked":   {func(r *bench.Round, _ *limit.Usage) { r.Total = bench.Counts{Started: 10, Failed: 10} }, false, false, false, false, "no action succeeded"},
	} {
		t.Run(name, func(t *testing.T) {
			r, u := clean(), limit.Usage{}
			test.spoil(r, &u)
			v := Judge(r, 1000, 0.001, u)
			if v.Clean != test.clean || v.Partial != test.partial || v.Marginal != test.marginal || v.Limited != test.limited {
				t.Errorf("verdict %+v", v)
			}
			if !strings.Contains(strings.Join(v.Reasons, "; "), test.reason) {
				t.Errorf("reasons %q, want %q", v.Reasons, test.reason)
			}
		})
	}
}

func TestUnusable(t *testing.T) {
	r := clean()
	r.Total.Failed = 100
	r.Actions[0].Errnos = map[string]int{"EMFILE": 100}
	if why := Unusable(r); !strings.Contains(why, "a 100 x EMFILE") {
		t.Errorf("a round of failures: %q", why)
	}
	r = clean()
	r.Total.Failed = 3
	if why := Unusable(r); why != "" {
		t.Errorf("three failures of 5000: %q", why)
	}
	r.Flags = []bench.Flag{bench.ClockStep}
	if why := Unusable(r); !strings.Contains(why, "clock") {
		t.Errorf("a clock step: %q", why)
	}
}

func TestExplain(t *testing.T) {
	l := limit.Limit{CPU: 0.5, Memory: 512 << 20}
	for name, test := range map[string]struct {
		change func(*Trial)
		want   FactorName
	}{
		"quota used up": {func(t *Trial) { t.Round.Usage.CPU = 0.49; t.Limits.Periods, t.Limits.ThrottledPeriods = 50, 48 }, FactorCPU},
		"bursts":        {func(t *Trial) { t.Limits.Periods, t.Limits.ThrottledPeriods = 50, 20 }, FactorThrottling},
		"ring":          {func(*Trial) {}, FactorRing},
		"probe":         {func(t *Trial) { t.Round.Sensor.ByCause.PageFault = 100 }, FactorUnknown},
		"machine":       {func(t *Trial) { t.Round.Observer.HostIdle = 0.01 }, FactorMachine},
		"busy machine":  {func(t *Trial) { t.Round.Observer.HostIdle, t.Round.Usage.Waited = 0.3, 0.7 }, FactorMachine},
		"output queue": {func(t *Trial) {
			t.Round.Sensor.Drops, t.Round.Sensor.OutputsDropped, t.Round.Actions[0].Counts.Lost = 0, 5, 5
		}, FactorOutput},
		"rate limit":  {func(t *Trial) { t.Round.Sensor.Drops, t.Round.Sensor.Throttled = 0, 5 }, FactorOutput},
		"slow output": {func(t *Trial) { t.Round.Sensor.Drops = 0 }, FactorOutput},
		"other output": {func(t *Trial) {
			t.Round.Sensor.Drops, t.Round.Sensor.OutputsDropped, t.Round.Observer.HostIdle = 0, 5, 0
		}, FactorOutput},
		"output lacks CPU": {func(t *Trial) { t.Round.Sensor.Drops, t.Round.Usage.CPU = 0, 0.5 }, FactorCPU},
		"oom":              {func(t *Trial) { t.Limits.OOMKills = 1 }, FactorMemory},
		"memory full":      {func(t *Trial) { t.Limits.MemoryPeak, t.Limits.MemoryHits = 512<<20, 9 }, FactorMemory},
		"gone":             {func(t *Trial) { t.Round.Usage.Gone = true }, FactorSensor},
		"no stats":         {func(t *Trial) { t.Round.Sensor = nil }, FactorOutput},
	} {
		t.Run(name, func(t *testing.T) {
			r := clean()
			r.Sensor.Drops = 50
			r.Usage.CPU = 0.2
			trial := &Trial{Round: *r}
			test.change(trial)
			if f := Explain(l, []*Trial{trial}, nil, nil); f.Name != test.want || f.Evidence == "" || f.Advice == "" {
				t.Errorf("%+v, want %s", f, test.want)
			}
		})
	}
	one := &Trial{Round: *clean()}
	one.Round.Sensor.Drops, one.Round.Usage.CPU = 50, 0.99
	if f := Explain(limit.Limit{CPU: 2}, []*Trial{one}, nil, nil); f.Name != FactorCPU || !strings.Contains(f.Advice, "single-threaded") {
		t.Errorf("one busy thread of two CPUs: %+v", f)
	}
	ring := &Trial{Round: *clean()}
	ring.Round.Sensor.Drops = 50
	if f := Explain(limit.Limit{CPU: 2}, []*Trial{ring, one, one}, nil, nil); f.Name != FactorCPU {
		t.Errorf("two of three trials for want of CPU: %+v", f)
	}
	if f := Explain(l, nil, nil, one); f.Name != FactorTime {
		t.Errorf("no failure: %+v", f)
	}
	if f := Explain(l, nil, one, one); f.Name != FactorGenerator {
		t.Errorf("generator behind: %+v", f)
	}
}
