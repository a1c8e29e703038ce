package generator

import "github.com/peregrine-sec/peregrine/internal/generator/action"

// noiseMix is the background load: what services do all day, by weight.
var noiseMix = []Choice{
	{"noise.Stat", 4},
	{"noise.OpenClose", 8},
	{"noise.ReadFile", 8},
	{"noise.WriteFile", 2},
	{"noise.Mmap", 2},
	{"noise.ConnectLoopback", 1},
}

// Noise is a run of background load at so many syscalls per second that no
// rule detects, without keeping instances.
func Noise(syscallsPerSecond float64) Options {
	return Options{Actions: noiseMix, Rate: syscallsPerSecond / syscallsPerAction(noiseMix), Discard: true}
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
