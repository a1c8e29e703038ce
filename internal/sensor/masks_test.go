package sensor

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/linux/boottime"
	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/engine"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan"
	"github.com/peregrine-sec/peregrine/internal/sensor/probe"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// watcher is a probe and an engine that look at the test's child processes and
// their descendants, with the kernel's masks or without.
type watcher struct {
	t      *testing.T
	probe  *probe.Probe
	engine *engine.Engine
	pids   map[int32]bool // of the processes, since their start
	ends   chan int32     // those that have ended
	events map[string]int // delivered, by type
	alerts map[string]int // by text
	late   int            // execs that were told late
	masked bool

	drops   event.Drops // when they were looked at last
	mayLose bool        // events for which the ring has no room: incomplete tells
	unsent  uint64      // such, since incomplete told
	leftOut int         // rounds

	mu   sync.Mutex
	told map[image]bool // that the kernel has a mask for, or had
}

// image is a program that a process runs.
type image struct{ pid, execID uint32 }

// watch starts a watcher for the test.
func watch(t *testing.T, list []*rules.Rule, masked bool) *watcher {
	t.Helper()
	requireBPF(t)
	w := &watcher{t: t, masked: masked, pids: map[int32]bool{}, ends: make(chan int32, 1<<16), events: map[string]int{}, alerts: map[string]int{}, told: map[image]bool{}}
	ruleset := w.ruleset(list)
	w.engine = engine.New(engine.Options{
		Table: state.NewTable(state.Options{ProcRoot: "/proc", HostRoot: "/"}), Rules: ruleset,
		Static: &field.Static{Source: field.SyscallSource, Snaplen: 80}, Emit: func(*alert.Alert) {}, Observe: w.observe,
	})
	var err error
	w.probe, err = probe.Load(probe.Options{Interest: interest(ruleset.Plan), RingBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	w.engine.SetClock(uint64(boottime.Epoch()))
	if masked && *processMasks {
		w.engine.TellMasks(w.tellMask)
	}
	w.engine.TellGroups(func(set []byte, host bool) {
		if err := w.probe.SetHost(set, host); err != nil {
			t.Error(err)
		}
	})
	if err := w.probe.Snapshot(w.engine.Learn); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		w.engine.Run(ctx, w.probe.Reader())
		close(done)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		if err := w.probe.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// filterExecs has the kernel leave out execs and hold what is told late. Then
// nothing may tell of the end of a process.
func (w *watcher) filterExecs() {
	w.t.Helper()
	if err := w.engine.Do(w.t.Context(), func() { w.engine.FilterExecs(w.probe) }); err != nil {
		w.t.Fatal(err)
	}
}

// ruleset compiles rules whose alerts the watcher notes.
func (w *watcher) ruleset(list []*rules.Rule) *engine.Ruleset {
	w.t.Helper()
	ruleset, err := buildRuleset(list, config.Default(), alert.Options{}, plan.Options{Unmasked: !w.masked})
	if err != nil {
		w.t.Fatal(err)
	}
	ruleset.All = true
	for i, f := range ruleset.Formatters {
		ruleset.Formatters[i] = noted{f, w}
	}
	return ruleset
}

func (w *watcher) tellMask(m plan.ProcessMask) {
	if err := w.probe.SetProcessMask((*probe.ProcessMask)(&m)); err != nil {
		panic(err) // the memory of a map that exists
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told[image{m.PID, m.ExecID}] = true
}

// images is of how many images of a process the kernel was told a mask.
func (w *watcher) images(pid int) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.told {
		if i.pid == uint32(pid) {
			n++
		}
	}
	return n
}

// count is how many events of a type it has got.
func (w *watcher) count(name string) (n int) {
	w.t.Helper()
	if err := w.engine.Do(w.t.Context(), func() { n = w.events[name] }); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// use replaces the rules, and forgets what was seen.
func (w *watcher) use(list []*rules.Rule) {
	w.t.Helper()
	w.exchange(list, func() {
		clear(w.events)
		clear(w.alerts)
		clear(w.pids)
	})
}

// exchange replaces the rules, and does something at that moment.
func (w *watcher) exchange(list []*rules.Rule, do func()) {
	w.t.Helper()
	ruleset := w.ruleset(list)
	if err := w.probe.SetInterest(interest(ruleset.Plan)); err != nil {
		w.t.Fatal(err)
	}
	err := w.engine.Do(w.t.Context(), func() {
		w.engine.Swap(ruleset, &field.Static{Source: field.SyscallSource, Snaplen: 80})
		do()
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// saw returns the events and the alerts, once the process has ended; an error if
// some were lost.
func (w *watcher) saw(pid int) (events, alerts map[string]int) {
	w.t.Helper()
	for timeout := time.After(needs.Patience); ; {
		select {
		case ended := <-w.ends:
			if ended != int32(pid) {
				continue
			}
		case <-timeout:
			w.t.Fatal("the end of the process was never seen")
		}
		break
	}
	if err := w.engine.Do(w.t.Context(), func() { events, alerts = maps.Clone(w.events), maps.Clone(w.alerts) }); err != nil {
		w.t.Fatal(err)
	}
	w.nothingLost()
	return events, alerts
}

// nothingLost fails with the causes if events were lost, but for those for which
// the ring had no room, or no time: a machine under load may leave a CPU that holds
// the ring's lock alone for longer than the kernel lets others wait for it. These
// are left to incomplete.
func (w *watcher) nothingLost() {
	w.t.Helper()
	c, err := w.probe.Counters()
	if err != nil {
		w.t.Fatal(err)
	}
	lost := c.Drops.Minus(w.drops)
	w.drops = c.Drops
	w.unsent += lost.Of(event.DropBuffer)
	if lost.Total() > lost.Of(event.DropBuffer) || !w.mayLose && w.unsent > 0 {
		causes, _ := lost.MarshalJSON()
		w.t.Fatalf("dropped %d events: %s", lost.Total(), causes)
	}
}

// watchBoth starts two watchers, with the kernel's masks and without, whose rounds
// are left out if they are incomplete.
func watchBoth(t *testing.T, list []*rules.Rule) (on, off *watcher) {
	t.Helper()
	on, off = watch(t, list, true), watch(t, list, false)
	on.mayLose, off.mayLose = true, true
	return on, off
}

// incomplete says whether one of two watchers of the same processes did not get
// all events since it was asked before, so that they cannot be compared.
func incomplete(t *testing.T, a, b *watcher) bool {
	t.Helper()
	lost := a.unsent + b.unsent
	a.unsent, b.unsent = 0, 0
	if lost == 0 {
		return false
	}
	t.Logf("%d events did not get into a ring: this round is left out", lost)
	if a.leftOut++; a.leftOut > 3 {
		t.Fatal("too many rounds are left out")
	}
	return true
}

// observe counts an event of the processes.
func (w *watcher) observe(c *field.Context) {
	pid, kind := c.Proc.PID, c.Event.Kind()
	if kind == event.KindProcfork {
		child := int32(c.Event.Int(kind.Info().Slot("child")))
		w.pids[child] = w.pids[pid] || pid == int32(os.Getpid())
	}
	if h := c.Event.Header(); kind == event.KindExecve && h.Flags&event.Late != 0 {
		w.pids[pid] = w.pids[pid] || w.pids[int32(h.PPID)] || h.PPID == uint32(os.Getpid())
		if w.pids[pid] {
			w.late++
		}
	}
	if !w.pids[pid] {
		return
	}
	name := kind.String()
	if kind == event.KindSyscall {
		name = event.ID(c.Event.Header().Syscall).String()
	}
	w.events[name]++
	if kind == event.KindProcexit && c.Event.Header().Flags&event.ThreadExit == 0 {
		w.ends <- pid
	}
}

// noted notes the alerts of the processes.
type noted struct {
	engine.Formatter
	*watcher
}

func (n noted) Format(c *field.Context) *alert.Alert {
	a := n.Formatter.Format(c)
	if n.pids[c.Proc.PID] {
		n.alerts[a.Rule+": "+a.Message]++
	}
	return a
}

// finish runs a command to its end and returns its process.
func finish(t *testing.T, cmd *exec.Cmd) (pid int) {
	t.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	return cmd.Process.Pid
}

var processMasks = flag.Bool("process-masks", true, "give the kernel masks of processes")

var workloadFlag = flag.String("workload", "for i in 1 2 3; do /bin/true; done", "a command of the shell, for TestDelivered")

var (
	masksSeed   = flag.Uint64("masks-seed", 0, "of TestMasksOnAndOff; 0: another each time")
	masksRounds = flag.Int("masks-rounds", 40, "sets of rules that TestMasksOnAndOff tries")
)

// Random rules have the same alerts of random system calls whether the kernel
// masks what they cannot match or not.
func TestMasksOnAndOff(t *testing.T) {
	if unix.MountSetattr(-1, "", 0, &unix.MountAttr{}) == unix.ENOSYS {
		t.Skip("before Linux 5.12, nothing confines random calls")
	}
	seed := cmp.Or(*masksSeed, rand.Uint64())
	t.Logf("-masks-seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	dir := callDir(t)
	first := randomRules(t, r, dir)
	on, off := watchBoth(t, first)
	var sent, seen, alerted int
	for round := range *masksRounds {
		list := randomRules(t, r, dir)
		on.use(list)
		off.use(list)
		name := callNames[round%len(callNames)]
		pid := finish(t, exec.Command(filepath.Join(dir, name), actArg, "calls", dir, fmt.Sprint(r.Uint64()), "400"))
		events, alerts := on.saw(pid)
		all, want := off.saw(pid)
		if incomplete(t, on, off) {
			continue
		}
		if d := gocmp.Diff(want, alerts); d != "" {
			for _, rule := range list {
				t.Log(rule.Name, rule.Condition)
			}
			t.Fatalf("alerts without masks (-) and with (+):\n%s", d)
		}
		sent, seen, alerted = sent+sum(events), seen+sum(all), alerted+sum(want)
	}
	t.Logf("%d of %d events delivered, %d alerts", sent, seen, alerted)
	if sent > seen*49/50 || alerted == 0 {
		t.Errorf("%d of %d events delivered, %d alerts: tells little", sent, seen, alerted)
	}
}

func sum(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// callDir is a directory for calls, with the programs that make them.
func callDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range callNames {
		err = errors.Join(err, os.Symlink(exe, filepath.Join(dir, name)))
	}
	err = errors.Join(err, os.MkdirAll(filepath.Join(dir, "deep/er"), 0o700), os.Symlink(".", filepath.Join(dir, "linked")))
	for _, name := range []string{"other", "x.key", "deep/er/file"} {
		write(t, filepath.Join(dir, name), "x")
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// randomRules are a few rules about the calls in dir.
func randomRules(t *testing.T, r *rand.Rand, dir string) []*rules.Rule {
	t.Helper()
	var b strings.Builder
	for i := range 3 {
		fmt.Fprintf(&b, "- rule: r%d\n  desc: d\n  condition: %q\n  output: \"%%evt.type %%evt.rawres %%proc.name %%fd.name %%evt.args\"\n  priority: INFO\n", i, callRule(r, dir))
	}
	set, report := rules.Load([]rules.Source{{Name: "random.yaml", Content: []byte(b.String())}}, RuleOptions())
	if set == nil {
		t.Fatalf("%v\n%s", report.Err(), &b)
	}
	return set.Rules
}

// Shows the events that the default rules get of a workload, and those that
// they would get without masks.
func TestDelivered(t *testing.T) {
	list, _, _, err := SelectRules(config.Default(), Selection{})
	if err != nil {
		t.Fatal(err)
	}
	masked, seen := watch(t, list, true), watch(t, list, false)
	masked.filterExecs()
	pid := finish(t, exec.Command("sh", "-c", *workloadFlag))
	delivered, _ := masked.saw(pid)
	all, _ := seen.saw(pid)
	var b strings.Builder
	sum := [2]int{}
	names := slices.SortedFunc(maps.Keys(all), func(a, b string) int {
		return cmp.Or(delivered[b]-delivered[a], all[b]-all[a])
	})
	for _, name := range names {
		fmt.Fprintf(&b, "%9d %9d  %s\n", all[name], delivered[name], name)
		if delivered[name] > all[name] {
			t.Errorf("%s: %d delivered with masks, %d without", name, delivered[name], all[name])
		}
		sum[0], sum[1] = sum[0]+all[name], sum[1]+delivered[name]
	}
	t.Logf("\n     seen delivered\n%9d %9d\n%s", sum[0], sum[1], &b)
}
