package target

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/version"
)

// script makes a program that answers --version.
func script(t *testing.T, name, answer string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho '"+answer+"'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestIdentify(t *testing.T) {
	falco := script(t, "falco", "Falco version: 0.44.1 (x86_64)")
	ours := script(t, "peregrine", "Peregrine 1.2.3")
	for _, tt := range []struct {
		command []string
		want    string
	}{
		{[]string{falco, "-r", "a.yaml", "--rules=b.yaml"}, "Falco 0.44.1, rules a.yaml b.yaml"},
		{[]string{falco}, "Falco 0.44.1, rules of its configuration"},
		{[]string{ours, "sensor"}, "Peregrine 1.2.3, rules default rules, embedded"},
		{[]string{"/proc/self/exe", "sensor", "-r", "x"}, "Peregrine " + version.Version() + ", rules x"},
		{[]string{"/nowhere/falco", "--rules", "x"}, "falco, rules x"},
		{[]string{"/usr/bin/other"}, "other, rules of its configuration"}, // it is not ours to run
		{nil, "unknown sensor, rules of its configuration"},
	} {
		if diff := cmp.Diff(tt.want, Identify(t.Context(), 0, tt.command).String()); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tt.command, diff)
		}
	}
	if i := Identify(t.Context(), os.Getpid(), nil); i.PID != os.Getpid() || i.Name != filepath.Base(os.Args[0]) {
		t.Errorf("this process is %v", i)
	}
}

func TestCheckSensor(t *testing.T) {
	if err := CheckSensor(1 << 30); err == nil || !strings.Contains(err.Error(), "no process") {
		t.Errorf("a process that is not there: %v", err)
	}
	stats, err := os.Create(filepath.Join(t.TempDir(), "stats"))
	if err != nil {
		t.Fatal(err)
	}
	defer stats.Close()
	if err := CheckSensor(os.Getpid(), "/nowhere"); err == nil || !strings.Contains(err.Error(), "is not a sensor") {
		t.Errorf("a process without anything of a sensor: %v", err)
	}
	if err := CheckSensor(os.Getpid(), "/nowhere", stats.Name()); err != nil {
		t.Errorf("a process that writes the statistics: %v", err)
	}
	threads, err := filepath.Glob("/proc/self/task/*")
	if err != nil || len(threads) < 2 {
		t.Fatalf("threads %v, %v", threads, err)
	}
	for _, path := range threads {
		tid, err := strconv.Atoi(filepath.Base(path))
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("%d is a thread of process %d", tid, os.Getpid())
		err = CheckSensor(tid, stats.Name())
		if _, gone := os.Stat(path); gone != nil || tid == os.Getpid() {
			continue // the runtime has ended the thread, or it is the process
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a thread: %v, want %q", err, want)
		}
	}
}

// A sensor is recognised by the name of its running program: programs around
// Falco, and this one when it is no sensor, are not.
func TestCheckSensorByName(t *testing.T) {
	sleep, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, want string }{
		{"falco", ""},
		{"falco-modern", ""},
		{"falcosidekick", "is not a sensor"},
		{"falcoctl", "is not a sensor"},
		{"peregrine", "is not a sensor"}, // without "sensor" among its arguments
		{"nginx", "is not a sensor"},
	} {
		path := filepath.Join(t.TempDir(), tt.name)
		if err := os.WriteFile(path, sleep, 0o755); err != nil {
			t.Fatal(err)
		}
		running := exec.Command(path, "60")
		if err := running.Start(); err != nil {
			t.Fatal(err)
		}
		pid := running.Process.Pid
		check(t, tt.name, CheckSensor(pid), tt.want)
		if err := running.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		// It stays a zombie until it is waited for (waitid(2), WNOWAIT).
		if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
			t.Fatal(err)
		}
		check(t, tt.name+", killed", CheckSensor(pid), "has ended")
		_ = running.Wait() // it was killed
		check(t, tt.name+", gone", CheckSensor(pid), "no process")
	}
	if !sensorName("peregrine", []string{"/usr/bin/peregrine", "sensor", "-c", "x"}) {
		t.Error("Peregrine's sensor is not recognised")
	}
}

// Only a program that no other user can have written is run for its version.
func TestMayRun(t *testing.T) {
	sleep, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "falco")
	if err := os.WriteFile(path, sleep, 0o755); err != nil {
		t.Fatal(err)
	}
	running := exec.Command(path, "60")
	if err := running.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { running.Process.Kill(); running.Wait() }()
	for mode, want := range map[os.FileMode]bool{0o755: true, 0o775: false, 0o757: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if got := mayRun(running.Process.Pid); got != want {
			t.Errorf("mode %v: %v", mode, got)
		}
	}
	if mayRun(1 << 30) {
		t.Error("a process that is not there")
	}
	if os.Geteuid() != 0 {
		return // only root can give a file away
	}
	if err := errors.Join(os.Chmod(path, 0o755), os.Chown(path, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	if mayRun(running.Process.Pid) {
		t.Error("another user's program")
	}
}

// Which flags a Falco has is asked of itself.
func TestFalcoHelp(t *testing.T) {
	for script, want := range map[string]string{"echo '  -U, --unbuffered'": "  -U, --unbuffered\n", "echo broken; exit 1": ""} {
		program := filepath.Join(t.TempDir(), "falco")
		if err := os.WriteFile(program, []byte("#!/bin/sh\n[ \"$*\" = --help ] || exit 2\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		if got := FalcoHelp(t.Context(), program); got != want {
			t.Errorf("%s: %q", script, got)
		}
	}
}

// A program that does not answer is waited for no longer than the context says,
// nor is its child, which keeps the output open.
func TestFalcoSilent(t *testing.T) {
	dir := t.TempDir()
	program, child := filepath.Join(dir, "falco"), filepath.Join(dir, "child")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nsleep 3600 &\necho $! > "+child+"\nwait\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		text, _ := os.ReadFile(child) // none if it has not started
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if text := FalcoHelp(ctx, program); text != "" {
		t.Errorf("%q", text)
	}
}

// A program is asked for its version as every Falco answers.
func TestFalcoRelease(t *testing.T) {
	for script, want := range map[string]string{
		"echo 'Falco version: 0.44.1 (x86_64)'":                                                             "0.44.1",
		"echo 'Mon Jan  1 00:00:00 2026: hello'; echo 'Falco version: 0.36.2'":                              "0.36.2",
		`echo '{"default_driver_version":"9.0.0+driver","falco_version":"0.43.1","libs_version":"0.25.0"}'`: "0.43.1",
		"echo 'Sat Nov 28 20:00:00 2026: Falco version: 0.45.0 (x86_64)'":                                   "0.45.0",
		"echo Peregrine 1.0.0":  "",
		"exit 1":                "",
		"echo Falco":            "",
		"echo 'Falco version:'": "",
	} {
		program := filepath.Join(t.TempDir(), "falco")
		if err := os.WriteFile(program, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		if got := FalcoRelease(t.Context(), program); got != want {
			t.Errorf("%s: %q, want %q", script, got, want)
		}
	}
}
