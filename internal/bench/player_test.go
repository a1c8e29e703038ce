package bench

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/peregrine-sec/peregrine/internal/bench/intake"
	"github.com/peregrine-sec/peregrine/internal/bench/target"
	"github.com/peregrine-sec/peregrine/internal/endpoint"
	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/sensorstats"
	"github.com/peregrine-sec/peregrine/test/support/needs"
	"github.com/peregrine-sec/peregrine/test/support/player"
)

// tell performs actions and sends them to a player's socket, which has one rule
// only. Actions before it listens are lost, as with a real one. Each run has
// its own thread, like the real generator's workers.
func tell(socket string) Generate {
	var runs atomic.Int32
	return func(_ context.Context, o generator.Options) (*generator.Result, error) {
		tid := 1000 + runs.Add(1)
		r := &generator.Result{Start: time.Now(), TargetRate: o.Rate, Lateness: hdrhistogram.New(1, 1e9, 2)}
		for _, c := range o.Actions {
			r.Actions = append(r.Actions, generator.ActionResult{Name: c.Name, Errnos: map[syscall.Errno]uint64{}})
		}
		conn, _ := net.Dial("unix", socket)
		if conn != nil {
			defer conn.Close()
		}
		for n := range int(max(o.Count, uint64(o.Rate*o.Duration.Seconds()))) {
			if o.Rate > 0 {
				time.Sleep(time.Until(r.Start.Add(time.Duration(float64(n) / o.Rate * float64(time.Second))))) // the schedule
			}
			at := time.Now().UnixNano()
			if known, _ := action.Lookup(o.Actions[0].Name); conn != nil && known.Rule == benchRule {
				_ = json.NewEncoder(conn).Encode(player.Event{Rule: benchRule, Time: at + 10_000, TID: tid})
			}
			r.Instances = append(r.Instances, generator.Instance{TID: tid, Planned: at, Start: at, End: at + 20_000})
			r.Offered++
			r.Completed++
		}
		r.End = time.Now()
		return r, nil
	}
}

// A recorded Falco, started under each limit: it says that it is open, is blind
// for seconds, is silent without events. Every preflight passes, and a round
// after it is clean.
func TestRecordedFalco(t *testing.T) {
	for _, tt := range []struct {
		name, cpus string
		limit      float64
		buffered   string
	}{
		{"0.25 CPU", "0.25", 0.25, "false"},
		{"0.5 CPU", "0.5", 0.5, "false"},
		{"1 CPU", "1", 1, "false"},
		{"buffered", "2", 0, "true"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			socket, stats := filepath.Join(dir, "s"), filepath.Join(dir, "metrics")
			falco := target.NewProcess(target.Config{
				Command: []string{os.Args[0], "-o", "metrics.enabled=true", "-o", "metrics.output_file=" + stats, "-o", "buffered_outputs=" + tt.buffered},
				Env:     []string{player.EventsEnv + "=" + socket, player.CPUsEnv + "=" + tt.cpus},
				Ready:   "Opening 'syscall' source", StatsFile: stats,
			})
			if err := falco.Start(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			kept := 0
			if tt.buffered == "true" {
				kept = 10 // alerts left in a buffer of 4 KiB
			}
			cleanRound(t, Options{Target: falco, Actions: benchSet(t)[2:], Generate: tell(socket), CPUs: tt.limit}, kept)
		})
	}
}

// cleanRound has a sensor pass the preflight and take a round, of whose alerts
// it may keep some.
func cleanRound(t *testing.T, o Options, kept int) {
	t.Helper()
	o.Patience = needs.Patience
	if kept == 0 {
		o.Drain = needs.Patience // it ends with the last alert
	}
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Preflight(t.Context(), 200*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if failed := p.Failed(); len(failed) > 0 || p.Offset != 0 {
		t.Errorf("preflight %v, offset %d", failed, p.Offset)
	}
	if kept > 0 && find(p, "delay "+o.Actions[0].Name).Status != CheckWarn {
		t.Errorf("alerts that are held back are no warning: %+v", p.Checks)
	}
	r, err := s.Run(t.Context(), Load{Rate: 300, Duration: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if r.Total.OK != 600 || r.Total.Lost > kept || r.Sensor == nil || r.Sensor.Drops != 0 {
		t.Errorf("%+v, alerts %+v, sensor %+v", r.Total, r.Alerts, r.Sensor)
	}
	if err := o.Target.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// A recorded Falco that is already running, reached by each kind of output:
// which of its alerts name the thread, and which do not.
func TestRecordedFalcoByEachRoad(t *testing.T) {
	const named = "append_output[]={match: {source: syscall}, extra_fields: [proc.pid, thread.tid]}"
	for _, tt := range []struct {
		name, release, alerts, stats string
		flags                        []string
	}{
		{"a chart: HTTP and Prometheus", "0.44.1", "http", "prometheus", nil},
		{"gRPC until 0.43", "0.43.0", "grpc", "metrics", []string{"-o", named}},
		{"-s and -p of 0.34", "0.34.1", "grpc", "-s", []string{"--modern-bpf", "-p", "pid=%proc.pid tid=%thread.tid"}},
		{"a package to come: files", "0.45.0", "file", "metrics", []string{"-o", named}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			socket := filepath.Join(dir, "s")
			alerts, flags := road(t, dir, tt.alerts)
			stats, more := statistics(t, dir, tt.stats)
			cmd := exec.Command(os.Args[0], slices.Concat(tt.flags, flags, more)...)
			cmd.Env = append(os.Environ(), player.EventsEnv+"="+socket, player.CPUsEnv+"=1", player.ReleaseEnv+"="+tt.release)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
			source, err := alerts()
			if err != nil {
				t.Fatal(err)
			}
			falco := target.NewRunning(cmd.Process.Pid, source, stats)
			cleanRound(t, Options{Target: falco, Actions: benchSet(t)[2:], Generate: tell(socket), CPUs: 1}, 0)
		})
	}
}

// road is a way for alerts, and the flags by which a Falco takes it. The sensor
// has to be started before it is opened.
func road(t *testing.T, dir, kind string) (open func() (intake.Source, error), flags []string) {
	t.Helper()
	switch kind {
	case "http":
		server, err := intake.NewHTTP(endpoint.Server{Address: "127.0.0.1:0"}, false)
		if err != nil {
			t.Fatal(err)
		}
		return func() (intake.Source, error) { return server, nil },
			[]string{"-o", "stdout_output.enabled=false", "-o", "http_output.enabled=true", "-o", "http_output.url=http://" + server.Addr().String()}
	case "grpc":
		path := filepath.Join(dir, "g")
		return func() (intake.Source, error) {
				return intake.NewGRPC(t.Context(), endpoint.Endpoint{Kind: endpoint.GRPC, Path: path}, intake.Options{PollingInterval: 10 * time.Millisecond})
			},
			[]string{"-o", "stdout_output.enabled=false", "-o", "grpc.enabled=true", "-o", "grpc_output.enabled=true", "-o", "grpc.bind_address=unix://" + path}
	}
	path := filepath.Join(dir, "alerts.json")
	return func() (intake.Source, error) { return intake.NewFile(path, false) },
		[]string{"-o", "stdout_output.enabled=false", "-o", "file_output.enabled=true", "-o", "file_output.filename=" + path}
}

// statistics is a way for them, and the flags by which a Falco takes it.
func statistics(t *testing.T, dir, kind string) (sensorstats.Reader, []string) {
	t.Helper()
	if kind == "prometheus" {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := listener.Addr().String()
		_, port, _ := net.SplitHostPort(address)
		listener.Close()
		return sensorstats.NewPrometheus("http://"+address+"/metrics", 250*time.Millisecond, nil),
			[]string{"-o", "metrics.enabled=true", "-o", "webserver.enabled=true", "-o", "webserver.prometheus_metrics_enabled=true", "-o", "webserver.listen_port=" + port}
	}
	path := filepath.Join(dir, "stats.json")
	reader, err := sensorstats.OpenFile(path, true)
	if err != nil {
		t.Fatal(err)
	}
	if kind == "-s" {
		return reader, []string{"-s", path, "--stats-interval", "1000"}
	}
	return reader, []string{"-o", "metrics.enabled=true", "-o", "metrics.output_file=" + path}
}

// Text alerts, Falco's default, are reported with the setting to change.
func TestRecordedFalcoThatWritesText(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	falco := target.NewProcess(target.Config{Command: []string{os.Args[0], "-o", "json_output=false"},
		Env: []string{player.EventsEnv + "=" + socket, player.CPUsEnv + "=1"}, Ready: "Opening 'syscall' source"})
	if err := falco.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), Options{Target: falco, Actions: benchSet(t)[2:], Generate: tell(socket)})
	if err != nil {
		t.Fatal(err)
	}
	needs.Eventually(t, "it sees events", func() bool { _, err := os.Stat(socket); return err == nil })
	s.patience = patience{ready: 4 * time.Second, canary: time.Second}
	p, err := s.Preflight(t.Context(), time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if c := find(p, "canary "+benchSet(t)[2].Name); c.Status != CheckFail || !strings.Contains(c.Text, "json_output: true") {
		t.Errorf("%+v", c)
	}
	if err := errors.Join(falco.Stop(t.Context()), s.Close()); err != nil {
		t.Error(err)
	}
}

// A missing canary reports the attempts and their time, and blames nobody.
func TestRecordedFalcoWithoutTheRule(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	falco := target.NewProcess(target.Config{Command: []string{os.Args[0]},
		Env: []string{player.EventsEnv + "=" + socket, player.CPUsEnv + "=1"}, Ready: "Opening 'syscall' source"})
	if err := falco.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	actions := benchSet(t) // the player alerts by the third one's rule alone
	s, err := Open(t.Context(), Options{Target: falco, Actions: actions[1:], Generate: tell(socket)})
	if err != nil {
		t.Fatal(err)
	}
	s.patience = patience{ready: needs.Patience, canary: time.Second}
	p, err := s.Preflight(t.Context(), time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if c := find(p, "canary "+actions[2].Name); c.Status != CheckOK {
		t.Errorf("%+v", c)
	}
	if c := find(p, "canary "+actions[1].Name); c.Status != CheckFail || !strings.Contains(c.Text, "times in") || !strings.Contains(c.Text, "?") {
		t.Errorf("%+v", c)
	}
	if err := errors.Join(falco.Stop(t.Context()), s.Close()); err != nil {
		t.Error(err)
	}
}
