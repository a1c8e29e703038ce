package capacity

// Environment is the fingerprint of where a result comes from.
type Environment struct {
	Hostname   string   `json:"hostname"`
	CPU        string   `json:"cpu"` // model
	CPUs       int      `json:"cpus"`
	Memory     int64    `json:"memory"` // bytes
	Kernel     string   `json:"kernel"`
	Arch       string   `json:"arch"`
	OS         string   `json:"os"`
	Virtual    string   `json:"virtual,omitempty"` // hypervisor; "" on bare metal or unknown
	Governor   string   `json:"governor,omitempty"`
	Clock      string   `json:"clock"`
	Cgroup     string   `json:"cgroup"` // v1, v2 or both
	LoadBefore float64  `json:"load_before"`
	Peregrine  string   `json:"peregrine"` // version
	Warnings   []string `json:"warnings,omitempty"`
}

// Busy says whether the machine had other work before the run.
func (e Environment) Busy() bool { return e.LoadBefore > 0.5*float64(e.CPUs) }
