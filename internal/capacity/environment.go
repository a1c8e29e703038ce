package capacity

import "fmt"

// Environment is the fingerprint of where a result comes from.
type Environment struct {
	Hostname   string  `json:"hostname"`
	CPU        string  `json:"cpu"` // model
	CPUs       int     `json:"cpus"`
	Memory     int64   `json:"memory"` // bytes
	Kernel     string  `json:"kernel"`
	Arch       string  `json:"arch"`
	OS         string  `json:"os"`
	Virtual    string  `json:"virtual,omitempty"` // hypervisor; "" on bare metal or unknown
	Governor   string  `json:"governor,omitempty"`
	Clock      string  `json:"clock"`
	Cgroup     string  `json:"cgroup"` // v1, v2 or both
	LoadBefore float64 `json:"load_before"`
	// IdleBefore is the number of CPUs that were idle in a pause before the run;
	// nil if not measured.
	IdleBefore *float64 `json:"idle_before,omitempty"`
	Peregrine  string   `json:"peregrine"` // version
	Warnings   []string `json:"warnings,omitempty"`
}

// Busy says whether the machine had other work before the run. The load average
// decides only if nothing else is known: it still contains a run that has just
// ended.
func (e Environment) Busy() bool {
	if e.IdleBefore != nil {
		return *e.IdleBefore < 0.5*float64(e.CPUs)
	}
	return e.LoadBefore > 0.5*float64(e.CPUs)
}

// Before says in words how busy the machine was before the run.
func (e Environment) Before() string {
	if e.IdleBefore != nil {
		return fmt.Sprintf("%.1f of %d CPUs idle", *e.IdleBefore, e.CPUs)
	}
	return fmt.Sprintf("load average %.1f on %d CPUs", e.LoadBefore, e.CPUs)
}
