// Package advise recommends requests, limits and resources for a fleet, given the
// rates of nodes in production and the measured capacity under each limit.
package advise

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/sample"
)

// Observe sums up rates per node; a node's name may be empty.
func Observe(source string, rates map[string][]float64) (capacity.Observed, error) {
	var all []float64
	for _, of := range rates {
		all = append(all, of...)
	}
	if len(all) == 0 {
		return capacity.Observed{}, fmt.Errorf("%s: no rates in it; expected a stats file with at least two samples or a Prometheus export", source)
	}
	return capacity.Observed{Source: source, Samples: len(all), Nodes: len(rates),
		P50: sample.Quantile(all, 0.5), P95: sample.Quantile(all, 0.95), P99: sample.Quantile(all, 0.99), Max: sample.Quantile(all, 1)}, nil
}

// Rules of thumb of the recommendation.
const (
	limitHeadroom  = 1.3       // CPU limit for the highest rate and 30 % more
	memoryHeadroom = 1.5       // over the highest memory seen in any trial
	memoryStep     = 64 << 20  // memory is recommended in these steps
	minMemory      = 128 << 20 // never less than this
	cpuStep        = 0.05
)

// Recommend derives requests and limits from a sensor's capacity curve, the
// memory that it used in its own rows, and the rates observed in production.
// classes are the highest rates of the nodes of each class, for the fleet.
func Recommend(curve capacity.Curve, rows []capacity.Row, seen capacity.Observed, classes map[string][]float64) (*capacity.Recommendation, error) {
	if len(curve.Points) == 0 {
		return nil, fmt.Errorf("recommend resources: no row has a capacity")
	}
	r := &capacity.Recommendation{Observed: seen}
	request, _ := curve.CPUFor(seen.P95)
	top, enough := curve.CPUFor(seen.Max * limitHeadroom)
	r.RequestCPU, r.LimitCPU = roundCPU(request), roundCPU(max(top, request))
	r.LimitMemory = memoryFor(curve.Sensor, rows)
	r.RequestMemory = r.LimitMemory
	first, best := curve.Points[0], curve.Points[len(curve.Points)-1]
	if r.OverCapacity = !enough; r.OverCapacity {
		r.Notes = append(r.Notes, fmt.Sprintf("the busiest node sees %s events/s, and with 30 %% in reserve that is more than the %s measured at %s CPU: with these limits it would drop events; filter more, or measure larger limits",
			human.Number(seen.Max), human.Number(best.Rate), human.CPUs(best.CPU)))
	}
	if request < first.CPU {
		r.Notes = append(r.Notes, fmt.Sprintf("below %s CPU the requests are in proportion to the smallest measured row; measure a smaller limit to be sure", human.CPUs(first.CPU)))
	}
	if seen.Max > 0 {
		rate, _ := curve.RateFor(r.LimitCPU)
		r.Headroom = rate / seen.Max
	}
	for _, name := range slices.Sorted(maps.Keys(classes)) {
		r.Fleet = append(r.Fleet, class(curve, name, classes[name], r.LimitMemory))
	}
	return r, nil
}

func class(c capacity.Curve, name string, maxima []float64, memory int64) capacity.NodeClass {
	busiest := sample.Quantile(maxima, 1)
	cpu, enough := c.CPUFor(busiest * limitHeadroom)
	request, _ := c.CPUFor(sample.Quantile(maxima, 0.95))
	return capacity.NodeClass{Name: name, Nodes: len(maxima), Max: busiest, CPU: roundCPU(cpu), Memory: memory,
		SumCPU: roundCPU(request) * float64(len(maxima)), SumMem: memory * int64(len(maxima)), OverCap: !enough}
}

func roundCPU(cpu float64) float64 { return math.Max(cpuStep, math.Ceil(cpu/cpuStep-1e-9)*cpuStep) }

// memoryFor is one and a half times the most memory that the sensor used, in
// steps of 64 Mi.
func memoryFor(sensor string, rows []capacity.Row) int64 {
	var peak uint64
	for _, row := range rows {
		if row.Sensor != sensor {
			continue
		}
		for _, trial := range row.Trials {
			peak = max(peak, trial.Limits.MemoryPeak)
			if u := trial.Round.Usage; u != nil {
				peak = max(peak, u.RSSPeak, u.CgroupPeak)
			}
		}
	}
	steps := int64(math.Ceil(float64(peak) * memoryHeadroom / memoryStep))
	return max(minMemory, steps*memoryStep)
}
