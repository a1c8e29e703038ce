package state

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func slotPtr(raw []byte, slot int) *uint64 {
	return (*uint64)(unsafe.Pointer(&raw[event.HeaderSize+8*slot]))
}

// child starts a real process that lives until the test ends, and is ready.
func child(t *testing.T, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", "echo ready; read x", "an arg", "")
	cmd.Dir, cmd.Env = t.TempDir(), env
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	if _, err := out.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func TestScanProc(t *testing.T) {
	cmd := child(t, "PEREGRINE_TEST=1")
	table := NewTable(Options{ProcRoot: "/proc"})
	if err := table.ScanProc(); err != nil {
		t.Fatal(err)
	}
	p := table.Get(int32(cmd.Process.Pid))
	if p == nil {
		t.Fatal("child not found")
	}
	dir, err := filepath.EvalSymlinks(cmd.Dir)
	if err != nil {
		t.Fatal(err)
	}
	sh, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Stat(sh)
	if err != nil {
		t.Fatal(err)
	}
	sid, _ := unix.Getsid(p2i(p.PID))
	for _, c := range []struct {
		name      string
		got, want any
	}{
		{"Known", p.Known, true},
		{"Comm", p.Comm, "sh"},
		{"Exe", p.Exe, "/bin/sh"},
		{"ExePath", p.ExePath, sh},
		{"Args", p.Args, "-c\x00echo ready; read x\x00an arg\x00\x00"},
		{"Cmdline", p.Cmdline, "sh -c echo ready; read x an arg "},
		{"Env", strings.Contains(p.Env, "PEREGRINE_TEST=1\x00"), true},
		{"CWD", p.CWD, dir + "/"},
		{"Root", p.Root, "/"},
		{"PPID", p.PPID, int32(os.Getpid())},
		{"VPID", p.VPID, p.PID},
		{"SID", p.SID, int32(sid)},
		{"PGID", p.PGID, int32(unix.Getpgrp())},
		{"UID", p.UID, uint32(os.Geteuid())},
		{"GID", p.GID, uint32(os.Getegid())},
		{"Threads", p.Threads, int32(1)},
		{"ExeMTime", p.ExeMTime, uint64(exe.ModTime().UnixNano())},
		{"FDLimit", p.FDLimit > 0, true},
		{"VMRSS", p.VMRSS > 0, true},
		{"Cgroups", strings.Contains(p.Cgroups, "=/"), true},
		{"MntNS", p.MntNS != 0, true},
	} {
		if c.got != c.want {
			t.Errorf("%s = %#v, want %#v", c.name, c.got, c.want)
		}
	}
	if age := time.Since(time.Unix(0, int64(p.ForkTime))); age < -time.Second || age > time.Minute {
		t.Errorf("ForkTime is %v ago", age)
	}
	if q := table.Parent(p); q == nil || q.PID != int32(os.Getpid()) {
		t.Errorf("parent %+v", q)
	}
}

func p2i(pid int32) int { return int(pid) }

func TestUnknownProcessIsFetched(t *testing.T) {
	cmd := child(t)
	pid := int32(cmd.Process.Pid)
	table := NewTable(Options{ProcRoot: "/proc"})
	var f facts
	if !table.proc.read(pid, &f) {
		t.Fatal("cannot read the child")
	}
	h := event.Header{PID: uint32(pid), TID: uint32(pid), PPID: uint32(os.Getpid()), Start: f.start + 123,
		Time: f.time, UID: f.uid, GID: f.gid, LoginUID: f.loginuid, ExecID: 7, Cgroup: 3}
	var b event.Builder
	b.Start(event.KindClose, h)
	var v event.View
	if err := v.Reset(b.Finish()); err != nil {
		t.Fatal(err)
	}
	p := table.Apply(&v, uint64(time.Now().UnixNano()))
	if !p.Known || p.Comm != "sh" || p.Start != f.start+123 || p.ExecID != 7 || p.CgroupID != 3 {
		t.Errorf("fetched %+v", p)
	}
	// Its fork and its exec were lost; this first event has it all.
	if p.Cmdline != "sh -c echo ready; read x an arg " || p.CWD != f.cwd+"/" || p.ExePath != f.exePath || p.Exe != "/bin/sh" || f.cwd == "" || f.exePath == "" {
		t.Errorf("cmdline %q, cwd %q of %q, exe %q, %q of %q", p.Cmdline, p.CWD, f.cwd, p.Exe, p.ExePath, f.exePath)
	}
	if q := table.Parent(p); q == nil || q.PID != int32(os.Getpid()) || !q.Known {
		t.Errorf("its parent is fetched too, but got %+v", q)
	}
	fetched := table.Stats().Fetched
	table.Apply(&v, 1)
	if s := table.Stats(); s.Fetched != fetched || s.LookupsFailed != 0 {
		t.Errorf("fetched again: %+v", s)
	}

	// Of another process that had this pid before, /proc knows nothing.
	table = NewTable(Options{ProcRoot: "/proc"})
	v.Header().Start = f.start - 50*tick
	if p := table.Apply(&v, 1); p.Known || p.Comm != "" {
		t.Errorf("took the facts of another process: %+v", p)
	}
}

func TestReadStatWithHostileName(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "42")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	stat := "42 (a) R 1 (b\n\xff)) S 7 8 9 34816 8 4194304 11 0 22 0 1 2 0 0 20 0 1 0 5000 1000 100\n"
	status := "Name:\ta) R\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nNSpid:\t42\t3\nNSpgid:\t42\t3\nNSsid:\t9\t0\nCapEff:\t00000000a80425fb\nThreads:\t4\nbroken\n"
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("stat", stat)
	write("status", status)
	write("cmdline", strings.Repeat("x", 10000))
	write("cgroup", "12:cpu,cpuacct:/a\n1:name=systemd:/b:c\n0::/d\nbroken\n")
	r := newProcReader(root, nil)
	var f facts
	if !r.read(42, &f) {
		t.Fatal("not read")
	}
	if f.comm != "a) R 1 (b\n\xff)" || f.ppid != 7 || f.pgid != 8 || f.tty != 34816 || f.start != 5000*tick ||
		f.uid != 2 || f.gid != 6 || f.vpid != 3 || f.sid != 0 || f.threads != 4 || f.capEff != 0xa80425fb || f.majFault != 22 {
		t.Errorf("%+v", f)
	}
	if len(f.argv) != maxList {
		t.Errorf("command line of %d bytes", len(f.argv))
	}
	if want := "cpu,cpuacct=/a\x00name=systemd=/b:c\x00=/d\x00"; f.cgroups != want {
		t.Errorf("cgroups %q, want %q", f.cgroups, want)
	}
	for _, broken := range []string{"", "42", "42 (x", "42 (x) S", "42 )x( S 1 2"} {
		write("stat", broken)
		if r.read(42, &f) {
			t.Errorf("read a process from the stat file %q", broken)
		}
	}
}

func TestPurge(t *testing.T) {
	root := t.TempDir()
	now := time.Duration(1000) * time.Second
	table := NewTable(Options{ProcRoot: root, Clock: func() time.Duration { return now }})
	w := &world{t: t, table: table, now: uint64(now), procs: make(map[int32]*event.Header)}
	start := time.Unix(1_700_000_000, 0)
	w.start(1, 0, "init")
	w.start(10, 1, "gone")
	c := w.fork(10, 11)
	if err := os.MkdirAll(filepath.Join(root, "11"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, pid := range []string{"1", "11"} {
		os.MkdirAll(filepath.Join(root, pid), 0o755)
		if err := os.WriteFile(filepath.Join(root, pid, "stat"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	table.Tick(start)
	now += DefaultPurge / 2
	table.Tick(start.Add(DefaultPurge))
	if table.Len() != 3 {
		t.Fatal("purged although not silent for long enough")
	}
	now += DefaultPurge
	table.Tick(start.Add(2*DefaultPurge + 1))
	if table.Get(10) != nil || table.Get(11) != c || table.Get(1) == nil || table.Stats().Purged != 1 {
		t.Errorf("stats %+v", table.Stats())
	}
}

func TestPasswdAndGroup(t *testing.T) {
	u := parsePasswd("# comment\nroot:x:0:0:root:/root:/bin/bash\nbad\nx:y:z:1:2:3:4\ntoor:x:0:0::/:/bin/sh\n+::::::\nwww:x:33:33:www:/var/www:/usr/sbin/nologin")
	if len(u) != 2 || u[0].Name != "root" || *u[33] != (User{33, 33, "www", "/var/www", "/usr/sbin/nologin"}) {
		t.Errorf("%+v", u)
	}
	g := parseGroup("root:x:0:\nwheel:x:0:\nadm:x:4:syslog,bob\n:x:5:\nbad:x:no:\n")
	if len(g) != 2 || g[0].Name != "root" || g[4].Name != "adm" {
		t.Errorf("%+v", g)
	}
}

func TestHostUsers(t *testing.T) {
	root := t.TempDir()
	write := func(text string) {
		t.Helper()
		os.MkdirAll(filepath.Join(root, "etc"), 0o755)
		tmp := filepath.Join(root, "etc/new")
		if err := os.WriteFile(tmp, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, filepath.Join(root, "etc/passwd")); err != nil {
			t.Fatal(err)
		}
	}
	write("ann:x:1000:100:Ann:/home/ann:/bin/zsh\n")
	w := newWorld(t, Options{HostRoot: root})
	p := w.start(10, 1, "sh")
	if u := w.table.User(p, 1000); u.Name != "ann" || u.Home != "/home/ann" || u.Shell != "/bin/zsh" {
		t.Errorf("%+v", u)
	}
	if a, b, c := w.table.User(p, 0), w.table.User(p, 1), w.table.User(p, noID); a.Name != "root" || b.Name != "<NA>" || c.Name != "<NA>" {
		t.Errorf("without an entry: %+v %+v %+v", a, b, c)
	}
	if a, b := w.table.Group(p, 0), w.table.Group(p, 7); a.Name != "root" || b.Name != "<NA>" {
		t.Errorf("without an entry: %+v %+v", a, b)
	}
	gen := p.Generation
	w.table.Tick(time.Now())
	if p.Generation != gen {
		t.Error("generation changed without a change")
	}
	write("bob:x:1000:100::/:/bin/sh\n")
	w.table.Tick(time.Now())
	if u := w.table.User(p, 1000); u.Name != "bob" || p.Generation == gen {
		t.Errorf("after a change: %+v", u)
	}
}

// A container's files are read below its root, whatever symlinks it has put
// there; devices and pipes are not read at all.
func TestAccountsStayBelowTheRoot(t *testing.T) {
	root := t.TempDir()
	etc := filepath.Join(root, "etc")
	if err := os.Mkdir(etc, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(etc, "passwd")); err != nil { // itself, below the root
		t.Fatal(err)
	}
	if a := readAccounts(root, stamp{}); a != nil {
		t.Errorf("followed a symlink out of the root: %v", a.users)
	}
	os.Remove(filepath.Join(etc, "passwd"))
	if err := os.Symlink("../../../real", filepath.Join(etc, "passwd")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "real"), []byte("in:x:5:5::/:\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(etc, "group"), 0o644); err != nil {
		t.Fatal(err)
	}
	a := readAccounts(root, stamp{})
	if a == nil || a.users[5] == nil || len(a.groups) != 0 {
		t.Fatalf("%+v", a)
	}
	if readAccounts(root, a.stamp) != nil {
		t.Error("read again without a change")
	}
}

// TestContainerUsers shows a row of docs/compatibility.md.
func TestContainerUsers(t *testing.T) {
	root, proc := t.TempDir(), t.TempDir()
	os.MkdirAll(filepath.Join(root, "etc"), 0o755)
	if err := os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("app:x:1000:1000::/app:/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, Options{})
	w.start(10, 1, "runc")
	w.fork(10, 11)
	raw := replaceStr(t, w.execRaw(11, "/bin/app"), event.ExecveCgroups, "=/docker/"+strings.Repeat("ab", 32))
	p := w.apply(raw)
	w.table.users.proc = proc
	os.MkdirAll(filepath.Join(proc, "11"), 0o755)
	if err := os.Symlink(root, filepath.Join(proc, "11/root")); err != nil {
		t.Fatal(err)
	}
	stat := "11 (app) S 1" + strings.Repeat(" 0", 17) + " " + strconv.FormatUint(p.Start/tick, 10) + " 0 0\n"
	if err := os.WriteFile(filepath.Join(proc, "11/stat"), []byte(stat), 0o644); err != nil {
		t.Fatal(err)
	}
	needs.Eventually(t, "user 1000 of the container is app", func() bool {
		w.table.Tick(time.Now()) // the machine is busy: it comes later
		return w.table.User(p, 1000).Name == "app"
	})
	if u := w.table.User(w.call(10), 1000); u.Name != "<NA>" {
		t.Errorf("user 1000 of the host is %q", u.Name)
	}
}

// The files of a container whose users are asked for are read again once the
// last reading is old enough, and not before.
func TestContainerUsersAreReadAgain(t *testing.T) {
	w := newWorld(t, Options{})
	w.start(10, 1, "runc")
	w.fork(10, 11)
	raw := replaceStr(t, w.execRaw(11, "/bin/app"), event.ExecveCgroups, "=/docker/"+strings.Repeat("ab", 32))
	p, now := w.apply(raw), time.Now()
	for _, tt := range []struct {
		what string
		proc string
		used bool
		age  time.Duration
		want bool
	}{
		{"old", t.TempDir(), true, reread, true},
		{"not old enough", t.TempDir(), true, reread - 1, false},
		{"older", t.TempDir(), true, reread + 1, true},
		{"not asked for", t.TempDir(), false, reread, false},
		{"of a capture", "", true, reread, false},
	} {
		a := &accounts{used: tt.used, asked: now.Add(-tt.age)}
		w.table.users.proc, w.table.users.by[p.Container.ID] = tt.proc, a
		w.table.tickUsers(now)
		if got := a.pending != nil; got != tt.want {
			t.Errorf("%s: read again: %v, want %v", tt.what, got, tt.want)
		}
		if a.pending != nil {
			<-a.pending
		}
	}
}

func TestUsersOfACapture(t *testing.T) {
	w := newWorld(t, Options{})
	p := w.start(10, 1, "sh")
	w.b.Start(event.KindUseradded, event.Header{})
	w.b.Uint(event.UseraddedUid, 500)
	w.b.Uint(event.UseraddedGid, 50)
	w.b.Str(event.UseraddedName, "eve")
	w.b.Str(event.UseraddedHome, "/home/eve")
	w.apply(w.b.Finish())
	w.b.Start(event.KindGroupadded, event.Header{})
	w.b.Uint(event.GroupaddedGid, 50)
	w.b.Str(event.GroupaddedName, "staff")
	w.apply(w.b.Finish())
	if u, g := w.table.User(p, 500), w.table.Group(p, 50); u.Name != "eve" || u.Home != "/home/eve" || g.Name != "staff" {
		t.Errorf("%+v, %+v", u, g)
	}
	w.b.Start(event.KindUserdeleted, event.Header{})
	w.b.Uint(event.UseraddedUid, 500)
	w.apply(w.b.Finish())
	if u := w.table.User(p, 500); u.Name != "<NA>" {
		t.Errorf("%+v", u)
	}
	if w.table.Len() != 2 {
		t.Error("these events have no process")
	}
}

func unsafeBytes(b []uint64) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(b))), 8*len(b))
}

// A full table looks for processes that have gone, without waiting.
func TestPurgeOfAFullTable(t *testing.T) {
	now := time.Duration(1000) * time.Second
	var log strings.Builder
	table := NewTable(Options{ProcRoot: t.TempDir(), MaxProcesses: 3, Clock: func() time.Duration { return now },
		Log: slog.New(slog.NewTextHandler(&log, nil))})
	w := &world{t: t, table: table, now: uint64(now), procs: make(map[int32]*event.Header)}
	w.start(1, 0, "init")
	w.start(10, 1, "gone")
	w.start(11, 1, "gone")
	w.start(12, 1, "new")
	if table.Get(12) != nil {
		t.Fatal("more processes than allowed")
	}
	now += 2 * time.Second
	table.Tick(time.Unix(1, 0))
	if table.Len() != 0 || !strings.Contains(log.String(), "full") {
		t.Errorf("%d processes are left; log %q", table.Len(), log.String())
	}
	if w.start(12, 1, "new"); table.Get(12) == nil {
		t.Error("no room after the purge")
	}
}
