package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/peregrine-sec/peregrine/internal/bench/intake"
	"github.com/peregrine-sec/peregrine/internal/bench/target"
	"github.com/peregrine-sec/peregrine/internal/endpoint"
	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/test/support/needs"
	"github.com/peregrine-sec/peregrine/test/support/player"
)

// host is a host with a sensor that loses nothing: every action, and every one
// of a neighbour's, raises an alert, which goes out by one road.
type host struct {
	threads, commands bool // fields that the alerts have
	mu                sync.Mutex
	send              func(line []byte)
	tid               int32
}

func (h *host) alert(rule string, at int64, tid int32, command string) {
	fields := map[string]any{"evt.time": at}
	if h.threads {
		fields["thread.tid"] = tid
	}
	if h.commands {
		fields["proc.cmdline"] = command
	}
	line, err := json.Marshal(map[string]any{"rule": rule, "source": "syscall", "output_fields": fields})
	if err != nil {
		panic(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.send(append(line, '\n'))
}

// neighbour fires the rule ten times a second until the test ends.
func (h *host) neighbour(t *testing.T, rule string) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-tick.C:
				h.alert(rule, now.UnixNano(), 4242, "cat /etc/shadow")
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// generate performs actions of a tenth of a millisecond.
func (h *host) generate(_ context.Context, o generator.Options) (*generator.Result, error) {
	h.tid++
	r := &generator.Result{Start: time.Now(), TargetRate: o.Rate, Run: fmt.Sprintf("run%d", h.tid), Lateness: hdrhistogram.New(1, 1e9, 2)}
	for _, c := range o.Actions {
		r.Actions = append(r.Actions, generator.ActionResult{Name: c.Name, Errnos: map[syscall.Errno]uint64{}})
	}
	count := int(max(o.Count, uint64(o.Rate*o.Duration.Seconds())))
	for n := range count {
		if o.Rate > 0 {
			time.Sleep(time.Until(r.Start.Add(time.Duration(float64(n) / o.Rate * float64(time.Second))))) // the schedule
		}
		at := time.Now().UnixNano()
		h.alert(benchRule, at+50_000, h.tid, "peregrine "+generator.RunArgument+r.Run)
		r.Instances = append(r.Instances, generator.Instance{TID: h.tid, Planned: at, Start: at, End: at + 100_000})
		r.Offered++
		r.Completed++
	}
	r.End = time.Now()
	return r, nil
}

const benchRule = "Read sensitive file untrusted"

// roads are the ways that alerts take: a source, and how a sensor sends there.
var roads = map[string]func(t *testing.T) (intake.Source, func([]byte)){
	"file": func(t *testing.T) (intake.Source, func([]byte)) {
		f, err := os.Create(filepath.Join(t.TempDir(), "alerts"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return openRoad(t, "file:"+f.Name()), func(line []byte) { _, _ = f.Write(line) }
	},
	"pipe": func(t *testing.T) (intake.Source, func([]byte)) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { w.Close() })
		return intake.NewReader(r, false), func(line []byte) { _, _ = w.Write(line) }
	},
	"unix": func(t *testing.T) (intake.Source, func([]byte)) {
		path := filepath.Join(t.TempDir(), "s")
		source := openRoad(t, "unix:"+path)
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return source, func(line []byte) { _, _ = conn.Write(line) }
	},
	"http": func(t *testing.T) (intake.Source, func([]byte)) {
		source, err := intake.NewHTTP(endpoint.Server{Address: "127.0.0.1:0"}, false)
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: &http.Transport{}}
		t.Cleanup(client.CloseIdleConnections)
		return source, func(line []byte) {
			if resp, err := client.Post("http://"+source.Addr().String(), "application/json", bytes.NewReader(line)); err == nil {
				resp.Body.Close()
			}
		}
	},
	"grpc": func(t *testing.T) (intake.Source, func([]byte)) {
		path, service := filepath.Join(t.TempDir(), "s"), &player.Subscription{}
		if err := service.Serve(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		return openRoad(t, "grpc:"+path), service.Alert
	},
}

func openRoad(t *testing.T, where string) intake.Source {
	t.Helper()
	from, err := endpoint.ParseAlerts(where)
	if err != nil {
		t.Fatal(err)
	}
	source, err := intake.Open(t.Context(), from, intake.Options{PollingInterval: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return source
}

// A neighbour that fires the same rule ten times a second is never taken for
// the canary, gives no clock offset, and makes no loss: whatever the road, and
// whatever the alerts name.
func TestNeighbour(t *testing.T) {
	for road, open := range roads {
		for _, names := range []string{"nothing", "threads", "commands"} {
			t.Run(road+" "+names, func(t *testing.T) {
				t.Parallel()
				source, send := open(t)
				h := &host{threads: names == "threads", commands: names == "commands", send: send}
				h.neighbour(t, benchRule)
				tgt := target.NewRunning(0, source, nil)
				t.Cleanup(func() { _ = tgt.Stop(context.Background()) })
				s, err := Open(t.Context(), Options{Target: tgt, Actions: benchSet(t)[2:], Generate: h.generate, Drain: needs.Patience, Patience: needs.Patience})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { s.Close() })
				p, err := s.Preflight(t.Context(), 10*time.Millisecond)
				if err != nil {
					t.Fatal(err)
				}
				if failed := p.Failed(); len(failed) > 0 || p.Offset != 0 {
					t.Errorf("preflight %v, offset %v", failed, p.Offset)
				}
				r, err := s.Run(t.Context(), Load{Rate: 200, Duration: time.Second})
				if err != nil {
					t.Fatal(err)
				}
				if r.Total.OK != 200 || r.Total.Lost != 0 || r.Has(Ambiguous) {
					t.Errorf("%+v; alerts %+v; flags %v", r.Total, r.Alerts, r.Flags)
				}
				if r.Alerts.Foreign == 0 {
					t.Errorf("the neighbour's alerts are nobody's: %+v", r.Alerts)
				}
			})
		}
	}
}
