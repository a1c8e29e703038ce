package diagnose

import "github.com/peregrine-sec/peregrine/internal/bench"

// busyBeside is the share of the host's CPUs above which other work has taken
// part in a round.
const busyBeside = 0.2

// Others is how many of the host's CPUs neither sensor, load nor bench have
// used in a round, nor were idle, and whether that is much.
func Others(round *bench.Round) (cpus float64, busy bool) {
	o := round.Observer
	if o.CPUs == 0 || round.Usage == nil {
		return 0, false
	}
	cpus = float64(o.CPUs) - o.HostIdle - o.CPU - o.Generator - round.Usage.CPU
	return cpus, cpus > busyBeside*float64(o.CPUs)
}
