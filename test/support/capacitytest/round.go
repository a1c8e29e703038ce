package capacitytest

import (
	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/bench/usage"
)

// CleanRound is a round at 1000 operations per second in which all went well.
func CleanRound() *bench.Round {
	counts := bench.Score{Started: 5000, OK: 5000, Matched: 5000}
	return &bench.Round{
		Start: 0, End: 5e9, Rate: bench.Rate{Target: 1000, Offered: 1000, Completed: 1000},
		Total: counts, Actions: []bench.ActionResult{{Name: "a", Score: counts}},
		Queue:  bench.Queue{FirstP99: 1e6, LastP99: 1e6, Stable: true},
		Sensor: &bench.SensorStats{Plateau: 5, EventsMean: 4000, Events: 20000, Detailed: true},
		Usage:  &usage.Window{CPU: 0.3}, Observer: bench.Observer{CPUs: 4, HostIdle: 2},
	}
}
