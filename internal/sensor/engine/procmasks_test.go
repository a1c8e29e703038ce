package engine

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/capture"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
	"github.com/peregrine-sec/peregrine/test/support/corpus"
)

// maskingKernel leaves out the events that a kernel would by masks of processes.
type maskingKernel struct {
	engine  *Engine
	masks   map[uint32]plan.ProcessMask // by pid
	left    int
	unheard bool // it does not compare the facts of processes
}

// needed says whether a kernel would send the event.
func (k *maskingKernel) needed(raw []byte) bool {
	var v event.View
	if v.Reset(raw) != nil {
		return true
	}
	h := v.Header()
	m, ok := k.masks[h.PID]
	now := plan.ProcessMask{
		Plan: m.Plan, PID: h.PID, Start: h.Start, ExecID: h.ExecID, UID: h.UID, GID: h.GID, LoginUID: h.LoginUID, Rules: m.Rules,
	}
	if !ok || now != m && !k.unheard {
		return true
	}
	var could plan.Bits // match events of that kind
	kinds := k.engine.Rules().Plan.Kinds
	for f := range event.NumCallFacts {
		could = could.Or(kinds.Always[h.Kind][f]).Or(kinds.Named[h.Kind][f])
	}
	return !could.And(m.Rules).Empty()
}

// play replays a capture through the kernel.
func (k *maskingKernel) play(t *testing.T, path string) {
	t.Helper()
	r, err := capture.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		raw, err := r.Next()
		if err != nil {
			return
		}
		if k.needed(raw) {
			k.engine.Handle(raw)
		} else {
			k.left++
		}
	}
}

func newMaskingKernel(r *Ruleset, emit func(*alert.Alert)) *maskingKernel {
	k := &maskingKernel{engine: newEngine(r, emit), masks: map[uint32]plan.ProcessMask{}}
	k.engine.TellMasks(func(m plan.ProcessMask) { k.masks[m.PID] = m })
	k.engine.masks.after = 2 // captures are short
	return k
}

// someProcesses are rules on frequent calls of some processes.
const someProcesses = `
- {rule: cat, desc: d, output: o, priority: INFO, condition: 'evt.type in (open, openat, mmap, fstat, connect, sendto) and proc.name in (cat, curl)'}
- {rule: root, desc: d, output: o, priority: INFO, condition: 'evt.type in (open, openat, access) and user.uid=0 and proc.cmdline contains e and proc.tty=0'}
- {rule: sh, desc: d, output: o, priority: INFO, condition: 'evt.type in (open, openat, mmap, stat) and proc.exepath endswith sh and not proc.pname=sshd'}
`

// Recorded streams give the same alerts with masks of processes and without.
func TestProcessMasksChangeNothingInCaptures(t *testing.T) {
	sets := ruleSets(t)
	sets["some processes"] = load(t, []rules.Source{{Name: "some.yaml", Content: []byte(someProcesses)}})
	left, alerts := 0, 0
	for name, list := range sets {
		for _, file := range corpus.Captures(t) {
			var masked, full sink
			k := newMaskingKernel(newRuleset(t, list, true, false), masked.emit)
			k.play(t, file)
			replay(t, file, newEngine(newRuleset(t, list, true, true), full.emit))
			if !slices.Equal(masked.got, full.got) {
				t.Errorf("%s over %s: %d alerts with masks, %d without", name, filepath.Base(file), len(masked.got), len(full.got))
			}
			left, alerts = left+k.left, alerts+len(full.got)
		}
	}
	t.Logf("%d events were left out, %d alerts", left, alerts)
	if left < 10 || alerts < 100 { // of our own captures alone 24
		t.Errorf("%d events were left out, %d alerts: the captures do not reach the masks", left, alerts)
	}
}

// dupRule is a rule on dup.
func dupRule(t *testing.T, condition string) []*rules.Rule {
	t.Helper()
	text := "- {rule: r, desc: d, output: o, priority: INFO, condition: evt.type=dup and " + condition + "}"
	return load(t, []rules.Source{{Name: "dup.yaml", Content: []byte(text)}})
}

// users are calls by a process whose user changes back and forth.
func users(k *maskingKernel) {
	var m machine
	handle := func(raw []byte) {
		if k.needed(raw) {
			k.engine.Handle(raw)
		}
	}
	handle(m.exec(100, "cat"))
	for i := range 60 {
		h := m.header(100, "dup")
		h.UID = uint32(i / 10 % 2 * 1000)
		m.b.Start(event.KindDup, h)
		handle(m.b.Finish())
	}
}

// A mask that is for another state of the process would hide alerts.
func TestMaskOfOtherState(t *testing.T) {
	set := newRuleset(t, dupRule(t, "user.uid=1000"), true, false)
	for _, unheard := range []bool{false, true} {
		var s sink
		k := newMaskingKernel(set, s.emit)
		k.unheard = unheard
		users(k)
		if got, want := len(s.got), 30; got == want == unheard {
			t.Errorf("facts not compared: %v: %d alerts, of %d", unheard, got, want)
		}
	}
}

// Processes that cannot have a mask: those of which the kernel has not told the
// image, those that match, and those that make few events.
func TestNoMask(t *testing.T) {
	for _, tc := range []struct {
		name   string
		events func(*machine) [][]byte
		want   bool
	}{
		{"busy and unneeded", func(m *machine) [][]byte { return m.dups(m.exec(100, "cat"), 10, 1000) }, true},
		{"not known", func(m *machine) [][]byte { return m.dups(nil, 10, 1000) }, false},
		{"needed", func(m *machine) [][]byte { return m.dups(m.exec(100, "needed"), 10, 1000) }, false},
		{"seldom", func(m *machine) [][]byte { return m.dups(m.exec(100, "cat"), 10, 6e9) }, false},
		{"short", func(m *machine) [][]byte { return m.dups(m.exec(100, "cat"), 3, 1000) }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var s sink
			k := newMaskingKernel(newRuleset(t, dupRule(t, "proc.name=needed"), true, false), s.emit)
			k.engine.masks.after = 5
			for _, raw := range tc.events(new(machine)) {
				k.engine.Handle(raw)
			}
			if got := len(k.masks) > 0; got != tc.want {
				t.Errorf("a mask: %v, want %v", got, tc.want)
			}
		})
	}
}

// dups are calls after a first event, with so many ns between them.
func (m *machine) dups(first []byte, n int, between uint64) (list [][]byte) {
	if first != nil {
		list = append(list, slices.Clone(first))
	}
	for range n {
		m.time += between
		m.b.Start(event.KindDup, m.header(100, "dup"))
		list = append(list, slices.Clone(m.b.Finish()))
	}
	return list
}
