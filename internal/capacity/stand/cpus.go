package stand

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// placement says which CPUs the sensor and the load have. Apart, they do not
// take turns on a CPU, which would differ from run to run. The zero value means
// that they share all.
type placement struct{ sensor, load []int }

// leastForLoad is how many CPUs the load needs to outrun a sensor.
const leastForLoad = 2

// placeOn divides CPUs under a limit: whole ones for the sensor, as many as the
// limit needs, from the end, where fewer interrupts go. They are shared where
// the load would be left with too few.
func placeOn(cpus []int, limit float64) placement {
	n := int(math.Ceil(limit))
	if limit <= 0 || len(cpus)-n < max(leastForLoad, n) {
		return placement{}
	}
	return placement{sensor: cpus[len(cpus)-n:], load: cpus[:len(cpus)-n]}
}

func (p placement) String() string {
	if len(p.sensor) == 0 {
		return "sharing all CPUs with the load"
	}
	return fmt.Sprintf("sensor on CPU %s, load on CPU %s", list(p.sensor), list(p.load))
}

func list(cpus []int) string {
	var words []string
	for _, cpu := range cpus {
		words = append(words, strconv.Itoa(cpu))
	}
	return strings.Join(words, ",")
}

// allowed lists the CPUs that a process may use; 0 is this one.
func allowed(pid int) ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(pid, &set); err != nil {
		return nil, fmt.Errorf("CPUs of process %d: %w", pid, err)
	}
	var cpus []int
	for cpu := 0; len(cpus) < set.Count(); cpu++ {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}

// pin lets the threads of a process use these CPUs only. Later threads and
// children inherit that (sched_setaffinity(2)).
func pin(pid int, cpus []int) error {
	var set unix.CPUSet
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil {
		return err
	}
	for _, thread := range threads {
		tid, err := strconv.Atoi(filepath.Base(thread))
		if err != nil {
			return err
		}
		// A thread may have ended meanwhile.
		if err := unix.SchedSetaffinity(tid, &set); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("keep process %d to CPU %s: %w", pid, list(cpus), err)
		}
	}
	return nil
}

// apart keeps the load, which this process and its children are, off the
// sensor's CPUs, until together is called.
func (s *sensor) apart() error {
	cpus, err := allowed(os.Getpid())
	if err != nil || !s.owned() {
		return err
	}
	s.placement = placeOn(cpus, s.limit.CPU)
	if len(s.placement.load) == 0 {
		return nil
	}
	return s.leave(cpus)
}

// leave moves this process from its CPUs to those of the load: all of its
// threads, or none.
func (s *sensor) leave(cpus []int) error {
	s.ours = cpus
	if err := pin(os.Getpid(), s.placement.load); err != nil {
		return errors.Join(err, s.together())
	}
	return nil
}

func (s *sensor) together() error {
	if s.ours == nil {
		return nil
	}
	err := pin(os.Getpid(), s.ours)
	s.ours = nil
	return err
}
