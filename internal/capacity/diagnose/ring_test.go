package diagnose_test

import (
	"strings"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/bench/match"
	"github.com/peregrine-sec/peregrine/internal/bench/usage"
	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/diagnose"
	"github.com/peregrine-sec/peregrine/internal/capacity/sweep"
	"github.com/peregrine-sec/peregrine/internal/sensorstats"
)

// recorded is a failing trial as it was measured with our sensor on two CPUs.
type recorded struct {
	offered   float64 // operations per second
	cpu       float64
	throttled [2]uint64 // periods, of all
	idle      float64   // CPUs of the host
	oldest    time.Duration
	events    uint64   // of each sample of 250 ms, about
	drops     []uint64 // of each sample within the load
}

func (r recorded) trial() *capacity.Trial {
	const step = int64(250 * time.Millisecond)
	t := &capacity.Trial{Target: r.offered, Limits: capacity.Usage{Periods: r.throttled[1], ThrottledPeriods: r.throttled[0]}}
	round := &t.Round
	round.End = step * int64(len(r.drops))
	round.Rate = bench.Rate{Target: r.offered, Offered: r.offered}
	round.Usage = &usage.Window{CPU: r.cpu}
	round.Observer = bench.Observer{CPUs: 2, HostIdle: r.idle}
	round.Latency = match.Quantiles{Count: 1000, Max: int64(r.oldest)}
	round.Sensor = &bench.SensorStats{Detailed: true}
	for i, n := range r.drops {
		round.Samples = append(round.Samples, sensorstats.Sample{Time: step * int64(i+1), Elapsed: step, Delta: sensorstats.Counters{Events: r.events, Drops: n}})
		round.Sensor.Events += r.events
		round.Sensor.Drops += n
	}
	round.Sensor.ByCause.Buffer = round.Sensor.Drops
	t.Verdict = sweep.Judge(round, r.offered, 0.001, t.Limits)
	return t
}

// Trials as they were measured: a ring of 1 MiB, which drops in bursts that
// are young, against the default of 8 MiB, in which events wait for hundreds
// of milliseconds before any is dropped.
var (
	smallRingHalf = recorded{64e3, 0.493, [2]uint64{20, 62}, 0.76, 84 * time.Millisecond, 16000, []uint64{780, 3096, 1147, 0, 0, 0, 0, 0, 0, 0, 0}}
	smallRingTail = recorded{64e3, 0.476, [2]uint64{15, 63}, 0.49, 79 * time.Millisecond, 16000, []uint64{0, 0, 0, 0, 0, 0, 0, 0, 1266, 0, 0}}
	smallRingOne  = recorded{117e3, 0.758, [2]uint64{0, 61}, 0.27, 55 * time.Millisecond, 29400, []uint64{0, 0, 0, 237, 189, 0, 0, 0, 0, 0, 300}}
	smallRingOver = recorded{256e3, 0.497, [2]uint64{33, 63}, 0.4, 60 * time.Millisecond, 64000, []uint64{40e3, 40e3, 41e3, 40e3, 40e3, 40e3, 39e3}}
	quotaOver     = recorded{128e3, 0.493, [2]uint64{33, 63}, 0.59, 397 * time.Millisecond, 32000, []uint64{0, 0, 3238, 7777, 9575, 10057, 7222, 11342, 7537, 18176, 7980}}
	quotaJust     = recorded{90.5e3, 0.497, [2]uint64{43, 73}, 0.72, 387 * time.Millisecond, 22600, []uint64{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1671, 0, 168, 1638, 0}}
)

func TestExplainRing(t *testing.T) {
	half, one := capacity.Limit{CPU: 0.5, Memory: 512 << 20}, capacity.Limit{CPU: 1, Memory: 512 << 20}
	full := smallRingHalf
	full.idle, full.throttled = 0.02, [2]uint64{0, 62}
	for name, test := range map[string]struct {
		limit  capacity.Limit
		trials []recorded // the lowest first
		want   capacity.FactorName
	}{
		"small ring, caught up":          {half, []recorded{smallRingHalf}, capacity.FactorRing},
		"small ring, CPU to spare":       {half, []recorded{smallRingTail}, capacity.FactorRing},
		"small ring, one CPU":            {one, []recorded{smallRingOne}, capacity.FactorRing},
		"small ring, overload":           {half, []recorded{smallRingOver}, capacity.FactorCPU},
		"small ring, and overload above": {half, []recorded{smallRingTail, smallRingOver, smallRingOver}, capacity.FactorRing},
		"small ring, full machine":       {capacity.Limit{CPU: 2}, []recorded{full}, capacity.FactorMachine},
		"quota used up":                  {half, []recorded{quotaOver}, capacity.FactorCPU},
		"quota just used up":             {half, []recorded{quotaJust, quotaOver}, capacity.FactorCPU},
	} {
		t.Run(name, func(t *testing.T) {
			var trials []*capacity.Trial
			for _, r := range test.trials {
				trials = append(trials, r.trial())
			}
			if f := diagnose.Explain(test.limit, trials, nil, nil); f.Name != test.want {
				t.Errorf("%+v, want %s", f, test.want)
			}
		})
	}
}

// Without alerts nothing says how old events became: only bursts that the
// sensor had the CPU for are the ring's.
func TestExplainRingNoAlerts(t *testing.T) {
	for _, test := range []struct {
		recorded
		want capacity.FactorName
	}{{smallRingTail, capacity.FactorRing}, {smallRingHalf, capacity.FactorCPU}, {quotaOver, capacity.FactorCPU}} {
		trial := test.trial()
		trial.Round.Latency = match.Quantiles{}
		f := diagnose.Explain(capacity.Limit{CPU: 0.5}, []*capacity.Trial{trial}, nil, nil)
		if f.Name != test.want || strings.Contains(f.Evidence, "no alert was older") {
			t.Errorf("%+v, want %s", f, test.want)
		}
	}
}
