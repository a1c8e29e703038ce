package capacity

// Point is a place on the capacity curve.
type Point struct {
	CPU        float64 `json:"cpu"`
	Rate       float64 `json:"events_per_second"` // as the sensor counts them
	Operations float64 `json:"operations_per_second"`
	AtLeast    bool    `json:"at_least,omitempty"`
	// Certain says that every row of the point is confirmed.
	Certain bool `json:"certain"`
}

// Curve is the capacity by CPU limit, both rising.
type Curve struct {
	Sensor string  `json:"sensor,omitempty"`
	Points []Point `json:"points"`
	// Knee is the point after which more CPU adds less than half as much
	// capacity per CPU as the first did; nil if the confirmed points have none.
	Knee *Point `json:"knee,omitempty"`
}

// CPUFor returns the CPU that a rate needs: interpolated linearly between
// points, in proportion below the first. Beyond the last point, enough is false
// and the CPU is that of this point.
func (c Curve) CPUFor(rate float64) (cpu float64, enough bool) {
	before := Point{}
	for _, p := range c.Points {
		if rate <= p.Rate {
			return before.CPU + (p.CPU-before.CPU)*(rate-before.Rate)/(p.Rate-before.Rate), true
		}
		before = p
	}
	return before.CPU, false
}

// RateFor is the inverse of CPUFor.
func (c Curve) RateFor(cpu float64) (rate float64, known bool) {
	before := Point{}
	for _, p := range c.Points {
		if cpu <= p.CPU {
			return before.Rate + (p.Rate-before.Rate)*(cpu-before.CPU)/(p.CPU-before.CPU), true
		}
		before = p
	}
	return before.Rate, false
}
