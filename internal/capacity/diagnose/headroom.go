package diagnose

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/human"
)

// defaultPreset is Falco's buf_size_preset where none is set: 8 MiB. Each step
// up doubles the size, to the last.
const (
	defaultPreset = 4
	lastPreset    = 10
)

// headrooms are the answers of a workload in multiples of it, limit by limit.
func headrooms(r *capacity.Result, answers []capacity.Answer) []capacity.Headroom {
	if r.Method.Load.Workload == "" {
		return nil
	}
	var all []capacity.Headroom
	for i := range answers {
		a := &answers[i]
		sensor, bursty := capacity.OfBursty(a.Sensor)
		if !bursty || a.Status == capacity.Failed {
			continue
		}
		h := capacity.Headroom{Sensor: sensor, Limit: a.Limit, Bursts: multiple(r, a)}
		even := slices.IndexFunc(answers, func(o capacity.Answer) bool {
			return o.Sensor == capacity.Steady(sensor) && o.Limit == a.Limit && o.Status != capacity.Failed
		})
		if even >= 0 {
			m := multiple(r, &answers[even])
			h.Average = &m
		}
		if a := h.Average; a != nil && h.Bursts.Factor == capacity.FactorRing && h.Bursts.Times > 0 && a.Times > h.Bursts.Times {
			h.Buffer = larger(h.Bursts.Times, a.Times, r.Method.Load.Burst)
		}
		h.Sentence = grows(&h)
		all = append(all, h)
	}
	return all
}

// larger is how many times as large a ring buffer must be, as a power of two, to
// carry the bursts as far as the average. In a burst of T seconds and b times the
// mean rate R, at m times the workload, a sensor that takes M times the mean
// leaves in the buffer
//
//	(m b - M) R T
//
// events. That is as much as it holds where m is the limit of the bursts; M in the
// place of m needs M (b - 1) R T. If 100 ms at m times are no more than the sensor
// takes, then the burst is shorter, and nearly all of it is in the buffer at once.
func larger(m, most, burst float64) float64 {
	factor := most / m
	if held := m*burst - most; held > 0 {
		factor = max(factor, most*(burst-1)/held)
	}
	return math.Exp2(math.Ceil(math.Log2(factor)))
}

func multiple(r *capacity.Result, a *capacity.Answer) capacity.Multiple {
	factor := r.Rows[a.Row].Factor.Name
	bound := factor == capacity.FactorMachine || factor == capacity.FactorGenerator || factor == capacity.FactorNone
	return capacity.Multiple{Times: r.Method.Load.Times(a.Operations), AtLeast: a.AtLeast || bound, Factor: factor}
}

// grows is a headroom in words.
func grows(h *capacity.Headroom) string {
	text := "At " + h.Limit.String() + " this workload "
	if h.Sensor != "" {
		text = h.Sensor + ": at " + h.Limit.String() + " this workload "
	}
	bursts := times(h.Bursts)
	switch even := h.Average; {
	case h.Bursts.Times == 0 && even != nil && even.Times > 0:
		text += fmt.Sprintf("is too much in its bursts of 100 ms (%s); its average could grow %s (%s)", h.Bursts.Factor, times(*even), even.Factor)
	case h.Bursts.Times == 0:
		text += fmt.Sprintf("loses events (%s)", h.Bursts.Factor)
	case even != nil && even.Times > 1.1*h.Bursts.Times:
		text += fmt.Sprintf("can grow %s before the first drop (%s), its bursts of 100 ms first at %s: %s", times(*even), even.Factor, bursts, h.Bursts.Factor)
	default:
		text += fmt.Sprintf("can grow %s before the first drop, with its bursts of 100 ms: %s", bursts, h.Bursts.Factor)
	}
	if h.Buffer > 0 {
		text += fmt.Sprintf(". A ring buffer %s times as large would carry the bursts as far", human.Number(h.Buffer))
		if preset := defaultPreset + int(math.Log2(h.Buffer)); preset <= lastPreset {
			text += fmt.Sprintf(" (buf_size_preset: %d, if it is %d now)", preset, defaultPreset)
		}
	}
	return text + "."
}

// times is rounded down: it promises no more than was measured.
func times(m capacity.Multiple) string {
	least := ""
	if m.AtLeast {
		least = "at least "
	}
	return least + human.Number(capacity.RoundDown(m.Times)) + " times"
}

// enough names the smallest limit that carries the workload and its bursts with
// the margin; "" without a workload.
func enough(r *capacity.Result) string {
	margin := r.Method.Margin
	if len(r.Findings.Headroom) == 0 || margin == 0 {
		return ""
	}
	var sensors, carried []string
	least := map[string]capacity.Limit{} // headrooms come with rising limits
	for _, h := range r.Findings.Headroom {
		if !slices.Contains(sensors, h.Sensor) {
			sensors = append(sensors, h.Sensor)
		}
		if _, known := least[h.Sensor]; !known && h.Bursts.Times >= margin {
			least[h.Sensor] = h.Limit
		}
	}
	for _, sensor := range sensors {
		text := "none that was measured"
		if limit, ok := least[sensor]; ok {
			text = limit.String()
		}
		if sensor != "" {
			text += " for " + sensor
		}
		carried = append(carried, text)
	}
	return fmt.Sprintf("The smallest limit that carries it %s times, bursts included: %s.", human.Number(margin), strings.Join(carried, "; "))
}
