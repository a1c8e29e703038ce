package state

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// learned is a table filled from the state of w: times since the epoch are its
// times.
func (w *world) learned() *Table {
	w.t.Helper()
	table := NewTable(Options{})
	var b event.Builder
	var v event.View
	learn := func(ev []byte) {
		if err := v.Reset(ev); err != nil {
			w.t.Fatal(err)
		}
		table.Apply(&v, v.Header().Time)
	}
	for p := range w.table.All {
		learn(p.Task(&b, w.now+epochAtBoot, epochAtBoot))
	}
	w.table.Accounts(&b, w.now+epochAtBoot, container.Host, learn)
	return table
}

// A table learns from the events of another all that fields show.
func TestTold(t *testing.T) {
	w := newWorld(t, Options{})
	w.start(10, 1, "bash")
	w.exec(w.fork(10, 11).PID, "/bin/tool", "-a", "", "b c")
	p := w.table.Get(11)
	p.CapPermitted, p.CapEffective, p.CapInheritable = 7, 5, 1
	p.TTY, p.FDLimit, p.ExeFlags, p.ExeIno, p.ExeCTime, p.ExeMTime = 34816, 1024, event.ExeWritable|event.ExeFromMemfd, 9, 10, 11
	p.VMSize, p.VMRSS, p.VMSwap, p.MajorFaults, p.MinorFaults, p.PIDNSStart = 1, 2, 3, 4, 5, epochAtBoot+6
	p.UID, p.GID, p.LoginUID, p.Threads = 1000, 100, noID, 3
	table := w.learned()
	for _, pid := range []int32{1, 10, 11} {
		want, got := *w.table.Get(pid), *table.Get(pid)
		want.Start += epochAtBoot
		ignore := cmpopts.IgnoreFields(Process{}, "ExecTime", "Generation", "Events", "Mask", "Memo", "MaskGeneration")
		if diff := cmp.Diff(want, got, ignore, cmpopts.IgnoreUnexported(Process{}), cmpopts.IgnoreUnexported(container.Container{})); diff != "" {
			t.Errorf("process %d (-known +learned)\n%s", pid, diff)
		}
	}
	if got := table.Ancestor(table.Get(11), 2).Comm; got != "init" {
		t.Errorf("its ancestor is %s", got)
	}
}

// Users and groups too, those of containers by their own name.
func TestAccountsTold(t *testing.T) {
	w := newWorld(t, Options{})
	box := &container.Container{ID: "box"}
	for _, c := range []*container.Container{container.Host, box} {
		a := &w.table.users.host
		if c == box {
			a = new(accounts)
			w.table.users.by["box"] = a
		}
		set(&a.users, 5, &User{UID: 5, GID: 6, Name: "ann-" + c.ID, Home: "/h", Shell: "/s"})
		set(&a.groups, 6, &Group{GID: 6, Name: "staff-" + c.ID})
	}
	var b event.Builder
	var v event.View
	to := NewTable(Options{})
	before := to.AccountsVersion(container.Host)
	for _, c := range []*container.Container{container.Host, box, {ID: "unknown"}} {
		w.table.Accounts(&b, 1, c, func(ev []byte) {
			if err := v.Reset(slices.Clone(ev)); err != nil {
				t.Fatal(err)
			}
			to.Apply(&v, 1)
		})
	}
	for _, c := range []*container.Container{container.Host, box} {
		p := &Process{Container: c}
		if u, g := to.User(p, 5), to.Group(p, 6); u.Name != "ann-"+c.ID || u.Home != "/h" || u.Shell != "/s" || g.Name != "staff-"+c.ID {
			t.Errorf("%s: %+v, %+v", c.ID, u, g)
		}
	}
	if to.AccountsVersion(container.Host) == before {
		t.Error("the version has not changed")
	}
}
