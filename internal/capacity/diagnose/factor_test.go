package diagnose_test

import (
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/diagnose"
	"github.com/peregrine-sec/peregrine/test/support/capacitytest"
)

func TestExplain(t *testing.T) {
	l := capacity.Limit{CPU: 0.5, Memory: 512 << 20}
	for name, test := range map[string]struct {
		change func(*capacity.Trial)
		want   capacity.FactorName
	}{
		"quota used up": {func(t *capacity.Trial) {
			t.Round.Usage.CPU = 0.49
			t.Limits.Periods, t.Limits.ThrottledPeriods = 50, 48
		}, capacity.FactorCPU},
		"bursts":       {func(t *capacity.Trial) { t.Limits.Periods, t.Limits.ThrottledPeriods = 50, 20 }, capacity.FactorThrottling},
		"ring":         {func(*capacity.Trial) {}, capacity.FactorRing},
		"probe":        {func(t *capacity.Trial) { t.Round.Sensor.ByCause.PageFault = 100 }, capacity.FactorUnknown},
		"machine":      {func(t *capacity.Trial) { t.Round.Observer.HostIdle = 0.01 }, capacity.FactorMachine},
		"busy machine": {func(t *capacity.Trial) { t.Round.Observer.HostIdle, t.Round.Usage.Waited = 0.3, 0.7 }, capacity.FactorMachine},
		"output queue": {func(t *capacity.Trial) {
			t.Round.Sensor.Drops, t.Round.Sensor.OutputsDropped, t.Round.Actions[0].Score.Lost = 0, 5, 5
		}, capacity.FactorOutput},
		"rate limit":  {func(t *capacity.Trial) { t.Round.Sensor.Drops, t.Round.Sensor.Throttled = 0, 5 }, capacity.FactorOutput},
		"slow output": {func(t *capacity.Trial) { t.Round.Sensor.Drops = 0 }, capacity.FactorOutput},
		"other output": {func(t *capacity.Trial) {
			t.Round.Sensor.Drops, t.Round.Sensor.OutputsDropped, t.Round.Observer.HostIdle = 0, 5, 0
		}, capacity.FactorOutput},
		"output lacks CPU": {func(t *capacity.Trial) { t.Round.Sensor.Drops, t.Round.Usage.CPU = 0, 0.5 }, capacity.FactorCPU},
		"oom":              {func(t *capacity.Trial) { t.Limits.OOMKills = 1 }, capacity.FactorMemory},
		"memory full":      {func(t *capacity.Trial) { t.Limits.MemoryPeak, t.Limits.MemoryHits = 512<<20, 9 }, capacity.FactorMemory},
		"gone":             {func(t *capacity.Trial) { t.Round.Usage.Gone = true }, capacity.FactorSensor},
		"no stats":         {func(t *capacity.Trial) { t.Round.Sensor = nil }, capacity.FactorOutput},
	} {
		t.Run(name, func(t *testing.T) {
			r := capacitytest.CleanRound()
			r.Sensor.Drops = 50
			r.Usage.CPU = 0.2
			trial := &capacity.Trial{Round: *r}
			test.change(trial)
			if f := diagnose.Explain(l, []*capacity.Trial{trial}, nil, nil); f.Name != test.want || f.Evidence == "" || f.Advice == "" {
				t.Errorf("%+v, want %s", f, test.want)
			}
		})
	}
	one := &capacity.Trial{Round: *capacitytest.CleanRound()}
	one.Round.Sensor.Drops, one.Round.Usage.CPU = 50, 0.99
	if f := diagnose.Explain(capacity.Limit{CPU: 2}, []*capacity.Trial{one}, nil, nil); f.Name != capacity.FactorCPU || !strings.Contains(f.Advice, "single-threaded") {
		t.Errorf("one busy thread of two CPUs: %+v", f)
	}
	ring := &capacity.Trial{Round: *capacitytest.CleanRound()}
	ring.Round.Sensor.Drops = 50
	if f := diagnose.Explain(capacity.Limit{CPU: 2}, []*capacity.Trial{ring, one, one}, nil, nil); f.Name != capacity.FactorCPU {
		t.Errorf("two of three trials for want of CPU: %+v", f)
	}
	if f := diagnose.Explain(l, nil, nil, one); f.Name != capacity.FactorNone {
		t.Errorf("no failure: %+v", f)
	}
	one.Round.Observer.Generator = 1
	if f := diagnose.Explain(l, nil, one, one); f.Name != capacity.FactorGenerator {
		t.Errorf("generator behind: %+v", f)
	}
}
