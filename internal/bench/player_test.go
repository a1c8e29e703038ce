package bench

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/peregrine-sec/peregrine/internal/bench/benchtest/player"
	"github.com/peregrine-sec/peregrine/internal/bench/target"
	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/internal/generator/action"
)

// tell performs actions of which a player hears through its socket, which has
// one rule only. What happens while it does not listen yet is lost, as with a real one.
// Each run has a thread of its own, as the real generator's workers have.
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
			s, err := Open(t.Context(), Options{Target: falco, Actions: benchSet(t)[2:], Generate: tell(socket), CPUs: tt.limit})
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
			r, err := s.Run(t.Context(), Load{Rate: 300, Duration: 2 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			lost := r.Total.Lost
			if tt.buffered == "true" {
				lost = max(0, lost-10) // what a buffer of 4 KiB still holds
			}
			if r.Total.OK != 600 || lost != 0 || r.Sensor == nil || r.Sensor.Drops != 0 {
				t.Errorf("%+v, alerts %+v, sensor %+v", r.Total, r.Alerts, r.Sensor)
			}
			if err := falco.Stop(t.Context()); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A canary that never comes says what was tried and for how long, and accuses
// nobody.
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
	s.patience = patience{ready: 10 * time.Second, canary: time.Second}
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
