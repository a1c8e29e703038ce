package probe

import (
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// loadUnread is a probe that asks for calls that no other program on the host makes,
// leaves out those that fail, and whose rings, of the smallest size, are not read.
func loadUnread(t *testing.T) *Probe {
	t.Helper()
	if testing.Short() {
		t.Skip("other packages' tests make such calls, and may run at the same time")
	}
	return load(t, Options{CPUsPerRing: 0, RingBytes: os.Getpagesize(), DropFailed: true,
		Interest: Interest{Syscalls: ids("open_by_handle_at", "timerfd_settime", "mlockall")}})
}

// N calls are N events of their family and fate, with the time that they took,
// and at least as many runs of the program that hooks start.
func TestMeasure(t *testing.T) {
	p := loadUnread(t)
	const n = 3000
	calls := func() {
		for range n {
			raw(unix.SYS_OPEN_BY_HANDLE_AT, 12345, uint64(8), 0) // fails
			raw(unix.SYS_MUNLOCKALL)                             // nobody asked
			raw(unix.SYS_MLOCKALL, 12345)                        // fails, too
			raw(unix.SYS_MLOCKALL, unix.MCL_FUTURE|unix.MCL_ONFAULT)
		}
		raw(unix.SYS_MUNLOCKALL)
	}
	c, err := p.measure(calls)
	if err != nil {
		t.Fatal(err)
	}
	mlockall, _ := event.SyscallByName("mlockall")
	family := mlockall.Kind().Info().Family
	open, lock := c.Tallies[event.FamilyOpen], c.Tallies[family]
	if open[Filtered].Events != n || open[Delivered].Events+open[Dropped].Events != 0 {
		t.Errorf("opens: %+v, want %d filtered and no other", open, n)
	}
	if lock[Filtered].Events != n || lock[Delivered].Events+lock[Dropped].Events != n || lock[Dropped].Events < n/2 {
		t.Errorf("%v: %+v, want %d filtered, and as many delivered or, mostly, dropped", family, lock, n)
	}
	for _, tally := range []Tally{open[Filtered], lock[Filtered], lock[Dropped]} {
		if limit := uint64(c.Elapsed) * uint64(runtime.NumCPU()); tally.Ns == 0 || tally.Ns > limit {
			t.Errorf("%+v in %v", tally, c.Elapsed)
		}
	}
	if c.Because != "" {
		t.Skip(c.Because)
	}
	want := map[string]uint64{sysExit: 4 * n}
	if p.Hooks().Hooks == Functions {
		want = map[string]uint64{"64_sys_open_by_handle_at": n, "64_sys_mlockall": 2 * n}
	}
	for name, runs := range want {
		i := slices.IndexFunc(c.Programs, func(r Run) bool { return strings.HasSuffix(r.Name, name) })
		if i < 0 || c.Programs[i].Count < runs || c.Programs[i].Time == 0 {
			t.Errorf("runs of %s in %+v, want at least %d", name, c.Programs, runs)
		}
	}
	if slices.ContainsFunc(c.Programs, func(r Run) bool { return r.Count == 0 }) {
		t.Errorf("programs that did not run: %+v", c.Programs)
	}
}

// Measuring ends with it: events are counted, their time is not.
func TestMeasureEnds(t *testing.T) {
	p := loadUnread(t)
	fail := func() { raw(unix.SYS_OPEN_BY_HANDLE_AT, 12345, uint64(8), 0) }
	inner := func() {
		if _, err := p.measure(fail); err != nil {
			t.Fatal(err)
		}
	}
	c, err := p.measure(func() { inner(); fail() }) // the outer one goes on
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Tallies[event.FamilyOpen][Filtered].Events; got != 2 {
		t.Errorf("%d events, want 2", got)
	}
	before, err := p.Counters()
	if err != nil {
		t.Fatal(err)
	}
	fail()
	after, err := p.Counters()
	if err != nil {
		t.Fatal(err)
	}
	d := after.Tallies.since(&before.Tallies)[event.FamilyOpen][Filtered]
	if d.Events != 1 || d.Ns != 0 {
		t.Errorf("%+v, want an event and no time", d)
	}
	on, _ := os.ReadFile("/proc/sys/kernel/bpf_stats_enabled")
	if string(on) != "0\n" {
		t.Skip("the kernel counts runs for another")
	}
	runs, err := p.Runs()
	if err != nil {
		t.Fatal(err)
	}
	fail()
	more, err := p.Runs()
	if err != nil {
		t.Fatal(err)
	}
	if d := runsSince(runs, more); len(d) > 0 {
		t.Errorf("the kernel still counts: %+v", d)
	}
}
