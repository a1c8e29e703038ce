package capacity

import "strings"

// Headroom is how far a recorded workload can grow under a limit, in multiples
// of it.
type Headroom struct {
	Sensor string `json:"sensor,omitempty"`
	Limit  Limit  `json:"limit"`
	// Bursts is the result for the workload as recorded over time, Average that
	// for the same calls evenly spaced; nil if not measured.
	Bursts  Multiple  `json:"bursts"`
	Average *Multiple `json:"average,omitempty"`
	// Buffer is the factor by which the ring buffer must grow for the bursts to
	// scale as far as the average; 0 if the buffer is not what limits them.
	Buffer   float64 `json:"buffer_times,omitempty"`
	Sentence string  `json:"sentence"`
}

// Multiple is a result in multiples of the workload.
type Multiple struct {
	Times   float64    `json:"times"`
	AtLeast bool       `json:"at_least,omitempty"`
	Factor  FactorName `json:"limiting_factor"`
}

// Each sensor is measured in two variants of a workload: as recorded over time,
// and evenly spaced.
const (
	inBursts = "bursts"
	evenly   = "average"
)

// Bursty and Steady name the two variants of a sensor.
func Bursty(sensor string) string { return strings.TrimSpace(sensor + " " + inBursts) }

// Steady is the other one.
func Steady(sensor string) string { return strings.TrimSpace(sensor + " " + evenly) }

// OfBursty is the sensor whose variant this is; false if it is another.
func OfBursty(variant string) (sensor string, is bool) {
	sensor, is = strings.CutSuffix(variant, inBursts)
	return strings.TrimSpace(sensor), is
}
