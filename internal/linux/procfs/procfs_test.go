package procfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

func TestParseStat(t *testing.T) {
	// The name is any 15 bytes, and proc writes it as it is.
	text := "42 (a) S b\n\\) R 1 40 42 34816 -1 4194304 100 7 3 0 150 50 0 0 20 0 5 0 777 8192 3 18446744073709551615 1 1\n"
	want := Stat{Comm: "a) S b\n\\", State: 'R', PPID: 1, PGID: 40, TTY: 34816, MinorFaults: 100, MajorFaults: 3,
		User: 1500 * time.Millisecond, System: 500 * time.Millisecond, Threads: 5, Start: 777, Virtual: 8192, RSS: 3 * pageSize}
	got, err := ParseStat([]byte(text))
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if got.Ended() || got.StartTime() != 7770*time.Millisecond {
		t.Errorf("ended %v, start time %v", got.Ended(), got.StartTime())
	}
	zombie := "42 (x) Z 1 40 42 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 %d 0 777 0 0 0\n"
	for threads, want := range map[int]bool{1: true, 2: false} {
		if s, err := ParseStat(fmt.Appendf(nil, zombie, threads)); err != nil || s.Ended() != want {
			t.Errorf("a zombie with %d threads: ended %v, %v", threads, s.Ended(), err)
		}
	}
	for _, bad := range []string{"", "42", "42 (x", ")(", "42 (x) R 1 40"} {
		if _, err := ParseStat([]byte(bad)); err == nil {
			t.Errorf("ParseStat(%q) succeeded", bad)
		}
	}
}

func TestParseStatus(t *testing.T) {
	text := "Name:\ta\\\\b\\n\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nNSpid:\t900\t7\nNSpgid:\t900\t6\nNSsid:\t900\t5\n" +
		"VmSize:\t  12 kB\nVmRSS:\t 8 kB\nVmSwap:\t 0 kB\nThreads:\t3\nCapInh:\t0\nCapPrm:\t000001ffffffffff\nCapEff:\t0000000000200000\n"
	want := Status{Name: "a\\b\n", UID: 2, GID: 6, VPID: 7, VPGID: 6, VSID: 5, Threads: 3,
		CapPrm: 0x1ffffffffff, CapEff: 1 << unix.CAP_SYS_ADMIN, VMSize: 12, VMRSS: 8}
	if diff := cmp.Diff(want, parseStatus([]byte(text))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Status{VPID: -1, VPGID: -1, VSID: -1}, parseStatus(nil)); diff != "" {
		t.Errorf("nothing:\n%s", diff)
	}
}

func TestParseMounts(t *testing.T) {
	text := `21 1 0:19 / / rw,relatime shared:1 - ext4 /dev/root rw,errors=remount-ro
30 21 0:26 /a\040b /mnt/c\134d\043 rw shared:4 master:1 - cgroup cgroup rw,cpu,cpuacct
31 21 0:27 / /x\011y rw - tmpfs  rw,size=1k
a line of another form
32 21 0:28 / /y rw
`
	want := []Mount{
		{Root: "/", Point: "/", Type: "ext4", Source: "/dev/root", Options: []string{"rw", "errors=remount-ro"}},
		{Root: "/a b", Point: `/mnt/c\d#`, Type: "cgroup", Source: "cgroup", Options: []string{"rw", "cpu", "cpuacct"}},
		{Root: "/", Point: "/x\ty", Type: "tmpfs", Options: []string{"rw", "size=1k"}},
	}
	if diff := cmp.Diff(want, ParseMounts(text)); diff != "" {
		t.Error(diff)
	}
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{
		`/a`: "/a", `\040\134040`: ` \040`, `\\`: `\\`, `\04`: `\04`, `\777`: `\777`, `\303\244`: "ä", `\`: `\`, `\089`: `\089`,
	} {
		if got := unescape(in); got != want {
			t.Errorf("Unescape(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestParseCgroups(t *testing.T) {
	text := "4:cpu,cpuacct:/a:b c\n1:name=systemd:/x (deleted)\n0::/u (deleted)\nshort:1\n"
	want := []Cgroup{
		{Subsystems: "cpu,cpuacct", Path: "/a:b c"},
		{Subsystems: "name=systemd", Path: "/x (deleted)"},
		{Path: "/u", V2: true},
	}
	if diff := cmp.Diff(want, ParseCgroups(text)); diff != "" {
		t.Error(diff)
	}
}

func TestNumber(t *testing.T) {
	text := "Pss:      12 kB\nprocs_running 3\nMemTotal: 99999999999999999999 kB\nName\n"
	for key, want := range map[string]uint64{"Pss": 12, "procs_running": 3, "MemTotal": 0, "Name": 0, "none": 0} {
		if got := Number(text, key); got != want {
			t.Errorf("%s: %d, want %d", key, got, want)
		}
	}
}

func TestParseCPU(t *testing.T) {
	for text, want := range map[string]CPU{
		"cpu  10 20 30 40 5 6 7 8 100 100\ncpu0 1\n": {126, 45, 8}, "": {}, "cpu 1 x": {Total: 1},
	} {
		if got := ParseCPU(text); got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
	if c, err := Host.CPU(); err != nil || c.Total <= c.Idle || c.Idle == 0 {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestRealProcess reads a child that has a name of the worst kind, alive and
// as a zombie.
func TestRealProcess(t *testing.T) {
	exe := t.TempDir() + "/a) Z\n\\ (x"
	if err := os.Symlink("/bin/cat", exe); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	stat, err := Host.Stat(pid)
	if err != nil || stat.Comm != "a) Z\n\\ (x" || stat.PPID != int32(os.Getpid()) || stat.Ended() {
		t.Errorf("%+v, %v", stat, err)
	}
	status, err := Host.Status(pid)
	if err != nil || status.Name != stat.Comm || status.UID != uint32(os.Geteuid()) || status.Threads != 1 {
		t.Errorf("%+v, %v", status, err)
	}
	start, err := Host.StartTime(pid)
	if err != nil || !Host.Alive(pid, start) || Host.Alive(pid, start+1) {
		t.Errorf("started at %d, %v", start, err)
	}
	if pids, err := Host.PIDs(); err != nil || !slices.Contains(pids, pid) || !slices.Contains(pids, os.Getpid()) {
		t.Errorf("%d processes without this one and its child, %v", len(pids), err)
	}
	in.Close()
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := Host.StartTime(pid); !errors.Is(err, fs.ErrNotExist) || Host.Alive(pid, start) {
		t.Errorf("a zombie: %v", err)
	}
	cmd.Wait()
	if _, err := Host.Stat(pid); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no process: %v", err)
	}
}

func TestOwnMountsAndCgroups(t *testing.T) {
	mounts, err := Host.Mounts()
	if err != nil || !strings.HasPrefix(mounts[0].Point, "/") {
		t.Errorf("%v, %v", mounts, err)
	}
	own, err := Host.Cgroups(0)
	if err != nil || len(own) == 0 {
		t.Errorf("%v, %v", own, err)
	}
	if _, err := Root(t.TempDir()).Mounts(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("another root: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, file := range []string{"stat", "status", "mountinfo", "cgroup", "smaps_rollup"} {
		text, err := os.ReadFile("/proc/self/" + file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("1 (\\) ) - 1"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if s, err := ParseStat(text); err == nil && !strings.Contains(string(text), "("+s.Comm+")") {
			t.Errorf("name %q is not in the file", s.Comm)
		}
		parseStatus(text)
		for _, m := range ParseMounts(string(text)) {
			if len(m.Options) == 0 {
				t.Errorf("%+v without options", m)
			}
		}
		for _, c := range ParseCgroups(string(text)) {
			if c.V2 && c.Subsystems != "" || strings.Contains(c.Path, "\n") {
				t.Errorf("%+v", c)
			}
		}
	})
}
