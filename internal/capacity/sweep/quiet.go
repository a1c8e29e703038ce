package sweep

import (
	"fmt"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/diagnose"
)

// quietHost is the minimum share of idle CPU for the start of a measurement.
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

// findings joins bench's findings about a round.
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
)

// noise lists disturbances of a measurement, from an idle round.
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

// neighbours names other work that used the host's CPUs in the deciding rounds;
// "" for little.
func neighbours(trials ...*capacity.Trial) string {
	text, most := "", 0.0
	for _, t := range trials {
		if t == nil {
			continue
		}
		if others, busy := diagnose.Others(&t.Round); busy && others > most {
			most = others
			text = fmt.Sprintf("%.1f of %d CPUs went to other work during the rounds that decide", others, t.Round.Observer.CPUs)
		}
	}
	return text
}
