package stand

import (
	"os"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"
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
	s := &sensor{Stand: &Stand{Options: Options{Kind: Embedded}}, ours: before}
	check(t, pin(os.Getpid(), before[:1]))
	check(t, s.together())
	got, err = allowed(os.Getpid())
	check(t, err)
	if diff := cmp.Diff(before, got); diff != "" {
		t.Errorf("our CPUs (-before +after):\n%s", diff)
	}
}
