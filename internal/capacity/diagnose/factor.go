package diagnose

import (
	"fmt"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/human"
)

// Thresholds of Explain.
const (
	cpuBusy       = 0.92 // of the sensor's CPU: in effect all of it
	oftenThrottle = 0.10 // of periods: the quota runs out in bursts
	hostFull      = 0.10 // CPUs idle on the host: nothing left to share
	longWait      = 0.50 // of the time the sensor's threads, together, were ready to run and others ran
	memoryFull    = 0.98 // of the memory limit
	nearBound     = 1.25 // times the lowest failing rate: a failure above that may have another reason
)

// Explain names the limiting factor of a row. Of the trials that failed near
// the lowest failing rate, it takes the factor that most of them have, since
// one may have failed by accident, and the evidence of the lowest of these.
// (Far above, every sensor runs out of CPU.) If none failed, it explains the
// trial in which the generator was behind, or else the best clean one. Missing
// trials are nil. failed starts with the lowest.
func Explain(l capacity.Limit, failed []*capacity.Trial, behind, clean *capacity.Trial) capacity.Factor {
	switch {
	case len(failed) == 0 && behind != nil:
		return generatorFactor(behind)
	case len(failed) == 0:
		return explainNoFailure(clean)
	}
	votes := map[capacity.FactorName]int{}
	var factors []capacity.Factor
	for _, t := range failed {
		if t.Verdict.Offered > nearBound*failed[0].Verdict.Offered {
			break
		}
		f := explainFailure(l, t)
		factors = append(factors, f)
		votes[f.Name]++
	}
	best := factors[0]
	for _, f := range factors[1:] {
		if votes[f.Name] > votes[best.Name] {
			best = f
		}
	}
	return best
}

// explainFailure explains one trial.
func explainFailure(l capacity.Limit, failed *capacity.Trial) capacity.Factor {
	if f, ok := explainEnd(l, failed); ok {
		return f
	}
	round := &failed.Round
	drops := uint64(0)
	if round.Sensor != nil {
		drops = round.Sensor.Drops
	}
	if drops == 0 {
		return explainOutput(l, failed)
	}
	return explainDrops(l, failed)
}

// explainNoFailure explains a row in which nothing has failed and the generator
// reached its target: the sensor's limit was not reached.
func explainNoFailure(clean *capacity.Trial) capacity.Factor {
	if clean == nil {
		return capacity.Factor{Name: capacity.FactorUnknown, Evidence: "no trial was completed", Advice: "run it again"}
	}
	return capacity.Factor{Name: capacity.FactorNone,
		Evidence: fmt.Sprintf("every trial was clean up to %s operations/s, where the search ended", human.Number(clean.Verdict.Offered)),
		Advice:   "allow more time (--max-duration)"}
}

// generatorFactor explains a load that could not be raised: the generator was
// at its limit, or others used the CPUs.
func generatorFactor(t *capacity.Trial) capacity.Factor {
	o := t.Round.Observer
	if others, busy := Others(&t.Round); busy {
		return capacity.Factor{Name: capacity.FactorMachine,
			Evidence: fmt.Sprintf("the generator was asked for %s operations/s and managed %s with %.2f CPU, while %.1f of %d CPUs went to other work",
				human.Number(t.Target), human.Number(t.Verdict.Offered), o.Generator, others, o.CPUs),
			Advice: "stop other work on this machine, or use another one"}
	}
	return capacity.Factor{Name: capacity.FactorGenerator,
		Evidence: fmt.Sprintf("the generator was asked for %s operations/s and managed %s with %.2f CPU, and the sensor lost nothing; %.2f of %d CPUs were idle",
			human.Number(t.Target), human.Number(t.Verdict.Offered), o.Generator, o.HostIdle, o.CPUs),
		Advice: "a lower bound: use a machine with more cores, a cheaper load (--load noise) or a smaller limit"}
}

// explainEnd recognises a sensor that did not survive the trial.
func explainEnd(l capacity.Limit, t *capacity.Trial) (capacity.Factor, bool) {
	switch {
	case t.Limits.OOMKills > 0 || (t.Round.Usage != nil && t.Round.Usage.OOMKills > 0):
		return capacity.Factor{Name: capacity.FactorMemory,
			Evidence: fmt.Sprintf("killed by the kernel at the memory limit of %s", l.MemoryString()),
			Advice:   "raise the memory limit, or bound the sensor's output queue"}, true
	case l.Memory > 0 && float64(t.Limits.MemoryPeak) > memoryFull*float64(l.Memory) && t.Limits.MemoryHits > 0:
		return capacity.Factor{Name: capacity.FactorMemory,
			Evidence: fmt.Sprintf("memory reached its limit of %s %d times", l.MemoryString(), t.Limits.MemoryHits),
			Advice:   "raise the memory limit"}, true
	case t.Round.Has(bench.SensorRestarted) || (t.Round.Usage != nil && t.Round.Usage.Gone):
		return capacity.Factor{Name: capacity.FactorSensor, Evidence: "the sensor ended or restarted during the trial, and not for memory",
			Advice: "check the sensor's log"}, true
	}
	return capacity.Factor{}, false
}

// explainOutput explains alerts that are missing or late although the kernel
// side dropped nothing.
func explainOutput(l capacity.Limit, t *capacity.Trial) capacity.Factor {
	s := t.Round.Sensor
	if s != nil && s.Throttled > 0 {
		return capacity.Factor{Name: capacity.FactorOutput, Evidence: fmt.Sprintf("no kernel drops, but the sensor's rate limiter withheld %d alerts", s.Throttled),
			Advice: "raise or disable the sensor's rate limit for alerts"}
	}
	// Alerts that we received and other outputs dropped do not depend on the
	// load.
	if s != nil && s.OutputsDropped > 0 && Missing(&t.Round) == 0 {
		return outputQueue(s.OutputsDropped)
	}
	// An output path that has no CPU left, on either end, is short of CPU.
	if f, ok := explainCPU(l, t, "alerts were late or missing"); ok {
		return f
	}
	if s != nil && s.OutputsDropped > 0 {
		return outputQueue(s.OutputsDropped)
	}
	q := t.Round.Queue
	return capacity.Factor{Name: capacity.FactorOutput,
		Evidence: fmt.Sprintf("no kernel drops; %s of the alerts missing, p99 latency from %s to %s, %s to drain",
			human.Share(t.Verdict.LostShare), duration(q.FirstP99), duration(q.LastP99), duration(q.Drain)),
		Advice: "use a faster output, or raise fewer alerts"}
}

func outputQueue(dropped uint64) capacity.Factor {
	return capacity.Factor{Name: capacity.FactorOutput, Evidence: fmt.Sprintf("no kernel drops, but the sensor's output queue dropped %d alerts", dropped),
		Advice: "use a faster output, or a larger output queue"}
}

// explainDrops explains events that the kernel side had no room for.
func explainDrops(l capacity.Limit, t *capacity.Trial) capacity.Factor {
	s := t.Round.Sensor
	what := fmt.Sprintf("%s of the events dropped", human.Share(t.Verdict.DropShare))
	if s.Detailed && s.ByCause.PageFault+s.ByCause.Scratch > s.ByCause.Buffer+s.ByCause.Other {
		return capacity.Factor{Name: capacity.FactorUnknown, Evidence: fmt.Sprintf("%s, most of them by the probe itself (%d page faults, %d too large)",
			what, s.ByCause.PageFault, s.ByCause.Scratch), Advice: "the load is not the cause: check the sensor"}
	}
	if !ringTooSmall(l, t) {
		if f, ok := explainCPU(l, t, what); ok {
			return f
		}
	}
	evidence := fmt.Sprintf("%s while the sensor used %.2f CPU of %s", what, cpuOf(t), l.CPUString())
	if dropping, all := droppingSamples(&t.Round); dropping > 0 {
		evidence += fmt.Sprintf(", in %d of %d samples under the load", dropping, all)
	}
	if wait, ok := longestWait(&t.Round); ok {
		evidence += fmt.Sprintf(", and no alert was older than %s", human.Duration(wait))
	}
	return capacity.Factor{Name: capacity.FactorRing, Evidence: evidence + ": bursts did not fit",
		Advice: "use a larger ring buffer (buf_size_preset), or more of them (cpus_for_each_buffer)"}
}

func cpuOf(t *capacity.Trial) float64 {
	if t.Round.Usage == nil {
		return 0
	}
	return t.Round.Usage.CPU
}

func waitedOf(t *capacity.Trial) float64 {
	if t.Round.Usage == nil {
		return 0
	}
	return t.Round.Usage.Waited
}

// explainCPU recognises the three ways in which a sensor runs out of CPU: its
// limit, its thread, or the machine.
func explainCPU(l capacity.Limit, t *capacity.Trial, what string) (capacity.Factor, bool) {
	used := cpuOf(t)
	throttled := 0.0
	if t.Limits.Periods > 0 {
		throttled = float64(t.Limits.ThrottledPeriods) / float64(t.Limits.Periods)
	}
	cpus := float64(t.Round.Observer.CPUs)
	switch {
	case l.CPU > 0 && (cpus == 0 || l.CPU < cpus) && used >= cpuBusy*l.CPU:
		return capacity.Factor{Name: capacity.FactorCPU, Evidence: fmt.Sprintf("%s at %.2f of %s CPU, throttled in %.0f %% of the periods", what, used, l.CPUString(), 100*throttled),
			Advice: "raise the CPU limit"}, true
	case throttled >= oftenThrottle:
		return capacity.Factor{Name: capacity.FactorThrottling, Evidence: fmt.Sprintf("%s at a mean of %.2f of %s CPU, but throttled in %.0f %% of the periods", what, used, l.CPUString(), 100*throttled),
			Advice: "raise the CPU limit, or use a larger ring buffer to bridge the pauses"}, true
	case used >= cpuBusy:
		return capacity.Factor{Name: capacity.FactorCPU, Evidence: fmt.Sprintf("%s at %.2f CPU: the thread that reads events is busy all the time", what, used),
			Advice: "a higher CPU limit will not help a single-threaded reader; cheaper rules will"}, true
	case t.Round.Observer.CPUs > 0 && (t.Round.Observer.HostIdle < hostFull || waitedOf(t) >= longWait):
		o := t.Round.Observer
		return capacity.Factor{Name: capacity.FactorMachine, Evidence: fmt.Sprintf("%s at %.2f CPU with %.2f of the machine's %d CPUs idle (generator %.2f): the sensor's threads waited %.2f s each second for a CPU",
			what, used, o.HostIdle, o.CPUs, o.Generator, waitedOf(t)), Advice: "sensor and load share the machine: use one with more cores"}, true
	}
	return capacity.Factor{}, false
}

func duration(ns int64) string { return human.Duration(time.Duration(ns)) }
