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

// Ceiling is what the generator itself can do here: a bound of every rate
// that may be asked of it.
type Ceiling struct {
	Rate    float64 `json:"rate"` // actions per second of one worker, without a pause
	Actions []struct {
		Name string `json:"name"`
		Mean int64  `json:"mean_ns"`
	} `json:"actions"`
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
		Actions: choices(o.Actions), Pacer: pace.Sleep{}, Count: ceilingActions, Duration: ceilingTime,
		Seed: o.Seed, Sandbox: o.Sandbox, Discard: true,
	})
	if err != nil {
		return nil, fmt.Errorf("measure the generator's ceiling: %w", err)
	}
	c := &Ceiling{Rate: r.CompletedRate()}
	for _, a := range r.Actions {
		mean := int64(0)
		if a.Cost != nil && a.Cost.TotalCount() > 0 {
			mean = int64(a.Cost.Mean())
		}
		c.Actions = append(c.Actions, struct {
			Name string `json:"name"`
			Mean int64  `json:"mean_ns"`
		}{a.Name, mean})
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
