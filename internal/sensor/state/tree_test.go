package state

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

func TestOrphansGoToTheReaper(t *testing.T) {
	w := newWorld(t, Options{})
	w.start(5, 1, "subreaper")
	w.start(10, 5, "bash")
	c := w.fork(10, 11)
	d := w.fork(11, 12)
	gen := d.Generation
	w.exit(10, 5)
	if got := w.lineage(d); got != "bash<bash<subreaper<init" {
		t.Errorf("lineage %s", got)
	}
	if c.PPID != 5 || d.Generation == gen {
		t.Error("the grandchild's caches are still valid")
	}
}

func TestDeadParentStaysUntilTheKernelSaysWhoIsNext(t *testing.T) {
	w := newWorld(t, Options{})
	w.start(10, 1, "sshd")
	w.exec(w.fork(10, 11).PID, "/bin/bash")
	c := w.fork(11, 12)
	w.exec(12, "/bin/sleep")
	w.procs[11].TID = 11
	w.exit(11, 4711) // the reaper is a thread that is not known as a process
	if got := w.lineage(c); got != "sleep<bash<sshd<init" {
		t.Errorf("lineage %s", got)
	}
	w.procs[12].PPID = 1
	if got := w.lineage(w.call(12)); got != "sleep<init" {
		t.Errorf("after the header told: %s", got)
	}
}

// Dead parents that were kept for their children go with the last of them, and
// take their place in the container's count of processes along.
func TestDeadParentGoesWithItsLastChild(t *testing.T) {
	w := newWorld(t, Options{})
	w.start(10, 1, "sh")
	w.fork(10, 11)
	p := w.apply(replaceStr(t, w.execRaw(11, "/bin/p"), event.ExecveCgroups, "=/docker/"+strings.Repeat("ab", 32)))
	c := w.fork(11, 12)
	w.apply(replaceStr(t, w.execRaw(12, "/bin/c"), event.ExecveCgroups, "=/"))
	w.exit(11, 4711)
	for i := range int32(graves + 1) { // push it out of the graveyard
		w.fork(10, 1000+i)
		w.exit(1000+i, 1)
	}
	if w.lineage(c) != "c<p<sh<init" || !p.disposed {
		t.Fatalf("lineage %s, disposed %v", w.lineage(c), p.disposed)
	}
	w.procs[12].PPID = 1
	w.call(12)
	if p.parent != nil {
		t.Error("the dead parent is still linked")
	}
	for range 100 {
		w.table.Tick(time.Unix(1, 0))
	}
	if w.table.Containers().Len() != 0 {
		t.Error("a container whose processes have all gone is still there")
	}
}

func TestSessionsAndGroups(t *testing.T) {
	w := newWorld(t, Options{})
	sh := w.start(10, 1, "bash")
	w.exec(w.fork(10, 11).PID, "/bin/cat")
	w.exec(w.fork(10, 12).PID, "/bin/wc")
	cat, wc := w.table.Get(11), w.table.Get(12)
	for _, p := range []*Process{cat, wc} {
		p.SID = 10
	}
	setpgid := func(caller, target, group int32) {
		w.b.Start(event.KindSetpgid, w.header(caller))
		w.b.Int(event.SetpgidPid, int64(target))
		w.b.Int(event.SetpgidPgid, int64(group))
		p := w.table.Get(caller)
		w.b.Int(event.SetpgidSid, int64(p.SID))
		w.b.Int(event.SetpgidCurPgid, int64(p.PGID))
		w.b.Int(event.SetpgidVpgid, int64(p.VPGID))
		w.apply(w.b.Finish())
	}
	w.procs[10].Res = -1
	before := *wc
	if setpgid(10, 12, 11); wc.PGID != before.PGID || wc.VPGID != before.VPGID {
		t.Errorf("a setpgid that failed: %d, %d", wc.PGID, wc.VPGID)
	}
	w.procs[10].Res = 0
	setpgid(10, 11, 0)
	setpgid(10, 12, 11)
	if cat.PGID != 11 || wc.PGID != 11 || wc.VPGID != 11 || sh.PGID != 10 {
		t.Fatalf("groups: cat %d, wc %d, bash %d", cat.PGID, wc.PGID, sh.PGID)
	}
	if l := w.table.VPGroupLeader(wc); l != cat {
		t.Errorf("vpgid.name is %s", l.Comm)
	}
	if l := w.table.PGroupLeader(wc); l != cat {
		t.Errorf("pgid.name is %s", l.Comm)
	}
	if l := w.table.SessionLeader(wc); l != sh {
		t.Errorf("sname is %s", l.Comm)
	}
	w.exit(10, 1)
	if l := w.table.SessionLeader(wc); l != wc {
		t.Errorf("sname after the leader has gone is %s", l.Comm)
	}
	w.b.Start(event.KindSetsid, w.header(12))
	w.b.Int(event.SetsidSid, 12)
	w.b.Int(event.SetsidPgid, 12)
	w.b.Int(event.SetsidVpgid, 12)
	if w.apply(w.b.Finish()); wc.SID != 12 || wc.PGID != 12 {
		t.Errorf("after setsid: %d, %d", wc.SID, wc.PGID)
	}
}

// In a pid namespace the number of a group is not the host's: that is the pid of
// the child itself, or of its sibling with this number.
func TestGroupsInPIDNamespace(t *testing.T) {
	w := newWorld(t, Options{})
	w.start(100, 1, "sh")
	a, b := w.fork(100, 101), w.fork(100, 102)
	a.VPID, b.VPID = 8, 9
	for _, tt := range []struct{ group, want int32 }{{9, 102}, {8, 101}, {77, -1}} {
		if got := w.table.hostGroup(b, tt.group); got != tt.want {
			t.Errorf("group %d is the host's %d, want %d", tt.group, got, tt.want)
		}
	}
}

// In a pid namespace ids are not those of the host, and the leader is found
// among the ancestors.
func TestSessionLeaderInPIDNamespace(t *testing.T) {
	w := newWorld(t, Options{})
	w.start(7, 1, "wrong") // its pid is the session's id inside
	a := w.start(100, 1, "runc")
	b := w.start(101, 100, "sh")
	c := w.start(102, 101, "ls")
	a.VPID, a.SID = 100, 100
	b.VPID, b.SID = 7, 7
	c.VPID, c.SID, c.VPGID, c.PGID = 8, 7, 8, 102
	if l := w.table.SessionLeader(c); l != b {
		t.Errorf("sname is %s", l.Comm)
	}
	if l := w.table.PGroupLeader(c); l != c {
		t.Errorf("pgid.name is %s", l.Comm)
	}
	b.SID, c.SID = -1, -1
	if l := w.table.SessionLeader(c); l != c {
		t.Errorf("sname of an unknown session is %s", l.Comm)
	}
}

func TestGenerations(t *testing.T) {
	w := newWorld(t, Options{})
	sh := w.start(10, 1, "bash")
	other := w.start(20, 1, "other")
	shGen, otherGen := sh.Generation, other.Generation
	for i := range int32(50) { // a shell's ordinary life
		pid := 100 + i
		w.exec(w.fork(10, pid).PID, "/bin/true")
		w.call(pid)
		w.exit(pid, 1)
	}
	if sh.Generation != shGen || other.Generation != otherGen {
		t.Error("a storm of children has changed the generation of others")
	}
	c := w.fork(10, 11)
	gen := c.Generation
	w.exec(10, "/bin/zsh")
	if c.Generation == gen {
		t.Error("a parent's exec has not changed the generation of its child")
	}
	if got := w.lineage(c); got != "bash<zsh<init" {
		t.Errorf("lineage %s", got)
	}
	if other.Generation != otherGen {
		t.Error("others have changed")
	}
}

// Events in any order must not make a cycle, or ancestors would never end.
func TestNoCycles(t *testing.T) {
	w := newWorld(t, Options{})
	a, b := w.start(10, 11, "a"), w.start(11, 10, "b")
	a.Start, b.Start = 0, 0
	for _, p := range []*Process{a, b} {
		n := 0
		for q := p; q != nil; q = w.table.Parent(q) {
			if n++; n > 10 {
				t.Fatal("endless ancestry")
			}
		}
	}
}

func TestAncestor(t *testing.T) {
	w := newWorld(t, Options{})
	w.start(10, 1, "a")
	w.start(11, 10, "b")
	p := w.table.Get(11)
	var got []string
	for n := range 4 {
		if q := w.table.Ancestor(p, n); q != nil {
			got = append(got, q.Comm)
		}
	}
	if diff := cmp.Diff([]string{"b", "a", "init"}, got); diff != "" {
		t.Error(diff)
	}
}

// Limits of descriptors, as rules and captures let the table see them.
func TestLimits(t *testing.T) {
	w := newWorld(t, Options{})
	w.start(10, 1, "bash")
	w.start(20, 1, "prlimit")
	inside := w.start(30, 1, "inside")
	limit := func(k event.Kind, caller int32, res, resource, cur, pid int64) {
		h := w.header(caller)
		h.Res = res
		w.b.Start(k, h)
		if k == event.KindSetrlimit {
			w.b.Uint(event.SetrlimitResource, uint64(resource))
			w.b.Int(event.SetrlimitCur, cur)
		} else {
			w.b.Uint(event.PrlimitResource, uint64(resource))
			w.b.Int(event.PrlimitNewcur, cur)
			w.b.Int(event.PrlimitPid, pid)
		}
		w.apply(w.b.Finish())
	}
	was := w.table.Get(10).FDLimit
	for _, tt := range []struct {
		name                    string
		kind                    event.Kind
		caller                  int32
		res, resource, cur, pid int64
		want10, want20          uint64
	}{
		{"another resource", event.KindSetrlimit, 10, 0, 6, 5, 0, was, was},
		{"it fails", event.KindSetrlimit, 10, -1, 7, 5, 0, was, was},
		{"its own", event.KindSetrlimit, 10, 0, 7, 100, 0, 100, was},
		{"it only asks", event.KindPrlimit, 10, 0, 7, -1, 0, 100, was},
		{"its own by prlimit", event.KindPrlimit, 10, 0, 7, 200, 0, 200, was},
		{"another's", event.KindPrlimit, 20, 0, 7, 300, 10, 300, was},
		{"an unknown one's", event.KindPrlimit, 20, 0, 7, 400, 4000, 300, was},
	} {
		limit(tt.kind, tt.caller, tt.res, tt.resource, tt.cur, tt.pid)
		if got10, got20 := w.table.Get(10).FDLimit, w.table.Get(20).FDLimit; got10 != tt.want10 || got20 != tt.want20 {
			t.Errorf("%s: %d and %d, want %d and %d", tt.name, got10, got20, tt.want10, tt.want20)
		}
	}
	inside.VPID = 2
	h := w.header(30)
	h.VTID = 2
	w.b.Start(event.KindPrlimit, h)
	w.b.Uint(event.PrlimitResource, 7)
	w.b.Int(event.PrlimitNewcur, 500)
	w.b.Int(event.PrlimitPid, 10)
	if w.apply(w.b.Finish()); w.table.Get(10).FDLimit != 300 {
		t.Error("the pid of another namespace was taken for one of this")
	}
}
