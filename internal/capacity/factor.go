package capacity

// Factor is the factor that limited a row.
type Factor struct {
	Name     FactorName `json:"name"`
	Evidence string     `json:"evidence"` // the figures that say so
	Advice   string     `json:"advice"`   // remedy
}

// FactorName is a stable word for a limiting factor.
type FactorName string

const (
	FactorCPU        FactorName = "sensor CPU"
	FactorThrottling FactorName = "throttling"
	FactorRing       FactorName = "ring buffer"
	FactorOutput     FactorName = "output path"
	FactorMemory     FactorName = "memory"
	FactorMachine    FactorName = "machine"
	FactorGenerator  FactorName = "generator"
	FactorNone       FactorName = "nothing yet" // the search ended before anything did
	FactorSensor     FactorName = "sensor ended"
	FactorUnknown    FactorName = "unknown"
)
