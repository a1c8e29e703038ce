package journal

import (
	"os"

	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
)

// Owner is the process that a journal belongs to: a pid, and facts that
// distinguish it from another process with the same pid.
type Owner struct {
	PID       int    `json:"owner_pid"`
	Start     uint64 `json:"owner_start"`             // clock ticks since boot
	Boot      string `json:"boot,omitempty"`          // id of the boot that these count from
	Namespace string `json:"pid_namespace,omitempty"` // in which the pid is meant
}

func self() (Owner, error) {
	start, err := procfs.Host.StartTime(os.Getpid())
	return Owner{PID: os.Getpid(), Start: start, Boot: procfs.Host.BootID(), Namespace: pidNamespace()}, err
}

func pidNamespace() string {
	name, _ := os.Readlink("/proc/self/ns/pid") // "" without such a kernel: all pids are of one namespace
	return name
}

// alive says whether the owner's run is going on. locked says that a process
// holds the journal's lock. It decides only if the owner cannot be seen from
// here; otherwise a child that outlived the owner may hold the lock.
func (o Owner) alive(locked bool) bool {
	switch {
	case o.Boot != procfs.Host.BootID():
		return false
	case o.Namespace != pidNamespace():
		return locked
	}
	return procfs.Host.Alive(o.PID, o.Start)
}
