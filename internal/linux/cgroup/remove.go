package cgroup

import (
	"fmt"
	"path/filepath"
	"syscall"
)

// attempts bounds how often Remove starts again because of a process that has
// forked in between.
const attempts = 10

// Remove removes a cgroup. Remaining processes go to its parent: they may be
// other users'.
func Remove(dir string) error {
	for attempt := 1; ; attempt++ {
		pids, err := Procs(dir)
		if err != nil {
			return err
		}
		for _, pid := range pids {
			if err := Move(filepath.Dir(dir), pid); err != nil && !isGone(err) {
				return err
			}
		}
		// A process may have forked between the reading and the removal.
		err = syscall.Rmdir(dir)
		if err == syscall.EBUSY && attempt < attempts {
			continue
		}
		if err != nil {
			return fmt.Errorf("remove cgroup %s: %w", dir, err)
		}
		return nil
	}
}
