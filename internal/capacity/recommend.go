package capacity

import (
	"fmt"
	"math"
	"slices"

	"github.com/peregrine-sec/peregrine/internal/capacity/limit"
	"github.com/peregrine-sec/peregrine/internal/sample"
)

// Observed is what a fleet's nodes do in production.
type Observed struct {
	Source  string  `json:"source"` // file
	Samples int     `json:"samples"`
	Nodes   int     `json:"nodes"` // 1 if the source does not tell nodes apart
	P50     float64 `json:"p50"`   // syscalls per second of one node
	P95     float64 `json:"p95"`
	P99     float64 `json:"p99"`
	Max     float64 `json:"max"`
}

// Observe sums up rates per node; a node's name may be empty.
func Observe(source string, rates map[string][]float64) (Observed, error) {
	var all []float64
	for _, of := range rates {
		all = append(all, of...)
	}
	if len(all) == 0 {
		return Observed{}, fmt.Errorf("%s: no rates in it; expected a stats file with at least two samples or a Prometheus export", source)
	}
	return Observed{Source: source, Samples: len(all), Nodes: len(rates),
		P50: sample.Quantile(all, 0.5), P95: sample.Quantile(all, 0.95), P99: sample.Quantile(all, 0.99), Max: sample.Quantile(all, 1)}, nil
}

// Recommendation is the resources that a sensor on such a node should get.
type Recommendation struct {
	Observed      Observed    `json:"observed"`
	RequestCPU    float64     `json:"request_cpu"`
	LimitCPU      float64     `json:"limit_cpu"`
	RequestMemory int64       `json:"request_memory"`
	LimitMemory   int64       `json:"limit_memory"`
	Headroom      float64     `json:"headroom"` // capacity at the limit by the observed maximum
	Fleet         []NodeClass `json:"fleet,omitempty"`
	Notes         []string    `json:"notes,omitempty"`
}

// NodeClass is a kind of node of the fleet, with what the sensor reserves on
// all of them.
type NodeClass struct {
	Name    string  `json:"name"`
	Nodes   int     `json:"nodes"`
	Max     float64 `json:"max_syscalls_per_second"` // of the busiest node
	CPU     float64 `json:"cpu"`                     // limit per node
	Memory  int64   `json:"memory"`                  // limit per node
	SumCPU  float64 `json:"sum_cpu"`                 // requested, all nodes
	SumMem  int64   `json:"sum_memory"`
	OverCap bool    `json:"over_capacity"` // no measured limit takes this node's load
}

// Rules of thumb of the recommendation.
const (
	limitHeadroom  = 1.3       // CPU limit for the busiest second and a third more
	memoryHeadroom = 1.5       // over the highest memory seen in any trial
	memoryStep     = 64 << 20  // memory is recommended in these steps
	minMemory      = 128 << 20 // never less than this
	cpuStep        = 0.05
)

// Recommend derives requests and limits from the capacity curve of rows and
// the rates observed in production. nodes are the rates by node for fleet
// sizing, in classes by name; nil leaves the fleet out.
func Recommend(rows []Row, seen Observed, classes map[string][]float64) (*Recommendation, error) {
	curve := CurveOf(rows)
	if len(curve) == 0 {
		return nil, fmt.Errorf("recommend resources: no row has a capacity")
	}
	r := &Recommendation{Observed: seen}
	request, _ := curve.CPUFor(seen.P95)
	top, enough := curve.CPUFor(seen.Max * limitHeadroom)
	r.RequestCPU, r.LimitCPU = roundCPU(request), roundCPU(max(top, request))
	r.LimitMemory = memoryFor(rows)
	r.RequestMemory = r.LimitMemory
	best := curve[len(curve)-1]
	if !enough {
		r.Notes = append(r.Notes, fmt.Sprintf("the busiest node sees %.0f syscalls/s, and with a third in reserve that is more than the %.0f/s measured at %s CPU: expect drops there, or filter more",
			seen.Max, best.Rate, limit.Limit{CPU: best.CPU}.CPUString()))
	}
	if request < curve[0].CPU {
		r.Notes = append(r.Notes, fmt.Sprintf("below %s CPU the requests are in proportion to the smallest measured row; measure a smaller limit to be sure", limit.Limit{CPU: curve[0].CPU}.CPUString()))
	}
	if seen.Max > 0 {
		capacity, _ := curve.RateFor(r.LimitCPU)
		r.Headroom = capacity / seen.Max
	}
	for _, name := range sortedKeys(classes) {
		r.Fleet = append(r.Fleet, curve.class(name, classes[name], r.LimitMemory))
	}
	return r, nil
}

func (c Curve) class(name string, maxima []float64, memory int64) NodeClass {
	busiest := sample.Quantile(maxima, 1)
	cpu, enough := c.CPUFor(busiest * limitHeadroom)
	request, _ := c.CPUFor(sample.Quantile(maxima, 0.95))
	return NodeClass{Name: name, Nodes: len(maxima), Max: busiest, CPU: roundCPU(cpu), Memory: memory,
		SumCPU: roundCPU(request) * float64(len(maxima)), SumMem: memory * int64(len(maxima)), OverCap: !enough}
}

func roundCPU(cpu float64) float64 { return math.Max(cpuStep, math.Ceil(cpu/cpuStep-1e-9)*cpuStep) }

// memoryFor is half as much again as the sensor ever used, in steps of 64 Mi.
func memoryFor(rows []Row) int64 {
	var peak uint64
	for _, row := range rows {
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

// Point is a place on the capacity curve.
type Point struct {
	CPU     float64 `json:"cpu"`
	Rate    float64 `json:"syscalls_per_second"`
	AtLeast bool    `json:"at_least,omitempty"`
	// Certain says that every row of the point is confirmed.
	Certain bool `json:"certain"`
}

// Curve is the capacity by CPU limit, both rising.
type Curve []Point

// CurveOf takes the median of each CPU limit's repeats. A limit that a
// smaller one outdoes is left out: more CPU takes nothing away, so the smaller
// one's answer holds there too.
func CurveOf(rows []Row) Curve {
	rates, atLeast, unsure := map[float64][]float64{}, map[float64]bool{}, map[float64]bool{}
	for _, row := range rows {
		if row.Syscalls > 0 && row.Limit.CPU > 0 {
			rates[row.Limit.CPU] = append(rates[row.Limit.CPU], row.Syscalls)
			atLeast[row.Limit.CPU] = atLeast[row.Limit.CPU] || row.Status == AtLeast
			unsure[row.Limit.CPU] = unsure[row.Limit.CPU] || row.Status != Confirmed
		}
	}
	var curve Curve
	for _, cpu := range sortedKeys(rates) {
		p := Point{cpu, sample.Median(rates[cpu]), atLeast[cpu], !unsure[cpu]}
		if len(curve) == 0 || p.Rate > curve[len(curve)-1].Rate {
			curve = append(curve, p)
		}
	}
	return curve
}

// CPUFor is the CPU that takes a rate, between the points in a straight line
// and below the first in proportion. enough is false beyond the last point,
// whose CPU is returned then.
func (c Curve) CPUFor(rate float64) (cpu float64, enough bool) {
	before := Point{}
	for _, p := range c {
		if rate <= p.Rate {
			return before.CPU + (p.CPU-before.CPU)*(rate-before.Rate)/(p.Rate-before.Rate), true
		}
		before = p
	}
	return before.CPU, false
}

// RateFor is the reverse of CPUFor.
func (c Curve) RateFor(cpu float64) (rate float64, known bool) {
	before := Point{}
	for _, p := range c {
		if cpu <= p.CPU {
			return before.Rate + (p.Rate-before.Rate)*(cpu-before.CPU)/(p.CPU-before.CPU), true
		}
		before = p
	}
	return before.Rate, false
}

// Knee is the point after which more CPU brings less than half of what the
// first brought per CPU; the last point if there is none. ok is false with
// fewer than two points to compare, and where one of them is not certain.
func (c Curve) Knee() (knee Point, ok bool) {
	if len(c) < 2 {
		return Point{}, false
	}
	first := c[0].Rate / c[0].CPU
	for i := 1; i < len(c); i++ {
		gain := (c[i].Rate - c[i-1].Rate) / (c[i].CPU - c[i-1].CPU)
		if gain < first/2 {
			return c[i-1], c[0].Certain && c[i-1].Certain && c[i].Certain
		}
	}
	return c[len(c)-1], false
}

func sortedKeys[K float64 | string, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
