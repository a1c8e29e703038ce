package capacity

// Observed is the load of a fleet's nodes in production.
type Observed struct {
	Source  string  `json:"source"` // file
	Samples int     `json:"samples"`
	Nodes   int     `json:"nodes"` // 1 if the source does not tell nodes apart
	P50     float64 `json:"p50"`   // syscalls per second of one node
	P95     float64 `json:"p95"`
	P99     float64 `json:"p99"`
	Max     float64 `json:"max"`
}

// Recommendation is the resources that a sensor on such a node should get.
type Recommendation struct {
	Observed      Observed `json:"observed"`
	RequestCPU    float64  `json:"request_cpu"`
	LimitCPU      float64  `json:"limit_cpu"`
	RequestMemory int64    `json:"request_memory"`
	LimitMemory   int64    `json:"limit_memory"`
	Headroom      float64  `json:"headroom"` // capacity at the limit by the observed maximum
	// OverCapacity says that no measured limit takes the observed maximum:
	// with these resources the busiest node drops events.
	OverCapacity bool        `json:"over_capacity,omitempty"`
	Fleet        []NodeClass `json:"fleet,omitempty"`
	Notes        []string    `json:"notes,omitempty"`
}

// NodeClass is a kind of node of the fleet, with the resources that the sensor
// reserves on all of them.
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
