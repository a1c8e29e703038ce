package plan

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
	"github.com/peregrine-sec/peregrine/test/support/fieldtest"
)

// A condition on a process's own fact can rule the process out; one on anything
// else never does.
func TestOwnFields(t *testing.T) {
	known := map[string]bool{}
	for _, f := range field.All() {
		name := f.Name
		if f.Arg == field.ArgRequired {
			name += "[0]"
		}
		list, ok := tryLoad(t, "evt.type=dup and "+name+" exists")
		if !ok {
			continue
		}
		p, err := New(list, Options{Lookup: field.Lookup})
		if err != nil {
			t.Fatal(err)
		}
		own := slices.Contains(ownFields, f.Name)
		if got := p.Own[0] != nil; got != own {
			t.Errorf("%s can rule a process out: %v, want %v", f.Name, got, own)
		}
		if own && (f.Stage != field.AtExec || f.Flags&field.Metadata != 0) {
			t.Errorf("%s is no fact about the process alone", f.Name)
		}
		known[f.Name] = true
	}
	for _, name := range ownFields {
		if !known[name] {
			t.Errorf("there is no field %s", name)
		}
	}
}

// A rule that matches an event of a process is among those that can match it.
func TestOwnIsSound(t *testing.T) {
	w := fieldtest.New(t,
		fieldtest.Proc{PID: 14, Comm: "a", Argv: []string{"a", "-x"}, UID: 1000},
		fieldtest.Proc{PID: 15, PPID: 14, Comm: "b", Argv: []string{"/bin/b"}, TTY: 5, CWD: "/tmp", LoginUID: 7, Flags: event.ExeWritable},
	)
	compiler := filter.NewCompiler(field.Lookup)
	checks := []string{
		"proc.name = a", "proc.name != a", "proc.name in (b, c)", "proc.name exists", "proc.pname = a", "proc.aname = a", "proc.cmdline contains x",
		"proc.args = \"\"", "proc.args[0] = -x", "proc.exe startswith /", "proc.tty != 0", "user.uid = 1000", "user.uid > 5", "user.name = alice", "user.loginuid = 7",
		"proc.cwd = /tmp/", "proc.is_exe_writable = true", "container.id = host", "proc.vpid = 14", "proc.sid = 14", "evt.failed = true", "proc.pid = 14",
		"proc.exe = proc.name", "proc.name = val(proc.pname)", "toupper(proc.name) = A", "proc.cmdnargs > 0", "group.gid = 0", "evt.rawres < 0",
	}
	excluded := 0
	rapid.Check(t, func(rt *rapid.T) {
		condition := conditionsOver(checks, 3).Draw(rt, "condition")
		list, ok := tryLoad(t, "evt.type=dup and ("+condition+")")
		if !ok {
			rt.Skip("not sound: " + condition)
		}
		p, err := New(list, Options{Lookup: field.Lookup})
		if err != nil {
			rt.Fatal(err)
		}
		matches, err := compiler.Compile(filter.Specialise(list[0].Node, event.KindDup, 0))
		if err != nil {
			rt.Fatal(err)
		}
		for _, pid := range []int{14, 15} {
			res := rapid.SampledFrom([]int64{3, -9}).Draw(rt, "res")
			matched := matches(w.Event(t, pid, event.KindDup, fieldtest.Num("res", res)))
			about := *w.Context
			about.Event = nil
			bits, some := p.OwnBits(func(cond filter.Predicate) bool { return cond(&about) })
			if !bits.Has(NoRule) {
				rt.Fatal("a mask without the bit of no rule")
			}
			if bits.Has(0) == some {
				rt.Fatalf("rules are left out: %v, though %v", some, bits)
			}
			if some {
				excluded++
			}
			if matched && some {
				rt.Fatalf("%s is true of process %d, which it cannot match by its own facts", condition, pid)
			}
		}
	})
	if excluded == 0 {
		t.Error("no process was ruled out")
	}
}
