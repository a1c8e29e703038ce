package state_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/probe"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// live is a table that follows the real kernel.
type live struct {
	t     *testing.T
	probe *probe.Probe
	table *state.Table
	view  event.View
	off   uint64
}

// follow attaches the probe, takes the snapshot, and is ready to consume.
func follow(t *testing.T) *live {
	t.Helper()
	p, err := probe.Load(probe.Options{})
	needs.That(t, "eBPF", err)
	t.Cleanup(func() { p.Close() })
	l := &live{t: t, probe: p, table: state.NewTable(state.Options{ProcRoot: "/proc", HostRoot: "/"}), off: bootOffset()}
	if err := p.Snapshot(func(ev []byte) { l.apply(ev, nil) }); err != nil {
		t.Fatal(err)
	}
	return l
}

func bootOffset() uint64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(err)
	}
	return uint64(time.Now().UnixNano() - ts.Nano())
}

func (l *live) apply(ev []byte, f func(*event.View, *state.Process)) {
	if err := l.view.Reset(ev); err != nil {
		l.t.Fatal(err)
	}
	p := l.table.Apply(&l.view, l.view.Header().Time+l.off)
	if f != nil {
		f(&l.view, p)
	}
	l.table.Done(&l.view)
}

// consume passes events to f until it returns false.
func (l *live) consume(f func(*event.View, *state.Process) bool) {
	more := true
	for deadline := time.Now().Add(5 * time.Minute); more; {
		ev, ok := l.probe.Reader().Next()
		if !ok {
			if time.Now().After(deadline) {
				l.t.Fatal("the last event has not come")
			}
			l.probe.Reader().Wait(100 * time.Millisecond)
			continue
		}
		l.apply(ev, func(v *event.View, p *state.Process) { more = f(v, p) })
	}
}

// The kernel's snapshot and /proc say the same of every process that is there
// for both.
func TestSnapshotIsWhatProcSays(t *testing.T) {
	long := strings.Repeat("x", 10<<10)
	cmd := exec.Command("/bin/sh", "-c", "echo ready; read line", long)
	cmd.Env = []string{"A=" + long, "B=short"}
	startReady(t, cmd)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	titled := exec.Command(self)
	titled.Env = []string{titledHelper + "=1", "A=" + long}
	startReady(t, titled)
	before := scanProc(t)
	l := follow(t)
	after := scanProc(t)
	compared, ours := 0, 0
	for a := range l.table.All {
		b, was := after.Get(a.PID), before.Get(a.PID)
		if b == nil || was == nil || a.Start-a.Start%1e7 != b.Start || a.Comm != b.Comm || exiting(a.PID) {
			continue // it has come, gone or changed meanwhile
		}
		if was.Container.ID != b.Container.ID {
			continue // moved to another cgroup
		}
		if a.ExeFlags&event.ExeFromMemfd != 0 {
			continue // has no path
		}
		if b.VPGID == 0 {
			b.VPGID = a.VPGID // of a namespace outside: /proc has no number for it
		}
		compared++
		if pid := int(a.PID); pid == cmd.Process.Pid || pid == titled.Process.Pid && len(a.Exe) > 500 {
			ours++
		}
		for _, c := range []struct {
			name string
			a, b any
		}{
			{"Exe", a.Exe, b.Exe}, {"Args", a.Args, b.Args}, {"Env", a.Env, b.Env}, {"CWD", a.CWD, b.CWD}, {"Root", a.Root, b.Root},
			{"ExePath", a.ExePath, b.ExePath}, {"Cmdline", a.Cmdline, b.Cmdline}, {"PPID", a.PPID, b.PPID}, {"VPID", a.VPID, b.VPID},
			{"SID", a.SID, b.SID}, {"PGID", a.PGID, b.PGID}, {"VPGID", a.VPGID, b.VPGID}, {"UID", a.UID, b.UID}, {"GID", a.GID, b.GID},
			{"LoginUID", a.LoginUID, b.LoginUID}, {"CapEffective", a.CapEffective, b.CapEffective}, {"CapPermitted", a.CapPermitted, b.CapPermitted},
			{"TTY", a.TTY, b.TTY}, {"FDLimit", a.FDLimit, b.FDLimit}, {"ExeIno", a.ExeIno, b.ExeIno}, {"MntNS", a.MntNS, b.MntNS},
			{"PIDNS", a.PIDNS, b.PIDNS}, {"Container", a.Container.ID, b.Container.ID}, {"ExeMTime", a.ExeMTime, b.ExeMTime},
		} {
			if c.a != c.b {
				t.Errorf("process %d (%s): %s is %q, in /proc %q", a.PID, a.Comm, c.name, fmt.Sprint(c.a), fmt.Sprint(c.b))
			}
		}
		if d := time.Duration(a.ForkTime) - time.Duration(b.ForkTime); d < -time.Second || d > time.Second {
			t.Errorf("process %d: ForkTime differs by %v", a.PID, d)
		}
	}
	if compared < 5 || ours != 2 {
		t.Errorf("only %d processes compared, of the test's own two %d", compared, ours)
	}
	t.Logf("%d processes", compared)
}

// titledHelper in its environment makes the test binary a program that names
// itself.
const titledHelper = "STATE_TEST_TITLED"

// nameSelf writes a title over the arguments and on into the environment, as
// nginx and PostgreSQL do, and waits for the end of the input. The strings of
// os.Args lie in that memory.
func nameSelf() {
	title := "titled: " + strings.Repeat("y", 500) + "\x00"
	copy(unsafe.Slice(unsafe.StringData(os.Args[0]), len(title)), title)
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func scanProc(t *testing.T) *state.Table {
	t.Helper()
	table := state.NewTable(state.Options{ProcRoot: "/proc"})
	if err := table.ScanProc(); err != nil {
		t.Fatal(err)
	}
	return table
}

// exiting says whether a process is about to be gone, or is: in /proc such a
// one is in the root of every cgroup v1 hierarchy (proc_cgroup_show of
// kernel/cgroup/cgroup.c), while the kernel has it where it was.
func exiting(pid int32) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	// Behind the name: state ppid pgrp session tty tpgid flags (proc(5)).
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	flags, err := strconv.ParseUint(fields[6], 10, 64)
	return err != nil || flags&0x4 != 0 // PF_EXITING
}

// startReady starts a command that says a line when it is there and then
// waits for one.
func startReady(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
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
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
}

// A storm of short processes: every one has its name and its parent's, nothing
// is fetched, and the memory stays flat. PEREGRINE_STORM sets how many.
func TestForkStorm(t *testing.T) {
	n := 300
	if s := os.Getenv("PEREGRINE_STORM"); s != "" {
		n, _ = strconv.Atoi(s)
	}
	l := follow(t)
	before := l.table.Stats()
	cmd := exec.Command("/bin/sh", "-c", fmt.Sprintf(`i=0; while [ $i -lt %d ]; do /bin/true storm $i; i=$((i+1)); done; exec /bin/true end`, n))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	shell := int32(cmd.Process.Pid)
	seen, gone := 0, 0
	var heap [2]uint64
	l.consume(func(v *event.View, p *state.Process) bool {
		switch v.Kind() {
		case event.KindExecve:
			if p.PID == shell {
				return p.Comm != "true"
			}
			if !strings.HasPrefix(p.Args, "storm\x00") {
				return true
			}
			parent := l.table.Parent(p)
			if p.Comm != "true" || p.Cmdline != "true storm "+strconv.Itoa(seen) || parent == nil || parent.PID != shell || parent.Comm != "sh" {
				t.Errorf("process %d is %q, child of %+v", seen, p.Cmdline, parent)
				return false
			}
			if seen++; seen == n/2 || seen == n {
				heap[seen/n] = heapInUse()
			}
		case event.KindProcexit:
			if p.Args != "" && strings.HasPrefix(p.Args, "storm\x00") {
				gone++
			}
		}
		return true
	})
	s := l.table.Stats()
	t.Logf("%d seen, %d gone, heap %d then %d bytes, stats %+v", seen, gone, heap[0], heap[1], s)
	c, err := l.probe.Counters()
	if err != nil {
		t.Fatal(err)
	}
	if c.Dropped() != 0 {
		t.Errorf("%d events were dropped", c.Dropped())
	}
	if seen != n || gone < n-1 {
		t.Errorf("%d of %d processes seen, %d exits", seen, n, gone)
	}
	if s.Threads > before.Threads+100 {
		t.Errorf("%d processes before, %d after", before.Threads, s.Threads)
	}
	if heap[1] > heap[0]+2<<20 {
		t.Errorf("heap grows from %d to %d bytes", heap[0], heap[1])
	}
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
