package probe

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// The snapshot of a process agrees with /proc.
func TestSnapshot(t *testing.T) {
	needBPF(t)
	p, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.Command("/bin/sleep", "600")
	cmd.Dir = dir
	cmd.Env = []string{"A=b", "C=d e"}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	// Start waits for an execve to close its pipe, which the kernel does in
	// begin_new_exec (fs/exec.c), before the arguments are on the new stack.
	needs.Eventually(t, "sleep has its arguments", func() bool {
		argv, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", cmd.Process.Pid))
		return err != nil || len(argv) > 0
	})
	tasks := map[int]recorded{}
	if err := p.Snapshot(func(b []byte) {
		e := record(t, b)
		if _, ok := tasks[int(e.Header().PID)]; ok {
			t.Errorf("process %d comes twice", e.Header().PID)
		}
		tasks[int(e.Header().PID)] = e
	}); err != nil {
		t.Fatal(err)
	}
	for _, pid := range []int{os.Getpid(), os.Getppid(), cmd.Process.Pid} {
		e, ok := tasks[pid]
		if !ok {
			t.Errorf("process %d is missing", pid)
			continue
		}
		compareWithProc(t, pid, &e)
	}
	e := tasks[cmd.Process.Pid]
	f := e.fields()
	for name, want := range map[string]string{
		"ppid": num(os.Getpid()), "argv": quote("/bin/sleep\x00600\x00"), "env": quote("A=b\x00C=d e\x00"), "cwd": quote(dir), "comm": `"sleep"`,
		"root": `"/"`, "euid": "0", "egid": "0", "vpid": num(cmd.Process.Pid), "vtgid": num(cmd.Process.Pid), "nthreads": "1", "flags": "1",
		"pgid": num(unix.Getpgrp()), "loginuid": num(loginUID(t)), "mntns": num(namespace(t, "mnt")), "pidns": num(namespace(t, "pid")),
	} {
		if f[name] != want {
			t.Errorf("%s = %s, want %s", name, f[name], want)
		}
	}
	self := tasks[os.Getpid()]
	if start := self.fields()["start"]; f["pstart"] != start {
		t.Errorf("pstart %s, the parent started at %s", f["pstart"], start)
	}
	if _, ok := tasks[2]; !ok {
		t.Error("kthreadd is missing") // kernel threads count too
	}
}

// A process's memory is in KiB, whatever its kernel's pages are.
func TestSnapshotMemory(t *testing.T) {
	needBPF(t)
	p, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/cat")
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
	defer cmd.Wait()
	defer in.Close()
	// After its answer, it maps nothing more.
	if _, err := in.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	got := ""
	if err := p.Snapshot(func(b []byte) {
		if e := record(t, b); e.Header().PID == uint32(cmd.Process.Pid) {
			got = e.fields()["vm_size"]
		}
	}); err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if m := regexp.MustCompile(`VmSize:\s+(\d+) kB`).FindSubmatch(status); m == nil || got != string(m[1]) {
		t.Errorf("vm_size = %s, /proc says %s", got, m)
	}
}

func compareWithProc(t *testing.T, pid int, e *recorded) {
	t.Helper()
	f := e.fields()
	read := func(name string) string {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > 4096 {
			b = append(b[:4095], 0)
		}
		return string(b)
	}
	link := func(name string) string {
		s, err := os.Readlink(fmt.Sprintf("/proc/%d/%s", pid, name))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSuffix(s, " (deleted)")
	}
	for name, want := range map[string]string{
		"argv": read("cmdline"), "env": read("environ"), "comm": strings.TrimSuffix(read("comm"), "\n"), "exepath": link("exe"), "cwd": link("cwd"),
	} {
		if f[name] != quote(want) {
			t.Errorf("%s of %d = %s, /proc says %q", name, pid, f[name], want)
		}
	}
	if d := int64(e.Header().Start) - procStart(t, pid); d < 0 || d > 10e6 {
		t.Errorf("start of %d = %d", pid, e.Header().Start)
	}
	if k := e.Kind(); k != event.KindTask {
		t.Errorf("kind %s", k)
	}
}
