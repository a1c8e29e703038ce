package diagnose

import "github.com/peregrine-sec/peregrine/internal/bench"

// busyBeside is the share of the host's CPUs above which other work counts as a
// disturbance of a round.
const busyBeside = 0.2

// Others returns how many of the host's CPUs other work used in a round
// (neither sensor, load nor bench), and whether that is much.
func Others(round *bench.Round) (cpus float64, busy bool) {
	o := round.Observer
	if o.CPUs == 0 || round.Usage == nil {
		return 0, false
	}
	cpus = float64(o.CPUs) - o.HostIdle - o.CPU - o.Generator - round.Usage.CPU
	return cpus, cpus > busyBeside*float64(o.CPUs)
}
