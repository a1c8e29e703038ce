package probe

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// checkHeader compares an event's header with /proc of this process.
func checkHeader(t *testing.T, e *recorded, res int64, syscall string) {
	t.Helper()
	h := *e.Header()
	if end := now(); h.Time > end || h.Time+60e9 < end {
		t.Errorf("time %d, now %d", h.Time, end)
	}
	if int(h.CPU) >= runtime.NumCPU()*8 {
		t.Errorf("cpu %d", h.CPU)
	}
	if h.Len%8 != 0 || int(h.Len) != len(e.Raw()) {
		t.Errorf("length %d of %d", h.Len, len(e.Raw()))
	}
	if event.ID(h.Syscall).String() != syscall {
		t.Errorf("syscall %s, want %s", event.ID(h.Syscall), syscall)
	}
	start := procStart(t, os.Getpid())
	if d := int64(h.Start) - start; d < 0 || d > 10e6 { // /proc has ticks of 10 ms
		t.Errorf("start %d, /proc says %d", h.Start, start)
	}
	want := event.Header{
		Time: h.Time, Len: h.Len, Kind: e.Kind(), NumSlots: uint8(e.Info().Slots()), Res: res,
		TID: h.TID, PID: uint32(os.Getpid()), PPID: uint32(os.Getppid()), UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()),
		LoginUID: loginUID(t), Cgroup: h.Cgroup, MntNS: namespace(t, "mnt"), PIDNS: namespace(t, "pid"), Lost: h.Lost,
		CPU: h.CPU, Syscall: h.Syscall, Start: h.Start, VTID: h.TID, ExecID: h.ExecID,
	}
	if h != want {
		t.Errorf("header\n got %+v\nwant %+v", h, want)
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", h.TID)); err != nil && h.TID != h.PID {
		t.Logf("thread %d is gone", h.TID)
	}
	if h.Cgroup == 0 || h.ExecID == 0 {
		t.Errorf("cgroup %d, exec id %d", h.Cgroup, h.ExecID)
	}
}

// procStart is the start of a process in boot-time ns, to the tick.
func procStart(t testing.TB, pid int) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+2:]))
	ticks, err := strconv.ParseInt(f[19], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return ticks * 10e6
}

func loginUID(t testing.TB) uint32 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/loginuid")
	if err != nil {
		return 0xffffffff
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n)
}

func namespace(t testing.TB, name string) uint32 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/"+name, &st); err != nil {
		t.Fatal(err)
	}
	return uint32(st.Ino)
}
