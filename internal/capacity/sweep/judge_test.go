package sweep_test

import (
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/sweep"
	"github.com/peregrine-sec/peregrine/test/support/capacitytest"
)

func TestJudge(t *testing.T) {
	lose := func(r *bench.Round, lost, duplicate int) {
		r.Total.Matched, r.Total.Lost, r.Total.Duplicate = r.Total.OK-lost, lost, duplicate
		r.Actions[0].Score = r.Total
	}
	for name, test := range map[string]struct {
		spoil                             func(*bench.Round, *capacity.Usage)
		clean, partial, marginal, limited bool
		reason                            string
	}{
		"clean":           {func(*bench.Round, *capacity.Usage) {}, true, true, false, false, ""},
		"one drop":        {func(r *bench.Round, _ *capacity.Usage) { r.Sensor.Drops = 1 }, false, true, true, false, "1 of 20000 events dropped"},
		"drops":           {func(r *bench.Round, _ *capacity.Usage) { r.Sensor.Drops = 2000 }, false, false, false, false, "(10 %)"},
		"one alert lost":  {func(r *bench.Round, _ *capacity.Usage) { lose(r, 1, 0) }, false, true, true, false, "1 of 5000 alerts missing"},
		"alerts lost":     {func(r *bench.Round, _ *capacity.Usage) { lose(r, 500, 0) }, false, false, false, false, "500 of 5000"},
		"wrongly matched": {func(r *bench.Round, _ *capacity.Usage) { lose(r, 7, 7) }, true, true, false, false, ""},
		"sent twice": {func(r *bench.Round, _ *capacity.Usage) { lose(r, 7, 7); r.Actions[0].Score.Repeated = 5 },
			false, true, true, false, "5 of 5000 alerts missing"},
		"other output": {func(r *bench.Round, _ *capacity.Usage) { r.Sensor.OutputsDropped, r.Sensor.Alerts = 2500, 5000 }, false, false, false, false, "outputs dropped 2500"},
		"late":         {func(r *bench.Round, _ *capacity.Usage) { r.Total.Late = 50 }, false, false, false, false, "50 of them late"},
		"queue grows": {func(r *bench.Round, _ *capacity.Usage) { r.Queue = bench.Queue{FirstP99: 1e6, LastP99: 9e8} },
			false, false, true, false, "piled up"},
		"generator behind": {func(r *bench.Round, _ *capacity.Usage) { r.Rate.Offered = 800 }, true, true, false, true, ""},
		"out of memory":    {func(_ *bench.Round, u *capacity.Usage) { u.OOMKills = 1 }, false, false, false, false, "out of memory"},
		"sensor gone":      {func(r *bench.Round, _ *capacity.Usage) { r.Usage.Gone = true }, false, false, false, false, "ended or restarted"},
		"nothing worked":   {func(r *bench.Round, _ *capacity.Usage) { r.Total = bench.Score{Started: 10, Failed: 10} }, false, false, false, false, "no action succeeded"},
	} {
		t.Run(name, func(t *testing.T) {
			r, u := capacitytest.CleanRound(), capacity.Usage{}
			test.spoil(r, &u)
			v := sweep.Judge(r, 1000, 0.001, u)
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
	r := capacitytest.CleanRound()
	r.Total.Failed = 100
	r.Actions[0].Errnos = map[string]uint64{"EMFILE": 100}
	if why := sweep.Unusable(r); !strings.Contains(why, "a 100 x EMFILE") {
		t.Errorf("a round of failures: %q", why)
	}
	r = capacitytest.CleanRound()
	r.Total.Failed = 3
	if why := sweep.Unusable(r); why != "" {
		t.Errorf("three failures of 5000: %q", why)
	}
	r.Flags, r.Alerts.Foreign = []bench.Flag{bench.Ambiguous}, 7
	if why := sweep.Unusable(r); !strings.Contains(why, "7 alerts of the same rules") {
		t.Errorf("alerts of others: %q", why)
	}
	r.Flags = []bench.Flag{bench.ClockStep}
	if why := sweep.Unusable(r); !strings.Contains(why, "clock") {
		t.Errorf("a clock step: %q", why)
	}
}
