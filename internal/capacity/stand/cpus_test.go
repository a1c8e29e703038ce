package stand

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestPlace(t *testing.T) {
	all := func(n int) (cpus []int) {
		for cpu := range n {
			cpus = append(cpus, cpu)
		}
		return cpus
	}
	for _, test := range []struct {
		cpus  []int
		limit float64
		want  string
	}{
		{all(2), 0.5, "sharing all CPUs with the load"}, // the load needs more than one
		{all(3), 0.5, "sensor on CPU 2, load on CPU 0,1"},
		{all(4), 1, "sensor on CPU 3, load on CPU 0,1,2"},
		{all(4), 2, "sensor on CPU 2,3, load on CPU 0,1"},
		{all(4), 2.5, "sharing all CPUs with the load"},
		{all(8), 0, "sharing all CPUs with the load"},
		{[]int{3, 5, 9}, 0.25, "sensor on CPU 9, load on CPU 3,5"}, // of a container
	} {
		if got := placeOn(test.cpus, test.limit).String(); got != test.want {
			t.Errorf("%v with %v CPU: %s, want %s", test.cpus, test.limit, got, test.want)
		}
	}
}

func TestPin(t *testing.T) {
	before, err := allowed(os.Getpid())
	check(t, err)
	child := exec.Command("sleep", "60")
	check(t, child.Start())
	t.Cleanup(func() { _ = child.Process.Kill(); _ = child.Wait() })
	check(t, pin(child.Process.Pid, before[:1]))
	got, err := allowed(child.Process.Pid)
	check(t, err)
	if diff := cmp.Diff(before[:1], got); diff != "" {
		t.Errorf("CPUs of the child (-want +got):\n%s", diff)
	}
	// The load is kept apart, and put back.
	s := &sensor{Stand: &Stand{Options: Options{Kind: Embedded}}, placement: placement{load: before[:1]}}
	check(t, s.leave(before))
	got, err = allowed(os.Getpid())
	check(t, err)
	if diff := cmp.Diff(before[:1], got); diff != "" {
		t.Errorf("the load's CPUs (-want +got):\n%s", diff)
	}
	check(t, s.together())
	isBack := func(when string) {
		t.Helper()
		threads, err := filepath.Glob("/proc/self/task/*")
		check(t, err)
		for _, thread := range threads {
			tid, err := strconv.Atoi(filepath.Base(thread))
			check(t, err)
			got, err := allowed(tid)
			if err == nil && !cmp.Equal(before, got) {
				t.Errorf("%s: CPUs of thread %d: %v, before %v", when, tid, got, before)
			}
		}
	}
	isBack("together")
	// Not when it cannot be: half of the threads would be left behind.
	var one unix.CPUSet
	one.Set(before[0])
	check(t, unix.SchedSetaffinity(os.Getpid(), &one))
	s.placement.load = []int{1023}
	if err := s.leave(before); err == nil {
		t.Error("moved to a CPU that does not exist")
	}
	isBack("failed")
}
