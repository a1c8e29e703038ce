package limit

import (
	"fmt"
	"os"
)

// New makes a place for a sensor that is about to be started, with the best
// that the host offers: a systemd scope where systemd owns the cgroup tree,
// else a cgroup of our own.
func New(host Host, journal *Journal) (Place, error) {
	name := fmt.Sprintf("peregrine-capacity-%d", os.Getpid())
	// sd_booted(3): the directory exists iff systemd is the init system.
	if _, err := os.Stat(host.path("run/systemd/system")); err == nil {
		return newScope(host, journal, name), nil
	}
	return NewCgroup(host, journal, name)
}
