package cli

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// daemon is a sensor in a process of its own, without a driver. It sends its
// counters as alerts, ten times a second.
type daemon struct {
	t      *testing.T
	cmd    *exec.Cmd
	pid    string // the pid file
	socket string
	stderr *lockedBuffer
	ended  chan error
}

// startDaemon starts one and returns when it is ready. Standard error is kept
// unless one is given.
func startDaemon(t *testing.T, stdout, stderr *os.File, args ...string) *daemon {
	t.Helper()
	dir := t.TempDir()
	d := &daemon{
		t: t, pid: filepath.Join(dir, "pid"), socket: filepath.Join(dir, "socket"), stderr: &lockedBuffer{}, ended: make(chan error, 1),
	}
	args = append([]string{
		"sensor", "--pidfile", d.pid, "-c", "/dev/null", "-o", "peregrine.status_socket=" + d.socket, "-o", "stdout_output.enabled=true",
		"-o", "metrics.enabled=true", "-o", "metrics.interval=100ms",
	}, args...)
	d.cmd = exec.Command(os.Args[0], args...)
	d.cmd.Env = append(os.Environ(), "PEREGRINE_TEST_MAIN=1")
	d.cmd.Stdout, d.cmd.Stderr = stdout, d.stderr
	if stderr != nil {
		d.cmd.Stderr = stderr
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.cmd.Process.Kill() })
	go func() { d.ended <- d.cmd.Wait() }()
	return d
}

// until waits for a condition of the sensor.
func (d *daemon) until(what string, ok func() bool) {
	d.t.Helper()
	d.t.Cleanup(func() {
		if d.t.Failed() {
			d.t.Log(d.stderr)
		}
	})
	needs.Eventually(d.t, what, ok)
}

func (d *daemon) serving() bool {
	_, err := os.Stat(d.socket)
	return err == nil
}

// alerting is false also as long as the socket does not answer yet.
func (d *daemon) alerting() bool {
	text, err := askStatus(d.t, d.socket)
	return err == nil && !strings.Contains(text, `"internal": 0,`)
}

// end waits for the end, and wants one of the exit codes and no file left.
func (d *daemon) end(codes ...int) {
	d.t.Helper()
	select {
	case <-d.ended:
		if !slices.Contains(codes, d.cmd.ProcessState.ExitCode()) {
			d.t.Errorf("%v, want exit code %v\n%s", d.cmd.ProcessState, codes, d.stderr)
		}
	case <-time.After(needs.Patience):
		d.t.Fatalf("never ends\n%s", d.stderr)
	}
	for _, path := range []string{d.pid, d.socket} {
		if _, err := os.Lstat(path); err == nil {
			d.t.Errorf("%s is left", filepath.Base(path))
		}
	}
}

// fullPipe is a pipe without a reader.
func fullPipe(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	fd := int(w.Fd())
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = unix.Write(fd, bytes.Repeat([]byte("x"), 4096))
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
	return w
}

func closedPipe(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	r.Close()
	return w
}

// Whether or not its standard output and error are read, the sensor ends on a
// signal, reports undelivered alerts, and leaves nothing behind.
func TestSensorEndsBlocked(t *testing.T) {
	d := startDaemon(t, fullPipe(t), nil, "--nodriver", "-o", "output_timeout=300")
	d.until("the stall is told", func() bool { return strings.Contains(d.stderr.String(), "accepts no alerts") })
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	d.end(1)
	if !strings.Contains(d.stderr.String(), "alerts not delivered") {
		t.Errorf("the end does not tell of the loss:\n%s", d.stderr)
	}

	d = startDaemon(t, fullPipe(t), fullPipe(t), "--nodriver", "-o", "output_timeout=300")
	d.until("an alert waits", d.alerting)
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	d.end(1)
}

// The second signal does not wait for receivers.
func TestSensorEndsAtOnce(t *testing.T) {
	d := startDaemon(t, fullPipe(t), nil, "--nodriver", "-o", "output_timeout=3600000", "-o", "metrics.interval=100ms")
	d.until("an alert waits", d.alerting)
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	d.until("it stops", func() bool { return !d.serving() })
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	d.end(1)
}

// A closed standard output ends a sensor that has no other output, and no
// other one.
func TestSensorEndsClosed(t *testing.T) {
	d := startDaemon(t, closedPipe(t), nil, "--nodriver")
	d.end(1)
	if !strings.Contains(d.stderr.String(), "standard output is closed") {
		t.Errorf("%s", d.stderr)
	}

	events := filepath.Join(t.TempDir(), "events")
	d = startDaemon(t, closedPipe(t), closedPipe(t), "--nodriver", "-o", "file_output={enabled: true, filename: "+events+"}")
	d.until("alerts go on", func() bool {
		text, _ := os.ReadFile(events)
		return bytes.Count(text, []byte("\n")) > 15 // longer than the sensor looks for receivers
	})
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	d.end(0)
}

// A full disk under the statistics file and under metrics.output_file is logged
// once, and ends nothing.
func TestSensorFullDisk(t *testing.T) {
	needs.Root(t)
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	d := startDaemon(t, null, nil, "-s", "/dev/full", "--stats-interval", "50", "-o", "metrics.output_file=/dev/full")
	d.until("the errors are told", func() bool { return strings.Count(d.stderr.String(), "is not written") == 2 })
	d.until("it serves", d.serving)
	first := strings.Count(status(t, d.socket), `"stats_file_errors"`)
	if first != 1 {
		t.Errorf("the status does not count the errors")
	}
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	d.end(0)
	if n := strings.Count(d.stderr.String(), "is not written"); n != 2 {
		t.Errorf("told %d times\n%s", n, d.stderr)
	}
}

func status(t *testing.T, socket string) string {
	t.Helper()
	text, err := askStatus(t, socket)
	if err != nil {
		t.Error(err)
	}
	return text
}

func askStatus(t *testing.T, socket string) (string, error) {
	var out, errs bytes.Buffer
	env := Env{
		Args: []string{"sensor", "status", "--json", "--socket", socket}, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs,
		Getenv: os.Getenv, Context: t.Context(),
	}
	if code := Main(env); code != ExitOK {
		return "", fmt.Errorf("status: exit code %d: %s", code, &errs)
	}
	return out.String(), nil
}
