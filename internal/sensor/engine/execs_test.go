package engine

import (
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
)

// execKernel is the kernel's filter of execs.
type execKernel struct {
	epoch uint64
	left  []event.ExecKey
}

func (k *execKernel) SetExecEpoch(epoch uint64) { k.epoch = epoch }

func (k *execKernel) LeaveOutExec(key *event.ExecKey) error {
	k.left = append(k.left, *key)
	return nil
}

// HashAncestors is the sum of the names' lengths.
func (k *execKernel) HashAncestors(names func(yield func(string) bool)) (n uint64) {
	for name := range names {
		n += uint64(len(name))
	}
	return n
}

const execRules = `
- {rule: args, desc: d, output: o, priority: INFO, condition: 'evt.type=execve and proc.args contains secret'}
- {rule: name, desc: d, output: o, priority: INFO, condition: 'evt.type=execve and proc.name=cat and user.name=nobody'}
- {rule: duration, desc: d, output: o, priority: INFO, condition: 'evt.type=execve and proc.name=slow and proc.duration > 1'}
`

// execWorld is an engine with init and a shell, and a kernel that leaves out execs.
func execWorld(t *testing.T) (*Engine, *execKernel) {
	t.Helper()
	r := newRuleset(t, load(t, []rules.Source{{Name: "execs", Content: []byte(execRules)}}), false, false)
	e, k := newEngine(r, func(*alert.Alert) {}), &execKernel{}
	e.FilterExecs(k)
	for pid, name := range map[uint32]string{1: "init", 2: "shell"} {
		var b event.Builder
		b.Start(event.KindTask, event.Header{Time: 1, PID: pid, TID: pid, PPID: pid - 1, Start: uint64(pid), Syscall: event.NoSyscall})
		b.Str(event.KindTask.Info().Slot("comm"), name)
		e.Learn(b.Finish())
	}
	return e, k
}

// exec handles an exec by process 3, in control groups, with a key.
func execNow(e *Engine, name, args, cgroups string, key event.ExecKey) {
	info := event.KindExecve.Info()
	var b event.Builder
	b.Start(event.KindExecve, event.Header{Time: 10, PID: 3, TID: 3, PPID: 2, Start: 3, ExecID: 1, Syscall: event.NoSyscall})
	b.Str(info.Slot("comm"), name)
	b.Str(info.Slot("exe"), name)
	b.Str(info.Slot("args"), args+"\x00")
	b.Str(info.Slot("cgroups"), cgroups)
	if key.Key != 0 {
		b.Bytes(info.Slot("exec_key"), unsafe.Slice((*byte)(unsafe.Pointer(&key)), unsafe.Sizeof(key)))
	}
	e.Handle(b.Finish())
}

// An exec is left out from now on if the key is of these rules, this epoch and
// the ancestors that the table knows, and if no rule can match another one of it.
func TestJudgeExec(t *testing.T) {
	const host = "memory=/user\x00"
	known := "memory=/docker/" + strings.Repeat("ab", 32) + "\x00"
	for _, tt := range []struct {
		what, name, args, cgroups string
		change                    func(*Engine, *event.ExecKey)
		want                      bool
	}{
		{"nothing to match", "true", "x", host, nil, true},
		{"it matches", "true", "secret", host, nil, false},
		{"another one could, by its arguments", "true", "x", host, func(_ *Engine, k *event.ExecKey) { k.Met = ^uint64(0) }, false},
		{"another one could, later", "slow", "x", host, nil, false},
		{"other rules", "true", "x", host, func(_ *Engine, k *event.ExecKey) { k.Plan++ }, false},
		{"an earlier epoch", "true", "x", host, func(_ *Engine, k *event.ExecKey) { k.Epoch-- }, false},
		{"other ancestors", "true", "x", host, func(_ *Engine, k *event.ExecKey) { k.Ancestors++ }, false},
		{"no key", "true", "x", host, func(_ *Engine, k *event.ExecKey) { *k = event.ExecKey{} }, false},
		{"a container without metadata", "true", "x", known, nil, false},
		{"a container with metadata", "true", "x", known, func(e *Engine, k *event.ExecKey) {
			e.table.UpdateContainer(container.Container{ID: strings.Repeat("ab", 6), FullID: strings.Repeat("ab", 32), Known: true})
			e.checkExecs(time.Now())
			k.Epoch = e.execs.epoch
		}, true},
	} {
		e, k := execWorld(t)
		key := event.ExecKey{Key: 5, Plan: uint64(e.rules.Plan.Number), Epoch: k.epoch, Ancestors: uint64(len("shell") + len("init"))}
		if tt.change != nil {
			tt.change(e, &key)
		}
		execNow(e, tt.name, tt.args, tt.cgroups, key)
		if got := len(k.left) == 1; got != tt.want {
			t.Errorf("%s: left out %v, want %v", tt.what, got, tt.want)
		}
	}
}

// What user space alone knows ends an epoch, and so do other rules and, in
// containers, time.
func TestExecEpochs(t *testing.T) {
	e, k := execWorld(t)
	now := time.Now()
	begins := func(what string, want bool, do func()) {
		t.Helper()
		before := k.epoch
		do()
		e.checkExecs(now)
		if got := k.epoch != before; got != want || k.epoch != e.execs.epoch {
			t.Errorf("%s: a new epoch %v, want %v", what, got, want)
		}
	}
	begins("nothing", false, func() {})
	begins("metadata", true, func() { e.table.UpdateContainer(container.Container{ID: "abababababab"}) })
	begins("rules", true, func() { e.Swap(e.rules, e.ctx.Static) })
	begins("time", false, func() { now = now.Add(time.Minute) })
	begins("time, of a container", true, func() { e.execs.contained = true })
}
