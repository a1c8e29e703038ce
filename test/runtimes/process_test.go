package runtimes

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// daemon starts a program that runs until the test ends. Its output is shown
// when the test fails.
func daemon(t testing.TB, env []string, name string, args ...string) *exec.Cmd {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop(cmd)
		if t.Failed() {
			text := out.String()
			t.Logf("%s: %s", name, text[max(0, len(text)-4000):])
		}
	})
	return cmd
}

// stop ends a daemon, by force if it takes too long.
func stop(cmd *exec.Cmd) {
	if cmd.ProcessState != nil {
		return
	}
	_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	// Podman's service waits for the ends of streams of events.
	force := time.AfterFunc(3*time.Second, func() { _ = cmd.Process.Kill() })
	defer force.Stop()
	_ = cmd.Wait() // how it ended does not matter
}

// command runs a command to its end and returns its standard output.
func command(t testing.TB, env []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %v: %v\n%s%s", name, args, err, out.String(), errs.String())
	}
	return strings.TrimSpace(out.String())
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
