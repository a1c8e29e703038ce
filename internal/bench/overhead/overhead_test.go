package overhead

import (
	"context"
	"errors"
	"math"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench/target"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

// TestMain is also the sensor: one that does nothing until it is stopped.
func TestMain(m *testing.M) {
	if os.Getenv("PLAY") != "" {
		term := make(chan os.Signal, 1)
		signal.Notify(term, syscall.SIGTERM)
		os.Stderr.WriteString("ready\n")
		<-term
		os.Exit(0)
	}
	leaks.Main(m)
}

// TestDriftCancels: the machine gets slower all the time; the pairs' order
// keeps that out of the difference.
func TestDriftCancels(t *testing.T) {
	c := Cost{}
	now := 100.0
	for pair := range 8 {
		for _, on := range order(pair) {
			if on {
				c.On = append(c.On, now+50)
			} else {
				c.Off = append(c.Off, now)
			}
			now += 10
		}
	}
	c.sum(8)
	if c.Added != 50 || c.Low != 40 || c.High != 60 || math.Abs(c.Percent-100*50/c.OffMedian) > 1e-9 {
		t.Errorf("%+v, want 50 added", c)
	}
}

func sensor() *target.Process {
	return target.NewProcess(target.Config{Command: []string{os.Args[0]}, Env: []string{"PLAY=1"}, Ready: "ready"})
}

// TestRun runs every workload for real, without and with a sensor.
func TestRun(t *testing.T) {
	o := Options{Target: sensor(), Workloads: append(Workloads(), Program("true")), Pairs: 2, Duration: time.Millisecond, CPU: -1, Say: t.Logf}
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Pairs != 2 || len(r.Costs) != 6 || r.Partial {
		t.Fatalf("%+v", r)
	}
	for _, c := range r.Costs {
		if len(c.Off) != 2 || len(c.On) != 2 || c.OffMedian <= 0 || c.OnMedian <= 0 || c.Confidence != 0.5 {
			t.Errorf("%+v", c)
		}
	}
	if r.Costs[5].OffMedian < r.Costs[0].OffMedian {
		t.Errorf("a program takes %v ns, a syscall %v", r.Costs[5].OffMedian, r.Costs[0].OffMedian)
	}
	if r.CPUs == 0 || r.HostIdle < 0 || r.HostIdle > float64(r.CPUs) {
		t.Errorf("%v of %d CPUs idle", r.HostIdle, r.CPUs)
	}
	for idle, lines := range map[float64]int{3: 8, 0: 9} { // a busy host has a line
		r.CPUs, r.HostIdle = 4, idle
		var out strings.Builder
		if err := r.Write(&out); err != nil || strings.Count(out.String(), "\n") != lines {
			t.Errorf("%v, %s", err, out.String())
		}
	}
}

func TestErrors(t *testing.T) {
	if _, err := Run(t.Context(), Options{}); err == nil {
		t.Error("no pairs were accepted")
	}
	base := Options{Target: sensor(), Pairs: 1, Duration: time.Millisecond, CPU: -1, Say: t.Logf}
	o := base
	o.Workloads = []Workload{Program("/nowhere/program")}
	if r, err := Run(t.Context(), o); err == nil || !r.Partial || !strings.Contains(err.Error(), "/nowhere/program") {
		t.Errorf("%v", err)
	}
	o.Workloads = []Workload{Program("false")}
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o.Workloads = Workloads()
	if _, err := Run(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	o.CPU = 1000
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "CPU 1000") {
		t.Errorf("%v", err)
	}
}
