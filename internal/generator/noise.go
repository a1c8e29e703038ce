package generator

import (
	"time"

	"github.com/peregrine-sec/peregrine/internal/generator/action"
)

// noiseMix is the background load: the usual calls of services, by weight.
var noiseMix = []Choice{
	{Name: "noise.Stat", Weight: 4},
	{Name: "noise.OpenClose", Weight: 8},
	{Name: "noise.ReadFile", Weight: 8},
	{Name: "noise.WriteFile", Weight: 2},
	{Name: "noise.Mmap", Weight: 2},
	{Name: "noise.ConnectLoopback", Weight: 1},
}

// noiseTick makes some 75 syscalls of a worker at 150,000/s one burst.
const noiseTick = 500 * time.Microsecond

// Noise is a run of background load at a rate of syscalls that no rule detects,
// without instances. The time of each does not matter, so that a worker wakes
// up once for many.
func Noise(syscallsPerSecond float64) Options {
	return Options{Actions: noiseMix, Rate: syscallsPerSecond / syscallsPerAction(noiseMix), Tick: noiseTick, Discard: true}
}

// syscallsPerAction is the weighted mean.
func syscallsPerAction(choices []Choice) float64 {
	var syscalls, weight int
	for _, c := range choices {
		a, ok := action.Lookup(c.Name)
		if !ok {
			continue
		}
		syscalls += max(c.Weight, 1) * a.Syscalls
		weight += max(c.Weight, 1)
	}
	return float64(syscalls) / float64(max(weight, 1))
}
