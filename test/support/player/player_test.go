package player

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensorstats"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func TestMain(m *testing.M) {
	if os.Getenv(EventsEnv) != "" {
		os.Exit(Main(os.Args[1:]))
	}
	leaks.Main(m)
}

// feed sends an event every 50 ms until the test ends.
func feed(t *testing.T, socket string) {
	t.Helper()
	var conn net.Conn
	needs.Eventually(t, "it listens", func() bool {
		conn, _ = net.Dial("unix", socket)
		return conn != nil
	})
	t.Cleanup(func() { conn.Close() })
	go func() {
		out := json.NewEncoder(conn)
		for out.Encode(Event{Rule: "r", Time: time.Now().UnixNano(), TID: 7}) == nil {
			time.Sleep(50 * time.Millisecond) // the pace of the load
		}
	}()
}

// A start is as it was recorded: open long before the first event, nothing
// seen before that, and metrics only with an event.
func TestStarts(t *testing.T) {
	for _, cpus := range []string{"0.25", "0.5", "1"} {
		t.Run(cpus, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			socket, stats := filepath.Join(dir, "s"), filepath.Join(dir, "metrics")
			cmd := exec.Command(os.Args[0], "-o", "metrics.enabled=true", "-o", "metrics.output_file="+stats, "-o", "append_output[]={extra_fields: [thread.tid]}")
			cmd.Env = append(os.Environ(), EventsEnv+"="+socket, CPUsEnv+"="+cpus)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			feed(t, socket)
			lines := bufio.NewScanner(out)
			if !lines.Scan() {
				t.Fatal("no alert")
			}
			took := time.Since(begin)
			var s Start
			if _, err := fmt.Sscan(cpus, &s.CPUs); err != nil {
				t.Fatal(err)
			}
			if s, err = startOf(s.CPUs); err != nil || took < ms(s.FirstEvent) {
				t.Errorf("first alert after %v (%v), recorded was %d ms", took, err, s.FirstEvent)
			}
			if !strings.Contains(lines.Text(), `"thread.tid":7`) {
				t.Errorf("alert %s", lines.Text())
			}
			file, err := os.Open(stats)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			samples, err := sensorstats.ReadAll(file)
			if err != nil || len(samples) != 1 || samples[0].Cur.Events != eventsPerAlert {
				t.Errorf("samples %+v, %v: want one, of the first event", samples, err)
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			last := ""
			for lines.Scan() {
				last = lines.Text()
			}
			if err := cmd.Wait(); err != nil || !strings.Contains(last, "WARNING") {
				t.Errorf("it ended with %v and %q", err, last)
			}
		})
	}
}

// The engine takes its rate, fills its ring, and drops the rest.
func TestEngine(t *testing.T) {
	for _, tt := range []struct {
		rate, offered float64
		seconds       int
		dropped       bool
	}{
		{5000, 4900, 60, false},
		{5000, 6000, 10, false}, // the ring holds it
		{5000, 6000, 60, true},
	} {
		e := engine{rate: tt.rate}
		now := time.Unix(0, 0)
		for range int(tt.offered) * tt.seconds {
			now = now.Add(time.Duration(float64(time.Second) / tt.offered))
			e.offer(now)
		}
		if (e.drops > 0) != tt.dropped || e.events != uint64(tt.offered)*uint64(tt.seconds)*eventsPerAlert {
			t.Errorf("%+v: %d of %d events dropped", tt, e.drops, e.events)
		}
	}
}

func TestConfig(t *testing.T) {
	t.Setenv(CPUsEnv, "0.5")
	t.Setenv(ReleaseEnv, "0.34.1")
	c, err := parseConfig([]string{"--modern-bpf", "-c", "f.yaml", "-o", "metrics.interval=250ms", "-o", "metrics.output_file=/m", "-s", "/n", "-o", "json_output=true"})
	if err != nil || c.start.CPUs != 0.5 || c.metricsInterval() != 250*time.Millisecond || c.threads() {
		t.Errorf("%+v, %v", c, err)
	}
	if args := strings.Join(sensorArgs(c.args), " "); !strings.Contains(args, "-c f.yaml -o json_output=true") || strings.Contains(args, "metrics") || strings.Contains(args, "/n") {
		t.Errorf("the sensor gets %q", args)
	}
	// Each release has only its own options.
	line := []string{"-p", "tid=%thread.tid", "-U", "-o", "append_output[]={extra_fields: [thread.tid]}", "-o", "grpc.enabled=true", "-o", "grpc_output.enabled=true", "-o", "grpc.bind_address=unix:///g"}
	for release, want := range map[string]string{"0.33.1": "unix:///g", "0.39.0": "unix:///g", "0.43.0": "unix:///g", "0.44.0": ""} {
		t.Setenv(ReleaseEnv, release)
		c, err := parseConfig(line)
		without, err2 := parseConfig(line[3:])
		if err != nil || err2 != nil || c.grpc() != want || !c.threads() || without.threads() != (c.minor >= 40) {
			t.Errorf("%s: %+v, %v, %v", release, c, err, err2)
		}
		if c.buffered || without.buffered != (c.minor < 44) {
			t.Errorf("%s: buffers with -U: %v, without: %v", release, c.buffered, without.buffered)
		}
		if _, err := parseConfig([]string{"-s", "/n"}); (err == nil) != (c.minor <= 35) {
			t.Errorf("%s with -s: %v", release, err)
		}
		if _, err := parseConfig([]string{"-o", "append_output[]={match: {source: syscall}, extra_fields: [thread.tid]}"}); (err == nil) != (c.minor >= 40) {
			t.Errorf("%s with a comma in -o: %v", release, err)
		}
	}
	for release, driver := range map[string]bool{"0.33.1": false, "0.34.0": true, "0.37.1": true, "0.38.0": false, "0.44.1": false} {
		t.Setenv(ReleaseEnv, release)
		c, err := parseConfig(nil)
		_, err2 := parseConfig([]string{"--modern-bpf"})
		if (err != nil) != driver || (err2 == nil) != driver || strings.Contains(c.usage(), "--modern-bpf") != driver {
			t.Errorf("%s: without --modern-bpf %v, with it %v", release, err, err2)
		}
	}
	t.Setenv(ReleaseEnv, "0.44.1")
	for cpus, want := range map[float64]float64{0: 2, 0.1: 0.25, 0.25: 0.25, 0.3: 0.5, 1: 1, 8: 2} {
		if s, err := startOf(cpus); err != nil || s.CPUs != want {
			t.Errorf("%v CPUs plays the start of %v, %v", cpus, s.CPUs, err)
		}
	}
}
