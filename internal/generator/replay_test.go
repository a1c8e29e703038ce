package generator

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/profile"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// shop is a workload with all cases of a replay: side calls, failures,
// containers, bursts, and unknown syscalls.
func shop() *profile.Profile {
	b := profile.NewBuilder()
	for i := range 40 {
		burst := 1.0
		if i%4 == 3 {
			burst = 5
		}
		b.Add([]profile.Count{
			{Syscall: "openat", Calls: 20 * burst},
			{Syscall: "openat", Failed: true, Calls: 4},
			{Syscall: "close", Calls: 30 * burst},
			{Syscall: "read", Container: true, Calls: 50},
			{Syscall: "recvfrom", Container: true, Failed: true, Calls: 10},
			{Syscall: "clone", Calls: 1},
			{Syscall: "vfork", Calls: 2}, // made as clone is
			{Syscall: "execve", Calls: 2},
			{Syscall: "wait4", Calls: 4},
			{Syscall: "exit_group", Calls: 3},
			{Syscall: "quux", Calls: 1},
		})
	}
	p := b.Profile()
	p.Source.Kind = profile.FromKernel
	p.Processes = &profile.Processes{Forks: 30, Execs: 20, Threads: 1}
	return p
}

// rates is the rate of each syscall and of its failures in a replay, on the
// host and in containers together.
func rates(o *Options) map[string]float64 {
	made := map[string]float64{}
	for i, c := range o.Actions {
		var mean float64
		steps := o.Mix.Rates[o.Mix.Strands[i]]
		for _, rate := range steps {
			mean += rate / float64(len(steps))
		}
		mean *= o.Mix.Shares[i]
		name := strings.TrimPrefix(c.Name, "replay.")
		made[name] += mean
		if _, failed := action.CutFailed(name); failed {
			continue
		}
		besides, _, _ := action.Besides(name)
		for other, n := range besides {
			made[other] += float64(n) * mean
		}
	}
	return made
}

// Side calls included, a replay makes the recorded calls.
func TestReplayRates(t *testing.T) {
	for _, scale := range []float64{0.5, 1, 20} {
		o, notes, err := Replay(shop(), scale, 0)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]float64{"openat": 400, "openat.failed": 40, "close": 600, "read": 500, "recvfrom.failed": 100,
			"clone": 30. / 31 * 30, "thread": 30. / 31, "execve": 20, "wait4": 40, "exit_group": 30, "quux": 10}
		got := rates(&o)
		for name, rate := range want {
			if math.Abs(got[name]-scale*rate) > 1e-3*scale*rate {
				t.Errorf("%s at scale %g: %g/s, want %g/s", name, scale, got[name], scale*rate)
			}
		}
		if diff := cmp.Diff([]string{
			"getppid stands in for 0.6 % of the calls: quux",
			"0.6 % of the calls fail, and succeeded: wait4",
			"12.5 % more calls are made, which others need: fcntl, kill", // to have something to close, and to end processes
			"made as another syscall: vfork as clone",
		}, notes); diff != "" {
			t.Error(diff)
		}
	}
}

// The connect of an accept is a recorded one, also if it failed with EINPROGRESS
// in the recording, and comes when it did. Accepts without any have their own.
func TestReplayPairsAcceptsWithConnects(t *testing.T) {
	for name, test := range map[string]struct{ succeeded, failed, accepts, connects, failing float64 }{
		"blocking":        {succeeded: 3, accepts: 2, connects: 3},
		"not blocking":    {failed: 3, accepts: 2, connects: 0, failing: 3},
		"some of both":    {succeeded: 1, failed: 2, accepts: 2, connects: 1, failing: 2},
		"of others alone": {failed: 1, accepts: 4, connects: 3, failing: 1},
	} {
		b := profile.NewBuilder()
		for i := range 40 {
			var slots [profile.Slots]float64
			slots[i%7] = 1
			at := func(calls float64) *[profile.Slots]float64 {
				all := slots
				all[i%7] *= calls
				return &all
			}
			b.Add([]profile.Count{{Syscall: "connect", Calls: test.succeeded, Slots: at(test.succeeded)}, {Syscall: "connect", Failed: true, Calls: test.failed, Slots: at(test.failed)},
				{Syscall: "accept4", Calls: test.accepts, Slots: at(test.accepts)}, {Syscall: "socket", Calls: 9}, {Syscall: "close", Calls: 99}})
		}
		o, _, err := Replay(b.Profile(), 1, 0)
		if err != nil {
			t.Fatal(err)
		}
		got := rates(&o)
		want := map[string]float64{"connect": 10 * test.connects, "connect.failed": 10 * test.failing}
		for call, rate := range want {
			if math.Abs(got[call]-rate) > 1e-3 {
				t.Errorf("%s: %s at %g/s, want %g/s", name, call, got[call], rate)
			}
		}
		if accepts := got["accept4"] + got[action.Late("accept4")]; math.Abs(accepts-10*test.accepts) > 1e-3 {
			t.Errorf("%s: %g accepts/s, want %g/s", name, accepts, 10*test.accepts)
		}
	}
}

// Both kinds of accept share the connects, of which each is made once.
func TestReplayAcceptsShareConnects(t *testing.T) {
	for name, test := range map[string]struct{ succeeded, failed, accept, accept4, own float64 }{
		"not blocking":  {failed: 4, accept: 2, accept4: 2},
		"blocking":      {succeeded: 4, accept: 2, accept4: 2},
		"some of both":  {succeeded: 3, failed: 1, accept: 2, accept4: 2},
		"with too few":  {failed: 2, accept: 2, accept4: 2, own: 2},
		"none but ours": {accept: 2, accept4: 1, own: 3},
	} {
		b := profile.NewBuilder()
		for range 40 {
			b.Add([]profile.Count{{Syscall: "connect", Calls: test.succeeded}, {Syscall: "connect", Failed: true, Calls: test.failed},
				{Syscall: "accept", Calls: test.accept}, {Syscall: "accept4", Calls: test.accept4}, {Syscall: "socket", Calls: 9}, {Syscall: "close", Calls: 99}})
		}
		o, _, err := Replay(b.Profile(), 1, 0)
		if err != nil {
			t.Fatal(err)
		}
		got := rates(&o)
		for call, want := range map[string]float64{"connect": test.succeeded + test.own, "connect.failed": test.failed} {
			if math.Abs(got[call]-10*want) > 1e-3 {
				t.Errorf("%s: %s at %g/s, want %g/s", name, call, got[call], 10*want)
			}
		}
	}
}

// The course is the recorded one: a window with a burst has five times the calls.
func TestReplayCourse(t *testing.T) {
	o, _, err := Replay(shop(), 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range o.Actions {
		steps := o.Mix.Rates[o.Mix.Strands[i]]
		switch c.Name {
		case "replay.openat":
			if r := steps[3*profile.Slots] / steps[0]; math.Abs(r-(5*20+4)/24.0) > 1e-9 {
				t.Errorf("%s: a burst is %g times the rest", c.Name, r)
			}
		case "replay.read":
			if steps[3*profile.Slots] != steps[0] || !c.Container {
				t.Errorf("%s: %+v, %g/s and %g/s", c.Name, c, steps[0], steps[3*profile.Slots])
			}
		}
	}
}

// Each process of a replay leaves out what its Go runtime makes, wherever the
// calls were recorded: 97 nanosleeps per second.
func TestReplayLeavesOut(t *testing.T) {
	b := profile.NewBuilder()
	for range 20 {
		b.Add([]profile.Count{{Syscall: "nanosleep", Calls: 30}, {Syscall: "nanosleep", Container: true, Calls: 50}, {Syscall: "getpid", Calls: 5},
			{Syscall: "epoll_pwait", Container: true, Calls: 1}})
	}
	for _, test := range []struct {
		place     SandboxOptions
		processes float64
	}{{SandboxOptions{Container: InHost}, 2}, {SandboxOptions{Container: InHost, Off: true}, 1}, {SandboxOptions{Container: InContainer}, 1}} {
		o, _, err := Replay(b.Profile(), 1, 0)
		if err != nil {
			t.Fatal(err)
		}
		o.Sandbox = test.place
		actions, err := o.resolve()
		if err != nil {
			t.Fatal(err)
		}
		sums := map[string]float64{}
		for _, p := range o.split(actions) {
			m := p.mix(o.Mix)
			if err := m.check(len(p.choices)); err != nil {
				t.Fatal(err)
			}
			for name, rate := range rates(&Options{Actions: p.choices, Mix: m}) {
				sums[name] += rate
			}
		}
		for name, want := range map[string]float64{"nanosleep": 800 - 97*test.processes, "getpid": 50, "epoll_pwait": 0} {
			if math.Abs(sums[name]-want) > 1e-6 {
				t.Errorf("%+v: %g %s/s, want %g", test.place, sums[name], name, want)
			}
		}
	}
	if m := (&Mix{Rates: [][]float64{{5}}, Strands: []int{0}, Shares: []float64{1}}).leaveOut([]Choice{{Name: "replay.nanosleep"}}); m.Rates[0][0] != 5 {
		t.Errorf("nothing is left: %+v", m)
	}
}

// A replay says so if it is not where it was recorded.
func TestMisplaced(t *testing.T) {
	o, _, err := Replay(shop(), 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	for want, place := range map[string]SandboxOptions{
		"":                                {Container: InHost},
		"what containers did is done on":  {Container: InHost, Off: true},
		"what the host did is done in a ": {Container: InContainer},
		"what the host did is done in":    {Image: "debian"},
	} {
		o.Sandbox = place
		if note, err := Misplaced(o); err != nil || (note == "") != (want == "") || !strings.HasPrefix(note, want) {
			t.Errorf("%+v: %q, %v; want %q", place, note, err, want)
		}
	}
}

func TestReplayRefuses(t *testing.T) {
	empty := profile.NewBuilder().Profile()
	for name, test := range map[string]struct {
		p     *profile.Profile
		scale float64
	}{
		"no scale": {shop(), 0}, "no number": {shop(), math.NaN()}, "no syscalls": {empty, 1},
	} {
		if _, _, err := Replay(test.p, test.scale, 0); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A short run has the highest burst, at its height.
func TestReplaySampled(t *testing.T) {
	o, _, err := Replay(shop(), 1, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	whole, _, err := Replay(shop(), 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	for s := range o.Mix.Rates {
		if n := len(o.Mix.Rates[s]); n != 100 {
			t.Errorf("%d slots in a second", n)
		}
		if got, want := slices.Max(o.Mix.Rates[s]), slices.Max(whole.Mix.Rates[s]); math.Abs(got-want) > 1e-6*want {
			t.Errorf("strand %d: up to %g/s, want %g/s", s, got, want)
		}
	}
}

// If only a rate is known, calls are spread evenly.
func TestReplayWithoutShape(t *testing.T) {
	p := shop()
	p.Shape = profile.Shape{}
	o, _, err := Replay(p, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := rates(&o)["read"]; math.Abs(got-500) > 1 {
		t.Errorf("%g reads/s", got)
	}
}

// A replay runs in two sandboxed processes, one of them a container to sensors,
// and nothing in it goes wrong.
func TestReplayRuns(t *testing.T) {
	needs.Root(t)
	o, _, err := Replay(shop(), 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	o.Duration = 800 * time.Millisecond
	o.Sandbox.StateDir = t.TempDir()
	o.Sandbox.Container = InHost
	result, err := Spawn(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Processes) != 2 {
		t.Errorf("%d processes", len(result.Processes))
	}
	if result.Failed > 0 || result.Completed == 0 {
		t.Errorf("%+v", result.Counts)
		for _, a := range result.Actions {
			if a.Failed > 0 {
				t.Errorf("%s: %d failed: %v", a.Name, a.Failed, a.Errnos)
			}
		}
	}
}
