package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func fifo(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func devNull(t *testing.T) *os.File {
	t.Helper()
	f, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// writer opens a pipe as soon as the sensor reads it, and writes nothing.
func writer(t *testing.T, pipe string) {
	t.Helper()
	w, err := os.OpenFile(pipe, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
}

// A start waits for the events that it is to read, until a signal ends it.
func TestSensorEndsWhileStarting(t *testing.T) {
	for name, args := range map[string]func(pipe string) []string{
		"capture":      func(pipe string) []string { return []string{"-e", pipe} },
		"audit events": func(pipe string) []string { return []string{"--nodriver", "-o", "peregrine.k8s_audit.open=" + pipe} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pipe := fifo(t)
			d := startDaemon(t, devNull(t), nil, args(pipe)...)
			writer(t, pipe)
			_ = d.cmd.Process.Signal(syscall.SIGTERM)
			d.end(0)
		})
	}
}

// A start does not wait long for settings that nobody writes: it ends by itself.
func TestSensorStartIsBounded(t *testing.T) {
	for name, args := range map[string]func(pipe string) []string{
		"configuration": func(pipe string) []string { return []string{"-c", pipe} },
		"rules":         func(pipe string) []string { return []string{"-r", pipe} },
		"authority": func(pipe string) []string {
			return []string{"-o", "http_output={enabled: true, url: 'https://127.0.0.1:1/', ca_cert: " + pipe + "}"}
		},
		"certificate": func(pipe string) []string {
			return []string{"-o", "webserver={enabled: true, listen_port: 1, ssl_enabled: true, ssl_certificate: " + pipe + "}"}
		},
		"audit certificate": func(pipe string) []string {
			return []string{"-o", "peregrine.k8s_audit={open: 'https://127.0.0.1:0/k8s-audit', certificate: " + pipe + "}"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pipe := fifo(t)
			d := startDaemon(t, devNull(t), nil, append(args(pipe), "--nodriver")...)
			writer(t, pipe)
			d.end(1)
			if !strings.Contains(d.stderr.String(), "no data from this pipe") {
				t.Errorf("%s", d.stderr)
			}
		})
	}
}

// A sensor that is ended at any moment of its start leaves nothing. On a loaded
// machine too, half of the moments are after it has written its process id.
func TestSensorEndsAtAnyMoment(t *testing.T) {
	for moment := range 12 {
		t.Run(fmt.Sprint(moment), func(t *testing.T) {
			d := startDaemon(t, devNull(t), nil, "--nodriver")
			codes := []int{0, -1} // -1: it had no handler yet
			if moment%2 > 0 {
				d.until("its process id is written", func() bool { _, err := os.Stat(d.pid); return err == nil })
				codes = []int{0}
			}
			time.Sleep(time.Duration(moment) * 15 * time.Millisecond) // the moment
			_ = d.cmd.Process.Signal(syscall.SIGTERM)
			d.end(codes...)
		})
	}
}

// A signal ends a sensor during a reload that waits.
func TestSensorEndsWhileReloading(t *testing.T) {
	pipe, rules := fifo(t), filepath.Join(t.TempDir(), "rules.yaml")
	const rule = "- {rule: R, desc: d, condition: evt.type = open, output: o, priority: INFO}\n"
	if err := os.WriteFile(rules, []byte(rule), 0o600); err != nil {
		t.Fatal(err)
	}
	d := startDaemon(t, devNull(t), nil, "--nodriver", "-r", rules, "-o", "watch_config_files=false")
	d.until("it serves", d.serving)
	if err := os.Rename(pipe, rules); err != nil {
		t.Fatal(err)
	}
	_ = d.cmd.Process.Signal(syscall.SIGHUP)
	writer(t, rules)
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	d.end(0)
}

// A replaced output file does not stop a running sensor: it writes the others,
// and the file again when it is back.
func TestSensorFilesReplaced(t *testing.T) {
	needs.Root(t)
	for name, put := range map[string]func(path string) error{
		"directory":     func(path string) error { return os.Mkdir(path, 0o700) },
		"pipe":          func(path string) error { return unix.Mkfifo(path, 0o600) },
		"full device":   func(path string) error { return os.Symlink("/dev/full", path) },
		"dangling link": func(path string) error { return os.Symlink("/nowhere/at/all", path) },
		"link to self":  func(path string) error { return os.Symlink(path, path) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			events, metrics, other := filepath.Join(dir, "events"), filepath.Join(dir, "metrics"), filepath.Join(dir, "other")
			d := startDaemon(t, devNull(t), nil, "--nodriver", "-s", filepath.Join(dir, "stats"), "--stats-interval", "50", "-o", "metrics.output_file="+metrics,
				"-o", "file_output={enabled: true, filename: "+events+"}", "-o", "program_output={enabled: true, keep_alive: true, program: cat >> "+other+"}")
			lines := func(path string) int {
				text, _ := os.ReadFile(path)
				return bytes.Count(text, []byte("\n"))
			}
			d.until("all is written", func() bool { return lines(events) > 0 && lines(metrics) > 0 && lines(other) > 0 })
			for _, path := range []string{events, metrics} {
				if err := errors.Join(os.Remove(path), put(path)); err != nil {
					t.Fatal(err)
				}
			}
			_ = d.cmd.Process.Signal(syscall.SIGUSR1)
			d.until("the trouble is told", func() bool {
				return strings.Contains(d.stderr.String(), "metrics.output_file is not written") && strings.Contains(d.stderr.String(), "alerts are not delivered")
			})
			before := lines(other)
			d.until("the others go on", func() bool { return lines(other) > before && d.serving() })
			for _, path := range []string{events, metrics} {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
			d.until("all is written again", func() bool { return lines(events) > 0 && lines(metrics) > 0 })
			_ = d.cmd.Process.Signal(syscall.SIGTERM)
			d.end(0)
		})
	}
}

// A stuck command ends at the third signal, if not before; a signal that
// arrives together with the second does not count.
func TestStubbornCommandEnds(t *testing.T) {
	pipe := fifo(t)
	cmd := exec.Command(os.Args[0], "capacity", "analyze", "--stats", pipe)
	cmd.Env = append(os.Environ(), "PEREGRINE_TEST_MAIN=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	writer(t, pipe)
	signals := 0
	for start := time.Now(); time.Since(start) < needs.Patience; signals++ {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
			if code := cmd.ProcessState.ExitCode(); code != ExitInterrupted || signals < 2 {
				t.Errorf("exit code %d after %d signals", code, signals+1)
			}
			return
		case <-time.After(400 * time.Millisecond): // the next signal
		}
	}
	t.Errorf("%d signals do not end it", signals)
}
