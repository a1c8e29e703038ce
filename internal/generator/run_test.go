package generator

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/generator/pace"
)

// here is an environment in the test's directory, for actions that need no more.
func here(t *testing.T) action.Env {
	t.Helper()
	return action.Env{Scratch: t.TempDir(), Prefix: "peregrine-test-"}
}

func TestRunCounts(t *testing.T) {
	two := []Choice{{Name: "noise.OpenClose", Weight: 3}, {Name: "noise.Stat", Weight: 1}}
	for _, test := range []struct {
		name    string
		o       Options
		offered uint64
	}{
		{"one pass", Options{Actions: two, Passes: 1}, 4},
		{"passes of several workers", Options{Actions: two, Passes: 50, Workers: 3}, 200},
		{"count", Options{Actions: two, Count: 7}, 7},
		{"the lower limit", Options{Actions: two, Count: 7, Passes: 1}, 4},
		{"a rate for a time", Options{Actions: two, Rate: 1000, Duration: 100 * time.Millisecond}, 100},
		{"a rate of several workers", Options{Actions: two, Rate: 2000, Duration: 100 * time.Millisecond, Workers: 4}, 200},
		{"less than one", Options{Actions: two, Rate: 1, Duration: 100 * time.Millisecond}, 1},
		{"steps", Options{Actions: two, Pacer: pace.Steps{Rates: []float64{100, 1000}, Each: 100 * time.Millisecond}}, 110},
		{"a ramp", Options{Actions: two, Pacer: pace.Ramp{From: 0, To: 2000, For: 100 * time.Millisecond}}, 100},
		{"with sleeps", Options{Actions: two, Pacer: pace.Sleep{For: time.Millisecond}, Count: 3}, 3},
		{"more than a batch", Options{Actions: two, Count: 3*batchSize + 5}, 3*batchSize + 5},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := Run(t.Context(), test.o, here(t))
			if err != nil {
				t.Fatal(err)
			}
			skipIfStalled(t, r, test.o)
			if r.Offered != test.offered || r.Completed != test.offered || len(r.Instances) != int(test.offered) {
				t.Errorf("%+v and %d instances, want %d", r.Counts, len(r.Instances), test.offered)
			}
			if r.Target != test.offered {
				t.Errorf("target %d, want %d", r.Target, test.offered)
			}
			if d := r.End.Sub(r.Start); test.o.Duration > 0 && d < test.o.Duration {
				t.Errorf("lasted %v, want %v", d, test.o.Duration)
			}
			checkInstances(t, r)
		})
	}
}

// skipIfStalled skips tests of a schedule on a machine that did not let this
// process run for longer than the schedule allows for.
func skipIfStalled(t *testing.T, r *Result, o Options) {
	t.Helper()
	if took := r.End.Sub(r.Start); o.Duration > 0 && r.Offered < r.Target && took > o.Duration+grace {
		t.Skipf("the machine stood still: %v for a run of %v", took, o.Duration)
	}
}

// checkInstances checks the invariants of all instances.
func checkInstances(t *testing.T, r *Result) {
	t.Helper()
	last := map[uint16]int64{}
	for i, in := range r.Instances {
		if in.Start < in.Planned || in.End < in.Start || in.TID == 0 {
			t.Fatalf("instance %d: %+v", i, in)
		}
		if in.Start < r.Start.UnixNano() || in.End > r.End.UnixNano() {
			t.Fatalf("instance %d is not within the run: %+v", i, in)
		}
		if in.Start < last[in.Worker] {
			t.Fatalf("instance %d starts before the one before has ended: %+v", i, in)
		}
		last[in.Worker] = in.End
	}
}

// Times of instances are those of the wall clock.
func TestInstancesAreOnTheWallClock(t *testing.T) {
	before := time.Now().UnixNano()
	r, err := Run(t.Context(), Options{Actions: []Choice{{Name: "noise.OpenClose"}}, Count: 10}, here(t))
	if err != nil {
		t.Fatal(err)
	}
	after := time.Now().UnixNano()
	if first, last := r.Instances[0], r.Instances[9]; first.Start < before || last.End > after {
		t.Errorf("%d to %d is not within %d to %d", first.Start, last.End, before, after)
	}
}

func TestSeedRepeats(t *testing.T) {
	run := func() (order []uint16) {
		o := Options{Actions: []Choice{{Name: "noise.OpenClose", Weight: 2}, {Name: "noise.Stat", Weight: 1}, {Name: "noise.Mmap", Weight: 5}}, Count: 100, Seed: 7}
		r, err := Run(t.Context(), o, here(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range r.Instances {
			order = append(order, in.Action)
		}
		return order
	}
	if a, b := run(), run(); !equal(a, b) {
		t.Errorf("one seed, two orders:\n%v\n%v", a, b)
	}
}

func equal(a, b []uint16) bool {
	for i := range a {
		if i >= len(b) || a[i] != b[i] {
			return false
		}
	}
	return len(a) == len(b)
}

// An action that fails is a failure with its number, and the run goes on.
func TestFailuresAreCounted(t *testing.T) {
	env := here(t)
	o := Options{Actions: []Choice{{Name: "syscall.ClearLogActivities"}, {Name: "noise.Mmap"}}, Passes: 5}
	o.Ready = func([]string) {
		if err := os.RemoveAll(filepath.Join(env.Scratch, "w0", "ClearLogActivities")); err != nil {
			t.Error(err)
		}
	}
	r, err := Run(t.Context(), o, env)
	if err != nil {
		t.Fatal(err)
	}
	if r.Failed != 5 || r.Completed != 5 || r.Actions[0].Errnos[syscall.ENOENT] != 5 || r.Actions[1].Failed != 0 {
		t.Errorf("%+v, %+v", r.Counts, r.Actions[0].Errnos)
	}
	for _, in := range r.Instances {
		if (in.Errno != 0) != (in.Action == 0) || in.Action == 0 && syscall.Errno(in.Errno) != syscall.ENOENT {
			t.Errorf("%+v", in)
		}
	}
}

// Out of descriptors: EMFILE is reported.
func TestOutOfDescriptors(t *testing.T) {
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	o := Options{Actions: []Choice{{Name: "noise.OpenClose"}}, Passes: 1}
	o.Ready = func([]string) {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 1, Max: old.Max}); err != nil {
			t.Error(err)
		}
	}
	r, err := Run(t.Context(), o, here(t))
	if rerr := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); err != nil || rerr != nil {
		t.Fatal(err, rerr)
	}
	if r.Actions[0].Errnos[syscall.EMFILE] != 1 {
		t.Errorf("%+v", r.Actions[0].Errnos)
	}
}

func TestSkipsAreNotFailures(t *testing.T) {
	var said []string
	o := Options{Actions: []Choice{{Name: "noise.Mmap"}, {Name: "k8saudit.CreatePrivilegedPod"}}, Passes: 2, Ready: func(skips []string) { said = skips }}
	r, err := Run(t.Context(), o, here(t))
	if err != nil {
		t.Fatal(err)
	}
	if r.Skipped != 2 || r.Completed != 2 || r.Failed != 0 || !strings.Contains(r.Actions[1].Why, "Kubernetes") {
		t.Errorf("%+v %q", r.Counts, r.Actions[1].Why)
	}
	if len(said) != 2 || said[0] != "" || said[1] != r.Actions[1].Why {
		t.Errorf("announced: %q", said)
	}
}

func TestRunStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := Options{Actions: []Choice{{Name: "noise.OpenClose"}}, Rate: 0.001, Workers: 2, Sink: func([]Instance) { cancel() }}
	r, err := Run(ctx, o, here(t)) // the second is due in 1000 s
	if err != nil || r.Offered != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestDiscardAndSink(t *testing.T) {
	var got int
	o := Options{Actions: []Choice{{Name: "noise.OpenClose"}}, Count: batchSize + 1, Discard: true, Sink: func(b []Instance) { got += len(b) }}
	r, err := Run(t.Context(), o, here(t))
	if err != nil || r.Instances != nil || got != batchSize+1 {
		t.Errorf("kept %d, got %d, %v", len(r.Instances), got, err)
	}
}

func TestBadOptions(t *testing.T) {
	good := []Choice{{Name: "noise.Mmap"}}
	for _, test := range []struct {
		o    Options
		want string
	}{
		{Options{}, "no actions"},
		{Options{Actions: []Choice{{Name: "noise.Nosuch"}, {Name: "x"}}}, "unknown actions noise.Nosuch, x"},
		{Options{Actions: []Choice{{Name: "noise.Mmap", Weight: -1}}}, "weight -1"},
		{Options{Actions: []Choice{{Name: "noise.Mmap", Weight: 5000}}}, "weight 5000"},
		{Options{Actions: good, Rate: -1}, "negative"},
		{Options{Actions: good, Rate: 1e10}, "rate of 1e+10"},
		{Options{Actions: good, Duration: -1}, "negative"},
		{Options{Actions: good, Tick: -1}, "negative"},
		{Options{Actions: good, Workers: 5000}, "5000 workers"},
		{Options{Actions: good, Order: "backwards"}, `order "backwards"`},
		{Options{Actions: good, Pacer: pace.Steps{}}, "at least one rate"},
	} {
		for name, run := range map[string]func() (*Result, error){
			"Run":   func() (*Result, error) { return Run(t.Context(), test.o, here(t)) },
			"Spawn": func() (*Result, error) { return Spawn(t.Context(), test.o) },
		} {
			if _, err := run(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: error %v, want %q", name, err, test.want)
			}
		}
	}
}

func TestNoScratch(t *testing.T) {
	_, err := Run(t.Context(), Options{Actions: []Choice{{Name: "noise.OpenClose"}}, Passes: 1}, action.Env{Scratch: "/nonexistent", Prefix: "x"})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

// The loop itself allocates nothing: a long run allocates as much as a short
// one.
func TestLoopDoesNotAllocate(t *testing.T) {
	allocs := func(count uint64) float64 {
		return testing.AllocsPerRun(3, func() {
			o := Options{Actions: []Choice{{Name: "noise.OpenClose"}}, Count: count, Discard: true}
			if _, err := Run(t.Context(), o, action.Env{Scratch: t.TempDir(), Prefix: "x"}); err != nil {
				t.Fatal(err)
			}
		})
	}
	short, long := allocs(1_000), allocs(100_000)
	if perAction := (long - short) / 99_000; perAction > 0.001 {
		t.Errorf("%.4f allocations per action (%v for 1,000, %v for 100,000)", perAction, short, long)
	}
}

func TestNoiseRate(t *testing.T) {
	o := Noise(5000)
	if err := o.Check(); err != nil {
		t.Fatal(err)
	}
	if got := o.Rate * syscallsPerAction(o.Actions); got < 4999 || got > 5001 {
		t.Errorf("%v syscalls per second, want 5000", got)
	}
}

func TestWeigh(t *testing.T) {
	choices := []Choice{{Name: "noise.OpenClose"}, {Name: "noise.Stat"}}
	if err := Weigh(choices, []string{"noise.OpenClose=3", "Stat=2"}); err != nil || choices[0].Weight != 3 || choices[1].Weight != 2 {
		t.Errorf("%v, %v", choices, err)
	}
	for _, bad := range []string{"Stat", "Stat=", "Stat=0", "Stat=x", "Stat=100000", "Nosuch=1"} {
		if Weigh(choices, []string{bad}) == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}
