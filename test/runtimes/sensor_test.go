package runtimes

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// alertLine is an alert as the sensor writes it.
type alertLine struct {
	Rule   string         `json:"rule"`
	Fields map[string]any `json:"output_fields"`
}

func (a alertLine) text(field string) string {
	if v, ok := a.Fields[field]; ok && v != nil {
		return fmt.Sprint(v)
	}
	return "<NA>"
}

// sensor is a running peregrine sensor.
type sensor struct {
	cmd    *exec.Cmd
	dir    string
	mu     sync.Mutex
	out    bytes.Buffer
	log    bytes.Buffer
	alerts []alertLine
}

// Write takes alerts as they come.
func (s *sensor) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out.Write(p)
	for {
		line, err := s.out.ReadBytes('\n')
		if err != nil {
			s.out.Write(line)
			return len(p), nil
		}
		var a alertLine
		if json.Unmarshal(line, &a) == nil {
			s.alerts = append(s.alerts, a)
		}
	}
}

// logWriter keeps the sensor's messages.
type logWriter struct{ s *sensor }

func (w logWriter) Write(p []byte) (int, error) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	return w.s.log.Write(p)
}

func (s *sensor) logged(text string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.log.String(), text)
}

// configuration is a sensor's that asks only the given sockets: engine to socket.
// It is as patient with them as a busy machine needs.
func configuration(dir string, sockets map[string]string) string {
	var engines strings.Builder
	for _, name := range []string{"docker", "podman", "cri", "containerd"} {
		socket, enabled := sockets[name]
		fmt.Fprintf(&engines, "      %s: {enabled: %v, sockets: [%q]}\n", name, enabled, socket)
	}
	return `json_output: true
priority: debug
webserver: {enabled: false}
peregrine: {status_socket: ` + dir + `/status.sock, metadata_wait: 30000}
plugins:
- name: container
  init_config:
    engine_timeout: 60
    engines:
` + engines.String()
}

// startSensor starts a sensor with rules, which asks only the given sockets:
// engine to socket.
func startSensor(t testing.TB, rules string, sockets map[string]string, more ...string) *sensor {
	t.Helper()
	s := &sensor{dir: t.TempDir()}
	place(t, filepath.Join(s.dir, "peregrine.yaml"), configuration(s.dir, sockets))
	args := append([]string{"sensor", "-c", filepath.Join(s.dir, "peregrine.yaml")}, more...)
	if rules != "" {
		place(t, filepath.Join(s.dir, "rules.yaml"), rules)
		args = append(args, "-r", filepath.Join(s.dir, "rules.yaml"))
	}
	s.cmd = exec.Command(built.binary, args...)
	s.cmd.Stdout, s.cmd.Stderr = s, logWriter{s}
	s.cmd.Env = append(os.Environ(), "HOST_ROOT=")
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop(s.cmd)
		if t.Failed() {
			t.Logf("sensor: %s", s.log.String())
		}
	})
	needs.Eventually(t, "the sensor's start", func() bool { return s.logged("events are being seen") > 0 })
	return s
}

// restart stops a runtime that the sensor asks, starts it when the sensor has
// noticed, and waits until it is asked again. It returns how often the log has
// said meanwhile that the runtime is away. A slow answer before or after may be
// taken for a loss too.
func (s *sensor) restart(t testing.TB, e *engine) (losses int) {
	t.Helper()
	const connected, lost = "container runtime connected", "container runtime does not answer"
	more := func(what, text string, than int) {
		t.Helper()
		needs.Eventually(t, what, func() bool { return s.logged(text) > than })
	}
	more("the connection", connected, 0)
	before := s.logged(lost)
	e.stop()
	more("the loss", lost, before)
	away := s.logged(connected)
	e.start()
	more("the second connection", connected, away)
	return s.logged(lost) - before
}

// told is the number of containers reported to the sensor.
func (s *sensor) told(t testing.TB) (n uint64) {
	t.Helper()
	var status metrics.Snapshot
	text := command(t, nil, built.binary, "sensor", "status", "--json", "--interval", "1ms", "--socket", s.dir+"/status.sock")
	if err := json.Unmarshal([]byte(text), &status); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	for _, runtime := range status.Metadata.Runtimes {
		n += runtime.Told
	}
	return n
}

// find returns the alerts that pass.
func (s *sensor) find(pass func(alertLine) bool) []alertLine {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []alertLine
	for _, a := range s.alerts {
		if pass(a) {
			found = append(found, a)
		}
	}
	return found
}

// await waits for an alert that passes.
func (s *sensor) await(t testing.TB, what string, pass func(alertLine) bool) alertLine {
	t.Helper()
	var found []alertLine
	needs.Eventually(t, what, func() bool { found = s.find(pass); return len(found) > 0 })
	return found[0]
}

// compare checks fields of an alert; "+" is anything but empty or missing.
func compare(t testing.TB, a alertLine, want map[string]string) {
	t.Helper()
	for field, value := range want {
		got := a.text(field)
		if value == "+" && (got == "" || got == "<NA>") || value != "+" && got != value {
			t.Errorf("%s: %s is %q, want %q", a.Rule, field, got, value)
		}
	}
}
