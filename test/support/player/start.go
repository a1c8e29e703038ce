package player

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"time"
)

// Start is a recording of a Falco 0.44.1 started under a limit, with the alerts
// per second that it then took without loss (two CPUs, default rules, container
// plugin, Linux 6.18).
type Start struct {
	CPUs float64 `json:"cpus"`
	Log  []struct {
		At   int    `json:"at_ms"` // since the start of the process, as all times here
		Line string `json:"line"`
	} `json:"log"`
	Health     int     `json:"health_ms"`      // /healthz answers 200
	FirstEvent int     `json:"first_event_ms"` // earlier events are never seen
	Rate       float64 `json:"rate"`
}

//go:embed starts.json
var recorded []byte

// startOf is the recorded start of the smallest limit that is not below cpus;
// 0 is no limit.
func startOf(cpus float64) (Start, error) {
	var starts []Start
	if err := json.Unmarshal(recorded, &starts); err != nil {
		return Start{}, fmt.Errorf("recorded starts: %w", err)
	}
	for _, s := range starts {
		if cpus > 0 && cpus <= s.CPUs+0.001 {
			return s, nil
		}
	}
	return starts[len(starts)-1], nil
}

// ms is a time of a Start.
func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }
