package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// patience bounds every wait for a condition.
const patience = time.Minute

// startPatience is longer, as an emulated verifier takes minutes.
const startPatience = 10 * patience

// sensor is a running peregrine sensor.
type sensor struct {
	t       *testing.T
	cmd     *exec.Cmd
	alerts  string // the file that it writes alerts to, as JSON lines
	stderr  *watched
	exited  chan struct{}
	stopped bool
}

// startSensor runs the sensor until the test ends and returns when it sees
// events. args come last, and so win.
func startSensor(t *testing.T, args ...string) *sensor {
	t.Helper()
	requireBPF(t)
	dir := t.TempDir()
	// Without this file, /etc/falco/falco.yaml of the host would be read.
	write(t, filepath.Join(dir, "empty.yaml"), "watch_config_files: false\n")
	s := &sensor{t: t, alerts: filepath.Join(dir, "alerts.json"), stderr: &watched{}, exited: make(chan struct{})}
	out, err := os.OpenFile(s.alerts, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	s.cmd = exec.Command(binary, append([]string{"sensor", "-U", "-o", "json_output=true", "-o", "stdout_output.enabled=true",
		"-o", "peregrine.status_socket=", "-c", filepath.Join(dir, "empty.yaml")}, args...)...)
	s.cmd.Stdout, s.cmd.Stderr = out, s.stderr
	ready := s.stderr.saw("ready:")
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = s.cmd.Wait() // the tests look at ProcessState
		close(s.exited)
	}()
	t.Cleanup(func() { s.stop(syscall.SIGTERM) })
	select {
	case <-ready:
	case <-s.exited:
		s.stopped = true
		t.Fatalf("the sensor ended: %v\n%s", s.cmd.ProcessState, s.stderr)
	case <-time.After(startPatience):
		t.Fatalf("the sensor is not ready after %v\n%s", startPatience, s.stderr)
	}
	return s
}

// stop sends the signal and waits for the end. It may be called again.
func (s *sensor) stop(signal os.Signal) *os.ProcessState {
	s.t.Helper()
	if !s.stopped {
		s.stopped = true
		_ = s.cmd.Process.Signal(signal)
		select {
		case <-s.exited:
		case <-time.After(patience):
			_ = s.cmd.Process.Kill()
			s.t.Errorf("the sensor did not end within %v of signal %v\n%s", patience, signal, s.stderr)
			<-s.exited
		}
	}
	return s.cmd.ProcessState
}

// alert is a JSON alert.
type alert struct {
	Rule     string         `json:"rule"`
	Output   string         `json:"output"`
	Priority string         `json:"priority"`
	Time     time.Time      `json:"time"`
	Fields   map[string]any `json:"output_fields"`
}

// eachAlert calls f for the alerts so far, from an offset in the file on, and
// returns the offset of the first that is not complete yet.
func (s *sensor) eachAlert(from int64, f func(alert)) int64 {
	s.t.Helper()
	file, err := os.Open(s.alerts)
	if err != nil {
		s.t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Seek(from, io.SeekStart); err != nil {
		s.t.Fatal(err)
	}
	lines := bufio.NewReader(file)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return from
		}
		from += int64(len(line))
		var a alert
		if json.Unmarshal(line, &a) == nil && a.Rule != "" { // the summary at the end is no JSON
			f(a)
		}
	}
}

// again is how long an alert may take before its cause is repeated: other work
// on this machine may make the sensor drop events.
const again = 5 * time.Second

// provoke acts until there is an alert for which ok is true, and returns it.
func (s *sensor) provoke(what string, act func(), ok func(alert) bool) alert {
	s.t.Helper()
	var found *alert
	var last time.Time
	offset := int64(0)
	needs.Eventually(s.t, "alert "+what, func() bool {
		if time.Since(last) > again {
			act()
			last = time.Now()
		}
		offset = s.eachAlert(offset, func(a alert) {
			if found == nil && ok(a) {
				found = &a
			}
		})
		return found != nil
	})
	return *found
}

// peregrine runs the binary to its end.
func peregrine(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.Command(binary, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// watched keeps the text written to it and reports when it contains a word.
type watched struct {
	mu    sync.Mutex
	text  bytes.Buffer
	word  string
	found chan struct{}
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	w.look()
	return len(p), nil
}

func (w *watched) look() {
	if w.found != nil && strings.Contains(w.text.String(), w.word) {
		close(w.found)
		w.found = nil
	}
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// saw returns a channel that is closed once word has been written.
func (w *watched) saw(word string) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := make(chan struct{})
	w.word, w.found = word, c
	w.look()
	return c
}
