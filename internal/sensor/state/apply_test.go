package state

import (
	"fmt"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

func TestForkExecExit(t *testing.T) {
	w := newWorld(t, Options{})
	w.start(10, 1, "bash")
	c := w.fork(10, 11)
	if got := w.lineage(c); got != "bash<bash<init" {
		t.Errorf("after the fork: %s", got)
	}
	if c.Args != "-v\x00" || c.Env != "A=1\x00" || c.CWD != "/" || c.SID != 10 || !c.Known {
		t.Errorf("child has not inherited: %+v", c)
	}
	if want := c.Start + epochAtBoot; c.ForkTime != want {
		t.Errorf("ForkTime = %d, want %d", c.ForkTime, want)
	}
	p := w.exec(11, "/usr/bin/a-very-long-program", "-l", "a b", "")
	if p != c || p.Comm != "a-very-long-pro" || p.ExePath != "/usr/bin/a-very-long-program" || p.CWD != "/tmp/" {
		t.Errorf("after the exec: %+v", p)
	}
	if want := "a-very-long-pro -l a b "; p.Cmdline != want {
		t.Errorf("Cmdline = %q, want %q", p.Cmdline, want)
	}
	if want := "PATH=/bin\x00HOME=/root\x00"; p.Env != want {
		t.Errorf("Env = %q, want %q", p.Env, want)
	}
	if d := w.exit(11, 1); d != c || !d.Dead || d.Comm != "a-very-long-pro" {
		t.Errorf("its exit is not told about it: %+v", d)
	}
	if w.table.Get(11) != nil {
		t.Error("still there after its exit")
	}
	if s := w.table.Stats(); s.Threads != 2 || s.Added != 3 || s.Removed != 1 {
		t.Errorf("stats %+v", s)
	}
}

// The snapshot tells of a process that events told of before: it stays the same
// one, with its children.
func TestTaskOfKnown(t *testing.T) {
	w := newWorld(t, Options{})
	w.start(10, 1, "bash")
	parent := w.table.Get(10)
	child := w.fork(10, 11)
	if p := w.apply(w.task(10, "zsh")); p != parent || p.Comm != "zsh" {
		t.Errorf("the snapshot tells of %+v, not of the process before", p)
	}
	if got := w.lineage(child); got != "bash<zsh<init" {
		t.Errorf("lineage of its child: %s", got)
	}
}

func TestFailedExecChangesNothing(t *testing.T) {
	w := newWorld(t, Options{})
	w.start(10, 1, "bash")
	before := *w.call(10)
	raw := w.execRaw(10, "/nosuch")
	w.procs[10].ExecID--
	var v event.View
	if err := v.Reset(raw); err != nil {
		t.Fatal(err)
	}
	v.Header().Res = -2
	v.Header().ExecID--
	p := w.apply(raw)
	if p.Comm != before.Comm || p.Args != before.Args || p.Generation != before.Generation {
		t.Errorf("changed by a failed exec: %+v", p)
	}
}

func TestPidReuse(t *testing.T) {
	w := newWorld(t, Options{})
	w.start(10, 1, "bash")
	old := w.fork(10, 11)
	w.exec(11, "/bin/old")
	late := append([]byte(nil), w.callRaw(11)...)
	delete(w.procs, 11) // its exit is lost
	c := w.fork(10, 11)
	if c == old || c.Comm != "bash" || w.table.Get(11) != c {
		t.Fatalf("the new process is %+v", c)
	}
	p := w.apply(late)
	if p == c || p.Known {
		t.Errorf("a late event of the old process is attributed to %+v", p)
	}
	if w.table.Get(11) != c {
		t.Error("a late event has replaced the new process")
	}
	// The same with the new process's fork lost: its events tell.
	w.born(11, 10, "new")
	if p := w.call(11); p == c || p.Known || p.PPID != 10 {
		t.Errorf("an event of another process with that pid is attributed to %+v", p)
	}
}

func TestStragglersAfterTheExit(t *testing.T) {
	w := newWorld(t, Options{})
	w.start(10, 1, "bash")
	p := w.exec(w.fork(10, 11).PID, "/bin/worker")
	before := append([]byte(nil), w.callRaw(11)...)
	h := w.header(11)
	w.exit(11, 1)
	if q := w.apply(before); q != p || q.Comm != "worker" || w.table.Get(11) != nil {
		t.Error("an event from before the exit has lost its process, or has brought it back")
	}
	// Another thread of it is still alive: the process is.
	w.now += 1000
	h.Time, h.TID = w.now, 12
	w.b.Start(event.KindClose, h)
	if q := w.apply(w.b.Finish()); q != p || w.table.Get(11) != p || p.Dead {
		t.Error("a process whose main thread has exited is not the same any more")
	}
	w.now += 1000
	h.Time = w.now
	w.b.Start(event.KindProcexit, h)
	w.apply(w.b.Finish())
	if w.table.Get(11) != nil {
		t.Error("still there after its last thread's exit")
	}
}

func TestThreadExitIsNotTheProcess(t *testing.T) {
	w := newWorld(t, Options{})
	w.start(10, 1, "java")
	h := w.header(10)
	h.TID, h.Flags = 11, event.ThreadExit
	w.b.Start(event.KindProcexit, h)
	if p := w.apply(w.b.Finish()); p.Dead || w.table.Get(10) == nil {
		t.Error("a thread's exit has ended the process")
	}
	h.Flags = 0 // the last one, which need not be the main thread
	w.b.Start(event.KindProcexit, h)
	if w.apply(w.b.Finish()); w.table.Get(10) != nil {
		t.Error("the last thread's exit has not ended the process")
	}
}

// TestUnknownProcessIsRememberedAsSuch shows a row of docs/compatibility.md.
func TestUnknownProcessIsRememberedAsSuch(t *testing.T) {
	w := newWorld(t, Options{})
	w.born(77, 1, "ghost")
	p := w.call(77)
	if p.Known || p.PID != 77 || p.PPID != 1 || p.VPID != -1 || p.Comm != "" || p.Container != container.Host {
		t.Errorf("placeholder %+v", p)
	}
	if w.call(77) != p || w.table.Stats().LookupsFailed != 1 {
		t.Error("looked for more than once")
	}
	c := w.fork(77, 78)
	if c.Known {
		t.Error("the child of an unknown process is known")
	}
	if p = w.exec(77, "/bin/now"); !p.Known || p.Comm != "now" {
		t.Errorf("an exec tells all, but: %+v", p)
	}
	w.exit(77, 1)
	w.exit(78, 1)
	if w.table.Len() != 1 {
		t.Errorf("%d processes are left", w.table.Len())
	}
}

func TestLostExecMakesTheImageUnknown(t *testing.T) {
	w := newWorld(t, Options{})
	w.start(10, 1, "bash")
	w.fork(10, 11)
	w.procs[11].ExecID++
	if p := w.call(11); p.Known || p.Comm != "" {
		t.Errorf("still has its parent's name: %+v", p)
	}
}

// A thread that its process's exec has killed is heard of after that.
func TestEventFromBeforeAnExec(t *testing.T) {
	w := newWorld(t, Options{})
	w.start(10, 1, "bash")
	late := append([]byte(nil), w.callRaw(10)...)
	w.exec(10, "/bin/new")
	if p := w.apply(late); !p.Known || p.Comm != "new" {
		t.Errorf("an older event has made it unknown: %+v", p)
	}
}

func TestSnapshotAgainstEvents(t *testing.T) {
	w := newWorld(t, Options{})
	w.born(10, 1, "bash")
	fork := append([]byte(nil), w.forkRaw(10, 11)...)
	exec1 := append([]byte(nil), w.execRaw(11, "/bin/first")...)
	exec2 := append([]byte(nil), w.execRaw(11, "/bin/second")...)
	forkDead := append([]byte(nil), w.forkRaw(10, 12)...)
	execDead := append([]byte(nil), w.execRaw(12, "/bin/dead")...)
	exitDead := append([]byte(nil), w.exitRaw(12, 1)...)

	p := w.apply(w.task(11, "second"))
	w.apply(w.task(10, "bash"))
	// Now the events of the time before the snapshot.
	w.apply(fork)
	w.apply(exec1)
	if w.table.Get(11) != p || p.Comm != "second" || p.Cmdline != "second -v" {
		t.Errorf("older events have undone the snapshot: %+v", p)
	}
	w.apply(exec2)
	w.apply(forkDead)
	if d := w.apply(execDead); d.Comm != "dead" || w.lineage(d) != "dead<bash<init" {
		t.Errorf("a process that died before the snapshot: %+v", d)
	}
	w.apply(exitDead)
	if w.table.Get(12) != nil {
		t.Error("dead process is still there")
	}
	if d := w.apply(execDead); w.table.Get(12) != nil || d.Comm != "dead" {
		t.Error("a late event has brought back a dead process")
	}
	if got := w.lineage(w.call(11)); got != "second<bash<init" {
		t.Errorf("lineage %s", got)
	}
}

func TestHeaderCredentials(t *testing.T) {
	w := newWorld(t, Options{})
	p := w.start(10, 1, "su")
	gen := p.Generation
	w.call(10)
	if p.Generation != gen {
		t.Error("an event that tells nothing new has changed the generation")
	}
	w.procs[10].UID, w.procs[10].GID, w.procs[10].LoginUID = 1000, 100, 1000
	w.call(10)
	if p.UID != 1000 || p.GID != 100 || p.LoginUID != 1000 || p.Generation == gen {
		t.Errorf("%+v", p)
	}
}

// The child's number in its new pid namespace is known from its own events.
func TestForkIntoPIDNamespace(t *testing.T) {
	w := newWorld(t, Options{})
	w.start(10, 1, "unshare")
	c := w.fork(10, 11)
	w.procs[11].VTID = 1
	gen := c.Generation
	if w.call(11); c.VPID != 1 || c.Generation == gen {
		t.Errorf("VPID = %d", c.VPID)
	}
	h := w.header(11) // another thread of it
	h.TID, h.VTID = 12, 2
	w.b.Start(event.KindClose, h)
	if w.apply(w.b.Finish()); c.VPID != 1 {
		t.Errorf("a thread has changed VPID to %d", c.VPID)
	}
}

// TestCapabilitiesAfterSetuid shows a row of docs/compatibility.md.
func TestCapabilitiesAfterSetuid(t *testing.T) {
	w := newWorld(t, Options{})
	p := w.start(10, 1, "su")
	gen := p.Generation
	for k, i := range credSlots {
		if i == 0 {
			continue
		}
		h := w.header(10)
		w.b.Start(event.Kind(k), h)
		w.b.Uint(i, 1)
		w.b.Uint(i+1, 2)
		w.b.Uint(i+2, uint64(k))
		w.apply(w.b.Finish())
		if kind := event.Kind(k); kind == event.KindUnshare || kind == event.KindSetns {
			if p.CapEffective == uint64(k) {
				t.Errorf("%s is judged by the capabilities that it gave", kind)
			}
			w.b.Start(event.KindClose, w.header(10))
			w.apply(w.b.Finish())
		}
		if p.CapInheritable != 1 || p.CapPermitted != 2 || p.CapEffective != uint64(k) || p.Generation == gen {
			t.Errorf("after %s: %+v", event.Kind(k), p)
		}
		h.Res = -1
		w.b.Start(event.Kind(k), h)
		w.apply(w.b.Finish())
		if p.CapPermitted != 2 {
			t.Errorf("a %s that failed has changed capabilities", event.Kind(k))
		}
	}
}

// Into a mount namespace, setns leads to its root.
func TestDirectoryAfterSetns(t *testing.T) {
	const here, user = 0xf0000001, 0xf0000002
	for _, c := range []struct {
		name     string
		res      int64
		nstype   uint64
		ino      uint64
		thread   uint32
		wantRoot bool
	}{
		{"by its type", 0, cloneNewNS, 0, 10, true},
		{"by its descriptor", 0, 0, here, 10, true},
		{"another namespace", 0, 1 << 20, user, 10, false},
		{"a failure", -1, cloneNewNS, here, 10, false},
		{"another thread", 0, cloneNewNS, here, 11, false},
	} {
		w := newWorld(t, Options{})
		p := w.start(10, 1, "nsenter")
		p.CWD = "/home/u/"
		h := w.header(10)
		h.Res, h.TID, h.MntNS = c.res, c.thread, here
		w.b.Start(event.KindSetns, h)
		w.b.Uint(event.SetnsNstype, c.nstype)
		w.b.File(event.SetnsFile, event.FileInfo{Type: event.FDFile, Ino: c.ino}, nil)
		before := p.Generation
		if w.apply(w.b.Finish()); (p.CWD == "/") != c.wantRoot || c.wantRoot && p.Generation == before {
			t.Errorf("%s: in %q", c.name, p.CWD)
		}
	}
}

func TestDirectories(t *testing.T) {
	for _, c := range []struct{ cwd, path, want string }{
		{"/srv/www", "", "/srv/www/"},
		{"/", "x", "/"},
		{"", "/abs", "/abs/"},
		{"", "sub", "/home/u/sub/"},
		{"", "../v/./w//", "/home/v/w/"},
		{"", "../../../..", "/"},
		{"", "", "/home/u/"},
	} {
		w := newWorld(t, Options{})
		p := w.start(10, 1, "sh")
		p.CWD = "/home/u/"
		w.b.Start(event.KindChdir, w.header(10))
		w.b.Str(event.ChdirPath, c.path)
		if c.cwd != "" {
			w.b.Str(event.ChdirCwd, c.cwd)
		}
		w.apply(w.b.Finish())
		if p.CWD != c.want {
			t.Errorf("chdir(%q), now %q: CWD = %q, want %q", c.path, c.cwd, p.CWD, c.want)
		}
	}
	w := newWorld(t, Options{})
	p := w.start(10, 1, "sh")
	h := w.header(10)
	w.b.Start(event.KindFchdir, h)
	w.b.File(event.FchdirFile, event.FileInfo{Type: event.FDDirectory}, []byte("/opt"))
	if w.apply(w.b.Finish()); p.CWD != "/opt/" {
		t.Errorf("fchdir: %q", p.CWD)
	}
	w.b.Start(event.KindDup, h)
	w.b.CWD("/later")
	if before := p.Generation; w.apply(w.b.Finish()) != p || p.CWD != "/later/" || p.Generation == before {
		t.Errorf("told with another event: %q", p.CWD)
	}
	w.b.Start(event.KindProcfork, h)
	w.b.Int(event.ProcforkChild, 11)
	w.b.Uint(event.ProcforkStart, 1)
	w.b.CWD("/opt")
	if w.apply(w.b.Finish()); p.CWD != "/opt/" || w.table.Get(11).CWD != "/opt/" {
		t.Errorf("told with a fork: %q, of the child %q", p.CWD, w.table.Get(11).CWD)
	}
	h.Res = -20
	w.b.Start(event.KindFchdir, h)
	w.b.Str(event.FchdirCwd, "/wrong")
	if w.apply(w.b.Finish()); p.CWD != "/opt/" {
		t.Errorf("a failed fchdir: %q", p.CWD)
	}
	h.Res = 0
	w.b.Start(event.KindChroot, h)
	w.b.Str(event.ChrootRoot, "/jail")
	if w.apply(w.b.Finish()); p.Root != "/jail" {
		t.Errorf("chroot: %q", p.Root)
	}
}

// The root is the one that the kernel reported, or else that of the call.
func TestRoots(t *testing.T) {
	for _, c := range []struct {
		res              int64
		root, path, want string
	}{
		{0, "/jail", "jail", "/jail"},
		{1, "/jail", "jail", "/jail"},
		{0, "", "jail", "jail"},
		{0, "", "", "/old"},
		{-1, "/jail", "/jail", "/old"},
	} {
		w := newWorld(t, Options{})
		p := w.start(10, 1, "sh")
		p.Root = "/old"
		before, h := p.Generation, w.header(10)
		h.Res = c.res
		w.b.Start(event.KindChroot, h)
		for slot, text := range map[int]string{event.ChrootRoot: c.root, event.ChrootPath: c.path} {
			if text != "" {
				w.b.Str(slot, text)
			}
		}
		w.apply(w.b.Finish())
		if changed := p.Generation != before; p.Root != c.want || changed != (c.want != "/old") {
			t.Errorf("chroot(%q) = %d, now %q: %q, changed %v, want %q", c.path, c.res, c.root, p.Root, changed, c.want)
		}
	}
}

// TestContainers shows a row of docs/compatibility.md.
func TestContainers(t *testing.T) {
	w := newWorld(t, Options{})
	w.start(10, 1, "runc")
	w.fork(10, 11)
	id := strings.Repeat("0123456789abcdef", 4)
	raw := w.execRaw(11, "/bin/nginx")
	raw = replaceStr(t, raw, event.ExecveCgroups, "memory=/docker/"+id+"\x00")
	p := w.apply(raw)
	if p.Container.ID != id[:12] || p.Container.Known {
		t.Fatalf("container %+v", p.Container)
	}
	c := w.fork(11, 12)
	if c.Container != p.Container {
		t.Error("the child is in another container")
	}
	host := w.call(10)
	gen, hostGen := c.Generation, host.Generation
	w.table.UpdateContainer(container.Container{ID: id[:12], Name: "web"})
	if c.Generation == gen || host.Generation != hostGen || c.Container.Name != "web" {
		t.Error("metadata of a container must change the generation of its processes, and no other's")
	}
	w.b.Start(event.KindContainer, event.Header{})
	w.b.Str(event.ContainerJson, `{"container": {"id": "`+id[:12]+`", "name": "api"}}`)
	if w.apply(w.b.Finish()); c.Container.Name != "api" || c.Container.Type != container.Docker {
		t.Errorf("metadata of a capture: %+v", c.Container)
	}
	w.b.Start(event.KindAsyncevent, event.Header{})
	w.b.Str(event.AsynceventName, "container")
	w.b.Str(event.AsynceventData, `{"container": {"id": "`+id[:12]+`", "name": "web"}}`)
	if w.apply(w.b.Finish()); c.Container.Name != "web" {
		t.Errorf("metadata of a newer capture: %+v", c.Container)
	}
	w.exit(11, 1)
	w.exit(12, 1)
	if got := w.table.Containers().Get(id[:12]); got == nil || got.Name != "web" {
		t.Error("metadata is gone with the last process")
	}
}

// replaceStr returns the event with another value in a variable slot.
func replaceStr(t *testing.T, raw []byte, slot int, s string) []byte {
	t.Helper()
	var v event.View
	if err := v.Reset(raw); err != nil {
		t.Fatal(err)
	}
	var b event.Builder
	b.Start(v.Kind(), *v.Header())
	for i := range v.Info().Slots() {
		typ := event.TypeNone
		if n := len(v.Info().Params); i < n {
			typ = v.Info().Params[i].Type
		} else {
			typ = v.Info().Extras[i-n].Type
		}
		switch old, ok := []byte(nil), true; {
		case i == slot:
			b.Str(i, s)
		case !typ.Variable():
			b.Uint(i, v.Uint(i))
		default:
			if old, ok = v.Bytes(i); ok {
				b.Bytes(i, old)
			}
		}
	}
	return b.Finish()
}

func TestFullTable(t *testing.T) {
	w := newWorld(t, Options{MaxProcesses: 3})
	w.start(10, 1, "bash")
	w.fork(10, 11)
	if w.fork(10, 12) != nil {
		t.Fatal("more processes than allowed")
	}
	if p := w.call(12); p.Known || p.PID != 12 || p.PPID != 10 {
		t.Errorf("event of a process that is not kept: %+v", p)
	}
	if w.table.Stats().DropsFull != 2 || w.table.Len() != 3 {
		t.Errorf("stats %+v", w.table.Stats())
	}
	leader := w.procs[11]
	p := w.exit(11, 1)
	if w.fork(10, 13) == nil {
		t.Error("no room after an exit")
	}
	w.procs[11] = leader // whose other threads go on
	if w.call(11) != p || !p.Dead || w.table.Len() != 3 {
		t.Errorf("a process that outlives its main thread, without room for it: %+v", p)
	}
	w.exit(13, 1)
	if w.call(11) != p || p.Dead || w.table.Len() != 3 {
		t.Errorf("with room: %+v", p)
	}
}

func TestExecOfHundredThousandShortProcesses(t *testing.T) {
	w := newWorld(t, Options{})
	sh := w.start(10, 1, "bash")
	const n = 100_000
	for i := range int32(n) {
		pid := 100 + i%30000
		w.fork(10, pid)
		name := fmt.Sprintf("tool%d", i%100)
		p := w.exec(pid, "/usr/bin/"+name, "-n", "x")
		if p.Comm != name || w.table.Parent(p) != sh || p.Cmdline != name+" -n x" {
			t.Fatalf("process %d: %+v", i, p)
		}
		w.exit(pid, 1)
	}
	if w.table.Len() != 2 || len(w.table.processes) > 2+graves {
		t.Errorf("%d processes, %d entries", w.table.Len(), len(w.table.processes))
	}
	if s := w.table.Stats(); s.Added != n+2 || s.Removed != n || s.LookupsFailed != 0 {
		t.Errorf("stats %+v", s)
	}
	kids := 0
	for c := sh.child; c != nil; c = c.older {
		kids++
	}
	if kids > graves {
		t.Errorf("the shell still has %d dead children", kids)
	}
}

func TestEventsOfNoProcess(t *testing.T) {
	w := newWorld(t, Options{})
	w.b.Start(event.KindDrop, event.Header{Time: 5})
	if p := w.apply(w.b.Finish()); p.Known || w.table.Len() != 1 || w.table.Stats().LookupsFailed != 0 {
		t.Errorf("%+v, %+v", p, w.table.Stats())
	}
}

// A capture does not know when processes started that were there before it.
func TestStartNotKnown(t *testing.T) {
	w := newWorld(t, Options{})
	w.born(10, 1, "old")
	w.procs[10].Start = 1
	w.procs[10].Time = 0
	p := w.apply(w.task(10, "old"))
	if p.ForkTime != 0 || !p.Known {
		t.Errorf("ForkTime = %d", p.ForkTime)
	}
	raw := w.execRaw(10, "/bin/x")
	if p := w.apply(raw); p.ForkTime != 0 {
		t.Errorf("ForkTime after an exec = %d", p.ForkTime)
	}
}
