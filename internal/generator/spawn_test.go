package generator

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/generator/child"
	"github.com/peregrine-sec/peregrine/internal/generator/sandbox"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// A replay keeps the user's settings of the runtime.
func TestUninterrupted(t *testing.T) {
	for user, want := range map[string]string{"": "GODEBUG=asyncpreemptoff=1", "gctrace=1": "GODEBUG=gctrace=1,asyncpreemptoff=1"} {
		if got := uninterrupted(user); got != want {
			t.Errorf("%q: %s, want %s", user, got, want)
		}
	}
}

// everything selects all actions but those that wait for seconds.
func everything(t *testing.T) (choices []Choice) {
	t.Helper()
	for _, a := range action.All() {
		if a.Cost != action.Slow {
			choices = append(choices, Choice{Name: a.Name})
		}
	}
	if len(choices) < 75 {
		t.Fatalf("only %d actions", len(choices))
	}
	return choices
}

// runsHere says whether an action can do its work on a host with root.
func runsHere(a *action.Action) bool {
	return a.Needs.Place != action.Cluster && a.Needs.Place != action.Privileged
}

func TestEveryActionRuns(t *testing.T) {
	needRoot(t)
	for _, a := range action.All() {
		if a.Cost == action.Slow && testing.Short() {
			continue
		}
		t.Run(a.Name, func(t *testing.T) {
			t.Parallel()
			r, err := Spawn(t.Context(), Options{Actions: []Choice{{Name: a.Name}}, Passes: 3, Sandbox: SandboxOptions{StateDir: t.TempDir()}})
			if err != nil {
				t.Fatal(err)
			}
			if runsHere(a) != (r.Completed == 3) || runsHere(a) == (r.Skipped == 3) || r.Failed > 0 {
				t.Errorf("%+v %s %v", r.Counts, r.Actions[0].Why, r.Actions[0].Errnos)
			}
			if (r.Actions[0].Why == "") != runsHere(a) {
				t.Errorf("skipped because %q", r.Actions[0].Why)
			}
			checkInstances(t, r)
		})
	}
}

// All actions at once, in two worker processes, leave the host as it was.
func TestSandboxLeavesNoTrace(t *testing.T) {
	needRoot(t)
	needs.Host(t)
	before := hostState(t)
	r, err := Spawn(t.Context(), Options{Actions: everything(t), Passes: 2, Workers: 2, Sandbox: SandboxOptions{StateDir: t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Failed > 0 || r.Completed < 140 {
		t.Errorf("%+v", r.Counts)
	}
	compareHost(t, before, withTimes)
}

// Without the sandbox files come and go, and none stays.
func TestNoSandboxLeavesNoTrace(t *testing.T) {
	needRoot(t)
	needs.Host(t)
	before := withoutTimes(hostState(t))
	r, err := Spawn(t.Context(), Options{Actions: everything(t), Passes: 2, Sandbox: SandboxOptions{Off: true, StateDir: t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Failed > 0 || r.Completed < 90 {
		t.Errorf("%+v", r.Counts)
	}
	compareHost(t, before, withoutTimes)
}

// With egress allowed the actions use the host's network, and those that need
// an address of the sandbox's are skipped.
func TestEgress(t *testing.T) {
	needRoot(t)
	o := Options{Passes: 1, Sandbox: SandboxOptions{Egress: true, StateDir: t.TempDir()},
		Actions: []Choice{{Name: "helper.InboundConnection"}, {Name: "noise.ConnectLoopback"}}}
	r, err := Spawn(t.Context(), o)
	if err != nil || r.Skipped != 1 || r.Completed != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// killer is a run in a process of its own, to be killed: the test binary,
// with options in the environment.
const killerVariable = "PEREGRINE_TEST_KILLER"

func killer() int {
	off := os.Getenv(killerVariable) == "off"
	var choices []Choice
	for _, a := range action.All() {
		if a.Cost == action.Fast && runsHere(a) && !(off && a.Needs.Place == action.Container) {
			choices = append(choices, Choice{Name: a.Name})
		}
	}
	fmt.Println("starting")
	o := Options{Actions: choices, Workers: 2, Discard: true, Sandbox: SandboxOptions{Off: off, StateDir: os.Getenv(killerVariable + "_STATE")}}
	if !off {
		o.Rate = 5000 // both parts at once
	}
	o.Ready = func([]string) { fmt.Println("ready") }
	if _, err := Spawn(context.Background(), o); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// A run that is killed at any moment, with its worker processes or without,
// and while those are stopped, is undone by one call of cleanup.
func TestKillAndCleanup(t *testing.T) {
	needRoot(t)
	needs.Host(t)
	times, seed := 20, uint64(time.Now().UnixNano())
	if testing.Short() {
		times = 4
	}
	if text := os.Getenv("PEREGRINE_KILLS"); text != "" { // 100, or 100:SEED to repeat one
		if n, err := fmt.Sscanf(text, "%d:%d", &times, &seed); n == 0 {
			t.Fatal(err)
		}
	}
	t.Logf("PEREGRINE_KILLS=%d:%d", times, seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range times {
		k := killing{
			mode:  []string{"off", "on"}[random.IntN(2)],
			delay: time.Duration(random.ExpFloat64() * float64(40*time.Millisecond)),
			also:  []string{"", "kill the workers", "stop the workers"}[random.IntN(3)],
		}
		t.Run(fmt.Sprintf("%+v", k), func(t *testing.T) {
			before := withoutTimes(hostState(t))
			state := filepath.Join(t.TempDir(), "state")
			killRun(t, k, state)
			did, err := sandbox.Cleanup(state)
			if err != nil || strings.Contains(strings.Join(did, " "), "left ") {
				t.Errorf("%q, %v", did, err)
			}
			compareHost(t, before, withoutTimes)
			if list, err := os.ReadDir(state); len(list) > 0 {
				t.Errorf("journals are left: %v, %v", list, err)
			}
			// A worker that had not been told anything ends by itself.
			needs.Eventually(t, "the end of all processes", func() bool { return len(processesOf(t, state)) == 0 })
		})
	}
}

// Ctrl-C once: the run ends, and reports its actions so far.
func TestSpawnStops(t *testing.T) {
	needRoot(t)
	needs.Host(t)
	before := hostState(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := Options{Actions: []Choice{{Name: "syscall.WriteBelowEtc"}, {Name: "syscall.PacketSocketCreatedInContainer"}}, Rate: 1000, Workers: 2, Sandbox: SandboxOptions{StateDir: t.TempDir()}}
	o.Sink = func([]Instance) { cancel() } // with the first of them
	r, err := Spawn(ctx, o)
	if err != nil || r.Completed == 0 || r.Failed > 0 {
		t.Errorf("%+v, %v", r, err)
	}
	compareHost(t, before, withTimes)
}

// Twice: the worker is killed, and its changes are undone.
func TestSpawnAborts(t *testing.T) {
	needRoot(t)
	needs.Host(t)
	for _, off := range []bool{false, true} {
		before := withoutTimes(hostState(t))
		abort := make(chan struct{})
		o := Options{Actions: []Choice{{Name: "syscall.WriteBelowEtc"}, {Name: "syscall.ReadSshInformation"}}, Rate: 1000, Abort: abort, Sandbox: SandboxOptions{Off: off, StateDir: t.TempDir()}}
		o.Ready = func([]string) { close(abort) }
		if _, err := Spawn(t.Context(), o); !errors.Is(err, ErrAborted) {
			t.Errorf("error %v", err)
		}
		compareHost(t, before, withoutTimes)
	}
}

// Both parts of a run take turns in a closed loop, and are one result.
func TestInTurns(t *testing.T) {
	needRoot(t)
	o := Options{Actions: []Choice{{Name: "syscall.PacketSocketCreatedInContainer", Weight: 2}, {Name: "noise.Mmap", Weight: 1}, {Name: "syscall.ReadEnvironmentVariableFromProcFiles", Weight: 1}}, Passes: 3, Sandbox: SandboxOptions{StateDir: t.TempDir()}}
	r, err := Spawn(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Offered != 12 || r.Actions[0].Completed != 6 || r.Actions[1].Completed != 3 || r.Actions[2].Completed != 3 || r.Actions[0].Cost.TotalCount() != 6 {
		t.Errorf("%+v", r)
	}
	counts := map[uint16]int{}
	for _, in := range r.Instances {
		counts[in.Action]++
	}
	if counts[0] != 6 || counts[1] != 3 || counts[2] != 3 {
		t.Errorf("instances by action: %v", counts)
	}
	o.Count = 5
	if r, err = Spawn(t.Context(), o); err != nil || r.Offered != 5 {
		t.Errorf("with a count of 5: %d, %v", r.Offered, err)
	}
}

// Few actions at a rate end, whichever part they fall to.
func TestFewActions(t *testing.T) {
	needRoot(t)
	o := Options{Actions: []Choice{{Name: "syscall.ReadEnvironmentVariableFromProcFiles", Weight: 1}, {Name: "noise.Mmap", Weight: 4}}, Rate: 1000, Sandbox: SandboxOptions{StateDir: t.TempDir()}}
	for count, want := range map[uint64][2]uint64{1: {0, 1}, 2: {0, 2}, 3: {1, 2}, 5: {1, 4}} {
		o.Count = count
		r, err := Spawn(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if r.Offered != count || r.Target != count || r.Actions[0].Completed != want[0] || r.Actions[1].Completed != want[1] {
			t.Errorf("count %d: target %d, %+v, %d and %d", count, r.Target, r.Counts, r.Actions[0].Completed, r.Actions[1].Completed)
		}
	}
}

func TestShares(t *testing.T) {
	for _, test := range []struct {
		n       uint64
		weights []int
		want    []uint64
	}{
		{0, []int{1, 1}, []uint64{0, 0}},
		{1, []int{1, 1}, []uint64{1, 0}},
		{3, []int{1, 4}, []uint64{1, 2}},
		{10, []int{1, 1, 1}, []uint64{4, 3, 3}},
		{math.MaxUint64, []int{1, 1}, []uint64{1 << 63, 1<<63 - 1}},
	} {
		var parts []*part
		for _, w := range test.weights {
			parts = append(parts, &part{weight: w})
		}
		if got := shares(test.n, parts); !slices.Equal(got, test.want) {
			t.Errorf("%d by %v: %v, want %v", test.n, test.weights, got, test.want)
		}
	}
}

// A shared rate is that of both parts together.
func TestTogether(t *testing.T) {
	needRoot(t)
	o := Options{Actions: []Choice{{Name: "syscall.ReadEnvironmentVariableFromProcFiles", Weight: 3}, {Name: "noise.Mmap", Weight: 1}}, Rate: 400, Duration: 500 * time.Millisecond, Sandbox: SandboxOptions{StateDir: t.TempDir()}}
	r, err := Spawn(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	skipIfStalled(t, r, o)
	if r.Target != 200 || r.Offered != 200 || r.Actions[0].Completed != 150 || r.Actions[1].Completed != 50 || r.TargetRate != 400 {
		t.Errorf("target %d, %+v, %d and %d", r.Target, r.Counts, r.Actions[0].Completed, r.Actions[1].Completed)
	}
}

// Failures before the first action are reported, and their changes undone.
func TestSpawnReportsFailures(t *testing.T) {
	needRoot(t)
	state := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(state, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Spawn(t.Context(), Options{Actions: []Choice{{Name: "noise.Mmap"}}, Passes: 1, Sandbox: SandboxOptions{StateDir: state}})
	if err == nil || !strings.Contains(err.Error(), "undo journal") {
		t.Errorf("error %v", err)
	}
}

// A killed worker process is an error, not a result.
func TestWorkerIsKilled(t *testing.T) {
	needRoot(t)
	state := t.TempDir()
	o := Options{Actions: []Choice{{Name: "noise.OpenClose"}}, Rate: 100, Duration: time.Minute, Sandbox: SandboxOptions{StateDir: state}}
	o.Ready = func([]string) {
		for _, pid := range workersOf(t, os.Getpid()) {
			send(t, pid, syscall.SIGKILL)
		}
	}
	_, err := Spawn(t.Context(), o)
	if err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// A program that does not call Child gets an error, and does not start itself
// repeatedly.
func TestForgottenChild(t *testing.T) {
	t.Setenv(child.Variable, "work")
	if _, err := Spawn(t.Context(), Options{Actions: []Choice{{Name: "noise.Mmap"}}, Passes: 1}); err == nil || !strings.Contains(err.Error(), "generator.Child must be called") {
		t.Errorf("error %v", err)
	}
}
