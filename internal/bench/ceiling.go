package bench

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/internal/generator/pace"
)

// Ceiling is the maximum rate of the generator on this host: a bound of every
// target rate.
type Ceiling struct {
	Rate    float64       `json:"rate"` // actions per second of one worker, without a pause
	Actions []CeilingCost `json:"actions"`
}

// CeilingCost is the cost of one action without a sensor's load.
type CeilingCost struct {
	Name string  `json:"name"`
	Mean float64 `json:"mean_ns"`
}

// The burst that measures a ceiling is short, as a running sensor sees it too.
const (
	ceilingActions = 3000
	ceilingTime    = 300 * time.Millisecond
)

// MeasureCeiling performs the options' actions in one worker as fast as
// possible. It comes before the sensor is started, where that is up to us.
func MeasureCeiling(ctx context.Context, o Options) (*Ceiling, error) {
	generate := o.Generate
	if generate == nil {
		generate = generator.Spawn
	}
	r, err := generate(ctx, generator.Options{
		Actions: generator.Choices(o.Actions), Pacer: pace.Sleep{}, Count: ceilingActions, Duration: ceilingTime,
		Seed: o.Seed, Sandbox: o.Sandbox, Discard: true,
	})
	if err != nil {
		return nil, fmt.Errorf("measure the generator's ceiling: %w", err)
	}
	c := &Ceiling{Rate: r.CompletedRate()}
	for _, a := range r.Actions {
		cost := CeilingCost{Name: a.Name}
		if a.Cost != nil && a.Cost.TotalCount() > 0 {
			cost.Mean = a.Cost.Mean()
		}
		c.Actions = append(c.Actions, cost)
	}
	return c, nil
}

// Workers is the number of threads for a rate, with half as much again in
// reserve, since actions take longer under a sensor.
func (c *Ceiling) Workers(rate float64) int {
	if c.Rate <= 0 {
		return 1
	}
	return min(max(1, int(math.Ceil(1.5*rate/c.Rate))), runtime.NumCPU())
}

// Grown says which actions of a round that the generator limited take more
// than twice the time that they took alone: contention, or a slow disk.
func (c *Ceiling) Grown(r *Round) []Finding {
	if !r.Has(GeneratorLimited) {
		return nil
	}
	var found []Finding
	for _, cost := range c.Actions {
		for _, a := range r.Actions {
			if a.Name == cost.Name && cost.Mean > 0 && a.CostMean > 2*cost.Mean {
				found = append(found, Finding{"cost_grown", fmt.Sprintf("%s takes %.0f us under this load, %.0f us alone: it contends for CPU or disk", a.Name, a.CostMean/1000, cost.Mean/1000)})
			}
		}
	}
	return found
}
