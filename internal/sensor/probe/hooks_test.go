package probe

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

var handOverOpens = flag.Int("hand-over-opens", 20_000, "opens, at least, of each thread during a hand-over")

// Where functions cannot be hooked, sys_exit reports, and the log says why, once.
// Rules on the files of closes are a reason on kernels that could hook
// functions.
func TestFallBack(t *testing.T) {
	needBPF(t)
	var log bytes.Buffer
	in := Interest{Syscalls: ids("openat", "close"), ClosedFiles: true}
	p, err := Load(asTested(Options{CPUsPerRing: 1, Interest: in, Hooks: Functions, Log: slog.New(slog.NewTextHandler(&log, nil))}))
	if err != nil {
		t.Fatal(err)
	}
	force := settled(p)
	reasons := regexp.MustCompile(`^(rules ask for the files of closes|the kernel takes no programs on functions: .|the kernel is preemptible|it is not known whether the kernel is preemptible: .|the kernel attaches no programs to its functions|the kernel's types have no )`)
	if force.Hooks != Tracepoint || force.Functions != 0 || !reasons.MatchString(force.Why) {
		t.Errorf("%+v", force)
	}
	if err := p.SetInterest(in); err != nil {
		t.Error(err)
	}
	if again := settled(p); again != force {
		t.Errorf("%+v, before it was %+v", again, force)
	}
	seesOpens(t, p)
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 || !strings.Contains(log.String(), "syscalls are seen at tracepoint sys_exit") {
		t.Errorf("%d warnings: %s", n, log.String())
	}
}

// Where nearly all of the host's calls are wanted, sys_exit costs less; after
// each change of what is wanted, the calls are counted again.
func TestAuto(t *testing.T) {
	var done atomic.Bool
	var caller sync.WaitGroup
	caller.Go(func() {
		for !done.Load() {
			raw(unix.SYS_GETPPID)
		}
	})
	defer caller.Wait()
	defer done.Store(true)
	few := Interest{Syscalls: ids("openat")}
	p := load(t, Options{CPUsPerRing: 1, Interest: few, Hooks: Auto})
	const most = "rules look at "
	force := settled(p)
	if force.Hooks != Functions && !strings.HasPrefix(force.Why, most) {
		t.Skip(force.Why)
	}
	if force.Hooks != Functions {
		t.Errorf("few calls are wanted: %+v", force)
	}
	if err := p.SetInterest(Interest{Syscalls: ids("openat", "getppid")}); err != nil {
		t.Fatal(err)
	}
	needs.Eventually(t, "sys_exit", func() bool { return strings.HasPrefix(p.Hooks().Why, most) })
	if err := p.SetInterest(few); err != nil {
		t.Fatal(err)
	}
	if force := settled(p); force.Hooks != Functions {
		t.Errorf("few calls are wanted again: %+v", force)
	}
}

// Calls get their time from the last function that was attached, be it by a
// reload while others get theirs.
func TestUnderWay(t *testing.T) {
	const all = time.Hour
	for name, tt := range map[string]struct {
		state uint64
		since time.Duration
		waits bool
	}{
		"just attached":    {bothReport, 0, true},
		"attached a while": {bothReport, all / 2, true},
		"functions let go": {bySysExit, 0, false},
		"functions report": {byFunction, 0, false},
		"let go meanwhile": {bySysExit | withMarks, all / 2, false},
	} {
		h := &hooks{state: tt.state, underWay: all, changedAt: time.Now().Add(-tt.since)}
		left := h.letGo(t.Context())
		if waits := left > 0; waits != tt.waits || left > all-tt.since {
			t.Errorf("%s: %v are left of %v", name, left, all)
		}
		if h.state != tt.state {
			t.Errorf("%s: state %b, was %b", name, h.state, tt.state)
		}
	}
}

// Calls get their time again when the kernel detaches an earlier stub of an
// attached function, for which sys_exit waits.
func TestUnderWayDetaching(t *testing.T) {
	needBPF(t)
	stub := emptyProgram(t)
	info, err := stub.Info()
	if err != nil {
		t.Fatal(err)
	}
	id, _ := info.ID()
	h := &hooks{state: bothReport, underWay: time.Hour, leaving: map[ebpf.ProgramID]string{id: "openat"}}
	if h.detaching() {
		t.Error("waits for a function that is not attached")
	}
	if !h.leaves([]string{"close", "openat"}) || h.leaves([]string{"close"}) {
		t.Errorf("openat's stub is there, close has none: %v are leaving", h.leaving)
	}
	h.attached = map[string]place{"openat": {}}
	if left := h.letGo(t.Context()); left <= 0 || left >= time.Minute || h.state != bothReport {
		t.Errorf("the stub is there: %v are left, state %b", left, h.state)
	}
	if err := stub.Close(); err != nil {
		t.Fatal(err)
	}
	needs.Eventually(t, "the stub is gone", func() bool { return !h.detaching() })
	if left := h.letGo(t.Context()); left <= 59*time.Minute || left > time.Hour || len(h.leaving) != 0 {
		t.Errorf("the stub is gone: %v are left, %v are leaving", left, h.leaving)
	}
}

// emptyProgram stands for a stub.
func emptyProgram(t *testing.T) *ebpf.Program {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SocketFilter, Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// While functions alone report, none is attached that the kernel has yet to
// detach: sys_exit takes over first.
func TestAttachWhileDetaching(t *testing.T) {
	needBPF(t)
	all := numberings(nativeABI())
	if all == nil {
		t.Skip("functions are not hooked on this architecture")
	}
	stub := emptyProgram(t)
	info, err := stub.Info()
	if err != nil {
		t.Fatal(err)
	}
	id, _ := info.ID()
	open := all[0].openat()
	ended, cancel := context.WithCancel(t.Context())
	cancel() // nothing is attached
	for _, tt := range []struct {
		leaving string
		state   uint64
		why     string
	}{
		{open, byFunction, beingDetached},
		{"close", byFunction, ended.Err().Error()},
		{open, bothReport, ended.Err().Error()},
		{open, bySysExit, ended.Err().Error()},
	} {
		h := &hooks{probe: &Probe{}, state: tt.state, found: map[string]function{}, leaving: map[ebpf.ProgramID]string{id: tt.leaving}}
		if _, why := h.attach(ended, Interest{Syscalls: ids("openat")}); why != tt.why {
			t.Errorf("%s is leaving, state %b: %q, expected %q", tt.leaving, tt.state, why, tt.why)
		}
	}
}

// Each numbered open is reported once: while functions take over from sys_exit,
// while syscalls come and go, and while sys_exit takes over again.
func TestHandOver(t *testing.T) {
	needBPF(t)
	one := Interest{Syscalls: ids("openat")}
	o := newOpens(t)
	// The first hand-over is under load too. An open may wait for a CPU.
	p, err := Load(asTested(Options{CPUsPerRing: 1, Interest: one, Hooks: Functions, underWay: time.Second}))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	o.begin()
	changes := make(chan int)
	go func() { changes <- changeHooks(t, p, one, o) }()
	tr := &tracer{t: t, probe: p}
	rounds := -1
	for rounds < 0 {
		select {
		case rounds = <-changes:
		default:
			o.count(tr.drain(0))
		}
	}
	o.count(tr.drain(now()))
	c, err := p.Counters()
	if err != nil || c.Dropped() > 0 {
		t.Fatalf("lost events: %+v, %v", c, err)
	}
	in := awaitHooks(t, p)
	t.Logf("%v opens, %d rounds of changes, %d arguments not read, hooks %+v", o.made, rounds, c.Faults, in)
	for thread, made := range o.made {
		for number := range made {
			if seen := o.seen[thread][number]; seen != 1 {
				t.Errorf("open %d of thread %d was reported %d times", number, thread, seen)
			}
		}
	}
	logSkips(t, p)
	if in.Hooks != Functions {
		t.Skipf("nothing was handed over, the opens were seen at sys_exit alone: %s", in.Why)
	}
}

// logSkips tells which calls the kernel kept from the attached stubs, since these
// ran already.
func logSkips(t *testing.T, p *Probe) {
	p.hooks.mu.Lock()
	defer p.hooks.mu.Unlock()
	for name, at := range p.hooks.attached {
		stub, err := ebpf.NewProgramFromID(at.stub)
		if err != nil {
			t.Error(err)
			continue
		}
		stats, err := stub.Stats()
		if err := errors.Join(err, stub.Close()); err != nil {
			t.Error(err)
		} else if stats.RecursionMisses > 0 {
			t.Logf("%s: %d calls were skipped", name, stats.RecursionMisses)
		}
	}
}

// changeHooks adds syscalls and takes them away, and makes sys_exit and the
// functions take over in turn, until all is opened. It counts the rounds.
func changeHooks(t *testing.T, p *Probe, one Interest, o *opens) int {
	more := Interest{Syscalls: ids("openat", "dup", "connect", "unlinkat", "setsid", "mkdirat", "getpid")}
	back := one
	back.ClosedFiles = true // takes sys_exit
	awaitHooks(t, p)
	for o.left.Load() > 0 {
		for _, in := range []Interest{more, one, back, one} {
			if err := p.SetInterest(in); err != nil {
				t.Error(err)
			}
			if in.ClosedFiles {
				time.Sleep(50 * time.Millisecond) // the pace of the changes
			}
		}
		awaitHooks(t, p)
		o.rounds.Add(1)
	}
	return int(o.rounds.Load())
}

const openThreads = 2

// opens are numbered opens by several threads, and how often each was seen. The
// number is the call's directory, which an absolute path makes meaningless: a
// register always tells it. A path in memory is read while the call returns, and
// is missing from the event if the kernel changes the mapping of its page just
// then (huge pages, compaction).
type opens struct {
	dir    string
	made   [openThreads]int
	seen   [openThreads]map[int]int
	ahead  chan struct{} // of opens that were not seen yet: the rings hold so many
	left   atomic.Int32  // threads
	rounds atomic.Int32  // of changes of hooks
}

// numberBits are those of the number, below the thread's, counted from 1: no
// descriptor is as large.
const numberBits = 24

func newOpens(t *testing.T) *opens {
	o := &opens{dir: t.TempDir() + "/", ahead: make(chan struct{}, 10_000)}
	for i := range o.seen {
		o.seen[i] = map[int]int{}
	}
	return o
}

// begin starts the threads. Each ends with its last open, and not before hooks
// have changed. Some paths cannot be read.
func (o *opens) begin() {
	o.left.Store(openThreads)
	for thread := range o.made {
		go func() {
			defer o.left.Add(-1)
			for n := 0; n < *handOverOpens || o.rounds.Load() == 0; n++ {
				o.ahead <- struct{}{}
				var path any
				if n%1000 != 0 {
					path = fmt.Sprintf("%s%d-%d", o.dir, thread, n)
				}
				raw(unix.SYS_OPENAT, (thread+1)<<numberBits|n, path, unix.O_RDONLY)
				o.made[thread]++
			}
		}()
	}
}

func (o *opens) count(all []recorded) {
	for _, e := range all {
		if e.Kind() != event.KindOpenat || int(e.Header().PID) != os.Getpid() {
			continue
		}
		number := int(e.Int(event.KindOpenat.Info().Slot("dirfd")))
		thread, n := number>>numberBits-1, number&(1<<numberBits-1)
		if thread < 0 || thread >= openThreads {
			continue // not one of these
		}
		o.seen[thread][n]++
		select {
		case <-o.ahead:
		default: // seen twice
		}
	}
}

func init() {
	helpers["hooked"] = func() {
		p, err := Load(asTested(Options{Interest: Interest{Syscalls: ids("openat", "connect", "getpid")}, Hooks: Functions}))
		if err != nil {
			panic(err)
		}
		fmt.Printf("%+v\n", settled(p))
		select {}
	}
}

// Of a sensor that is killed, no program is left on any function.
func TestKilled(t *testing.T) {
	needBPF(t)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "PROBE_TEST_HELPER=hooked")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	hooked := stubs(t)
	start := time.Now()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	t.Logf("ended after %v", time.Since(start))
	for n := stubs(t); n > 0; n = stubs(t) {
		time.Sleep(100 * time.Millisecond) // to the test's own time limit
	}
	t.Logf("nothing is attached after %v", time.Since(start))
	switch {
	case hooked > 0:
	case os.Getenv("PEREGRINE_REQUIRE_HOOKS") == "1":
		t.Errorf("no function was hooked: %s", said)
	default:
		t.Skipf("no function was hooked: %s", said)
	}
}

// stubs counts the programs on functions that this package attached.
func stubs(t *testing.T) (n int) {
	t.Helper()
	for id := ebpf.ProgramID(0); ; {
		next, err := ebpf.ProgramGetNextID(id)
		if errors.Is(err, os.ErrNotExist) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		id = next
		p, err := ebpf.NewProgramFromID(id)
		if err != nil {
			continue // gone meanwhile
		}
		if info, err := p.Info(); err == nil && (strings.HasPrefix(info.Name, "x64_sys_") || strings.HasPrefix(info.Name, "arm64_sys_") || strings.HasPrefix(info.Name, "do_sys_")) {
			n++
		}
		p.Close()
	}
}
