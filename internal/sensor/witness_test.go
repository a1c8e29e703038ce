package sensor

import (
	"context"
	"maps"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/linux/boottime"
	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/engine"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan"
	"github.com/peregrine-sec/peregrine/internal/sensor/probe"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
)

// witness is a probe and an engine without the rest of a sensor. Several of them
// see the same events, and judge them in different ways.
type witness struct {
	t      *testing.T
	how    judging
	probe  *probe.Probe
	table  *state.Table
	engine *engine.Engine
	source *kernel
	alerts map[string]int    // how many, by their text; the engine's until stop
	events map[uint32]uint64 // delivered, by process
	cancel context.CancelFunc
	done   chan struct{}

	mu    sync.Mutex
	masks map[image]bool // that the probe was told of
}

// image is a program that a process runs.
type image struct{ pid, execID uint32 }

// judging is how a witness decides.
type judging struct {
	evaluate bool // all events by all rules, in user space
	masks    bool // with masks of processes in the kernel
}

// newWitness starts one. It sees what happens from now on until stop.
func newWitness(t *testing.T, ruleText string, how judging) *witness {
	t.Helper()
	requireBPF(t)
	set := witnessRules(t, ruleText, how)
	w := &witness{t: t, how: how, alerts: map[string]int{}, events: map[uint32]uint64{}, done: make(chan struct{}), masks: map[image]bool{}}
	pr, err := probe.Load(probe.Options{Interest: interest(set.Plan), RingBytes: 64 << 20, CPUsPerRing: 0, Hooks: probe.Tracepoint})
	if err != nil {
		t.Fatal(err)
	}
	w.probe, w.source = pr, &kernel{Probe: pr, Reader: pr.Reader()}
	w.table = state.NewTable(state.Options{ProcRoot: "/proc", HostRoot: "/"})
	w.engine = engine.New(engine.Options{
		Table: w.table, Rules: set, Static: witnessStatic(), Emit: w.count,
		Observe: func(c *field.Context) { w.events[c.Event.Header().PID]++ },
	})
	w.engine.SetClock(uint64(boottime.Epoch()))
	if how.masks {
		w.engine.TellMasks(w.tellMask)
	}
	w.engine.TellGroups(func(groups []byte, host bool) {
		if err := pr.SetHost(groups, host); err != nil {
			t.Error(err)
		}
	})
	if err := pr.Snapshot(w.engine.Learn); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	go func() {
		defer close(w.done)
		w.engine.Run(ctx, w.source)
	}()
	t.Cleanup(func() { w.stop() })
	return w
}

func witnessStatic() *field.Static {
	return &field.Static{Source: field.SyscallSource, Snaplen: 80, Proc: "/proc"}
}

func witnessRules(t *testing.T, text string, how judging) *engine.Ruleset {
	t.Helper()
	set, report := rules.Load([]rules.Source{{Name: "witness.yaml", Content: []byte(text)}}, RuleOptions())
	if set == nil {
		t.Fatalf("%v\n%s", report.Err(), text)
	}
	cfg := config.Default()
	cfg.RuleMatch = "all"
	r, err := BuildRuleset(set.Enabled(alert.Debug), cfg, alert.Options{}, plan.Options{Unmasked: how.evaluate})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (w *witness) tellMask(m plan.ProcessMask) {
	w.probe.SetProcessMask((*probe.ProcessMask)(&m))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.masks[image{m.PID, m.ExecID}] = true
}

// masked is how many programs of a process have a mask, or had one.
func (w *witness) masked(pid int) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.masks {
		if i.pid == uint32(pid) {
			n++
		}
	}
	return n
}

// count is called for each alert, whose message begins with the process's id.
func (w *witness) count(a *alert.Alert) {
	w.alerts[a.Message]++
	a.Share(1)
	a.Release()
}

// stop ends it, when all that it has seen until now has been judged.
func (w *witness) stop() {
	if w.cancel == nil {
		return
	}
	if err := w.source.Stop(); err != nil {
		w.t.Error(err)
	}
	w.cancel()
	<-w.done
	w.cancel = nil
	w.engine.Finish(w.source)
	c, err := w.source.Counters()
	if err != nil {
		w.t.Error(err)
	} else if n := c.Dropped(); n > 0 {
		w.t.Errorf("%d events were lost: %v", n, c.Drops)
	}
	if err := w.source.Close(); err != nil {
		w.t.Error(err)
	}
}

// of are the alerts about one process.
func (w *witness) of(pid int) map[string]int {
	own := maps.Clone(w.alerts)
	maps.DeleteFunc(own, func(text string, _ int) bool {
		first, _, _ := strings.Cut(text, " ")
		return first != strconv.Itoa(pid)
	})
	return own
}
