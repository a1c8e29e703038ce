package report

import (
	"os"
	"runtime"

	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
)

// Host is where a result comes from.
type Host struct {
	Hostname string  `json:"hostname"`
	Kernel   string  `json:"kernel"`
	CPU      string  `json:"cpu"`
	CPUs     int     `json:"cpus"`
	Memory   uint64  `json:"memory"`
	Load     float64 `json:"load_before"` // of the last minute
}

// ReadHost describes this host; unreadable fields stay empty.
func ReadHost() Host {
	m := procfs.Host.Machine()
	name, _ := os.Hostname()
	return Host{Hostname: name, Kernel: m.Kernel, CPU: m.CPU, CPUs: runtime.NumCPU(), Memory: m.Memory, Load: m.Load}
}
