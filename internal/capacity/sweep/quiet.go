package sweep

import (
	"fmt"

	"github.com/peregrine-sec/peregrine/internal/bench"
)

// quietHost is the share of idle CPU without which a measurement is not begun.
const quietHost = 0.2

// disturbed says why no measurement should begin; "" if it may.
func disturbed(idle *bench.Round) string {
	o := idle.Observer
	switch {
	case idle.Sensor != nil && idle.Sensor.Drops > 0:
		return fmt.Sprintf("the sensor drops %d events while idle", idle.Sensor.Drops)
	case o.CPUs > 0 && o.HostIdle < quietHost*float64(o.CPUs):
		return fmt.Sprintf("only %.2f of %d CPUs are idle before the load", o.HostIdle, o.CPUs)
	}
	return ""
}

// findings appends what bench says about a round.
func findings(round *bench.Round) string {
	text := ""
	for _, f := range round.Findings {
		text += ": " + f.Text
	}
	if text == "" {
		return ": check that the actions' rules are loaded and that the sensor's output reaches peregrine"
	}
	return text
}

// Noise thresholds, as shares of the host.
const (
	busyWhenIdle = 0.15
	stealLimit   = 0.02
	busyBeside   = 0.2
)

// noise says what disturbs a measurement, from an idle round.
func noise(idle *bench.Round) []string {
	var reasons []string
	o := idle.Observer
	if cpus := float64(o.CPUs); cpus > 0 {
		if busy := cpus - o.HostIdle; busy > busyWhenIdle*cpus {
			reasons = append(reasons, fmt.Sprintf("%.2f of %d CPUs were busy before the load began", busy, o.CPUs))
		}
		if o.HostSteal > stealLimit*cpus {
			reasons = append(reasons, fmt.Sprintf("the hypervisor took %.2f CPUs away", o.HostSteal))
		}
	}
	return reasons
}

// neighbours says what else used the host's CPUs in a round that counts, which
// neither sensor nor load have had then.
func neighbours(round *bench.Round) []string {
	o := round.Observer
	if o.CPUs == 0 || round.Usage == nil {
		return nil
	}
	others := float64(o.CPUs) - o.HostIdle - o.CPU - o.Generator - round.Usage.CPU
	if others <= busyBeside*float64(o.CPUs) {
		return nil
	}
	return []string{fmt.Sprintf("%.1f of %d CPUs went to other work during the rounds that decide", others, o.CPUs)}
}
