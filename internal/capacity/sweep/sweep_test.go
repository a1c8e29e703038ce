package sweep_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/diagnose"
	"github.com/peregrine-sec/peregrine/internal/capacity/run"
	"github.com/peregrine-sec/peregrine/internal/capacity/sweep"
	"github.com/peregrine-sec/peregrine/test/support/capacitytest"
)

// options are a sweep over three limits with a test stand.
func options(rig *capacitytest.Rig) sweep.Options {
	plan := capacity.DefaultPlan()
	return sweep.Options{
		Limits: []capacity.Limit{{CPU: 0.5, Memory: 512 << 20}, {CPU: 1, Memory: 512 << 20}, {CPU: 2, Memory: 512 << 20}},
		Load:   capacity.AlertsOnly, Plan: plan, Repeat: 1, Total: 3 * run.PerRow, Variants: []sweep.Variant{{Stand: rig}}, Now: rig.Now,
	}
}

// observer calls functions, where there are any.
type observer struct {
	progress func(sweep.Progress)
	keep     func([]capacity.Row)
}

func (o *observer) Progress(p sweep.Progress) {
	if o.progress != nil {
		o.progress(p)
	}
}

func (o *observer) Keep(rows []capacity.Row) {
	if o.keep != nil {
		o.keep(rows)
	}
}

func measure(t *testing.T, o sweep.Options) []capacity.Row {
	t.Helper()
	rows, err := sweep.Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// The three rows of a sensor with two threads and 300 k events per second and
// CPU: the answers are the model's, in ten minutes, and everything is put back.
func TestSweep(t *testing.T) {
	sensor := capacitytest.Default()
	sensor.Threads = 2
	rig := capacitytest.New(sensor)
	began := rig.Now()
	rows := measure(t, options(rig))
	if took := rig.Now().Sub(began); took > 10*time.Minute {
		t.Errorf("three rows took %v", took)
	}
	if rig.Restored != 3 || rig.Started != 3 {
		t.Errorf("started %d sensors, restored %d places", rig.Started, rig.Restored)
	}
	for i, want := range []float64{150e3, 300e3, 600e3} {
		row := rows[i]
		if row.Status != capacity.Confirmed || row.Syscalls > 1.01*want || row.Syscalls < 0.9*want {
			t.Errorf("%s: %s at %.0f events/s, want about %.0f", row.Limit, row.Status, row.Syscalls, want)
		}
		if perEvent := row.Syscalls / row.EPS; perEvent < 3.9 || perEvent > 4.2 {
			t.Errorf("%s: %.0f EPS for %.0f events/s, the model has 4 per action", row.Limit, row.EPS, row.Syscalls)
		}
		if row.PreDrop <= row.Syscalls*0.98 {
			t.Errorf("%s: pre-drop plateau %.0f below the clean one %.0f", row.Limit, row.PreDrop, row.Syscalls)
		}
		if row.Factor.Name != capacity.FactorCPU {
			t.Errorf("%s: limiting factor %+v", row.Limit, row.Factor)
		}
	}
}

// The default run ends within ten minutes, whatever the sensor is like and
// whatever happens to it.
func TestTenMinutes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(low, high float64, name string) float64 {
			return math.Exp(rapid.Float64Range(math.Log(low), math.Log(high)).Draw(t, "log "+name))
		}
		sensor := capacitytest.Sensor{
			EventsPerCPU: draw(5e3, 5e6, "events per CPU"), Threads: rapid.Float64Range(0.3, 2).Draw(t, "threads"),
			Ring: draw(500, 1e6, "ring"), PerAction: rapid.Float64Range(1, 40).Draw(t, "events per action"), PerNoise: 1,
			Burst: rapid.Float64Range(0, 0.5).Draw(t, "burst"), Generator: draw(5e3, 3e6, "generator"),
			CPUs: rapid.IntRange(2, 16).Draw(t, "CPUs"), Memory: 60 << 20, Idle: 300,
		}
		if rapid.Bool().Draw(t, "slow output") {
			sensor.Output, sensor.Queue = draw(20, 100e3, "output"), draw(100, 1e6, "queue")
			sensor.Elsewhere = rapid.Bool().Draw(t, "elsewhere")
		}
		if every := rapid.SampledFrom([]int{0, 0, 0, 9, 14}).Draw(t, "dies every"); every > 0 {
			sensor.Dies = func(round int) bool { return round%every == every-1 }
		}
		rig := capacitytest.New(sensor)
		o := options(rig)
		o.Plan.Start = 1000
		o.Load = rapid.SampledFrom([]capacity.Load{capacity.AlertsOnly, capacity.NoiseOnly, {Alerts: 1, Others: 50}}).Draw(t, "load")
		began := rig.Now()
		_, err := sweep.Run(context.Background(), o)
		if took := rig.Now().Sub(began); took > 10*time.Minute {
			t.Fatalf("three rows took %v (%v)", took, err)
		}
	})
}

// Sensors that are bad in one way each get the factor that is to blame.
func TestFactors(t *testing.T) {
	for name, test := range map[string]struct {
		spoil  func(*capacitytest.Sensor)
		want   capacity.FactorName
		status capacity.Status
	}{
		"expensive rules": {func(s *capacitytest.Sensor) { s.EventsPerCPU = 20e3 }, capacity.FactorCPU, capacity.Confirmed},
		"small ring":      {func(s *capacitytest.Sensor) { s.Ring, s.Burst = 500, 0.6 }, capacity.FactorRing, capacity.Confirmed},
		"slow output":     {func(s *capacitytest.Sensor) { s.Output = 3000 }, capacity.FactorOutput, capacity.Confirmed},
		"eats memory":     {func(s *capacitytest.Sensor) { s.Output, s.Backlog = 3000, 2<<20 }, capacity.FactorMemory, capacity.Confirmed},
		"full machine":    {func(s *capacitytest.Sensor) { s.CPUs, s.Threads = 2, 0.91 }, capacity.FactorMachine, capacity.AtLeast},
		"slow generator":  {func(s *capacitytest.Sensor) { s.Generator = 20e3 }, capacity.FactorGenerator, capacity.AtLeast},
	} {
		t.Run(name, func(t *testing.T) {
			sensor := capacitytest.Default()
			test.spoil(&sensor)
			o := options(capacitytest.New(sensor))
			o.Limits = []capacity.Limit{{CPU: 1, Memory: 512 << 20}}
			row := measure(t, o)[0]
			if row.Factor.Name != test.want || row.Status != test.status {
				t.Errorf("%s because of %+v, want %s, %s", row.Status, row.Factor, test.status, test.want)
			}
			if row.Factor.Advice == "" || row.Factor.Evidence == "" {
				t.Errorf("a factor without evidence or advice: %+v", row.Factor)
			}
		})
	}
}

// A rate that passes short rounds but fails a long one is searched for lower;
// without time for that, the row says that it may differ.
func TestTires(t *testing.T) {
	for _, tt := range []struct {
		tires  float64
		rows   int
		total  time.Duration
		status capacity.Status
		noisy  bool
	}{
		{0, 3, 3 * run.PerRow, capacity.Confirmed, false},
		{0.07, 3, 3 * run.PerRow, capacity.Confirmed, false},
		{0.07, 1, 150 * time.Second, capacity.Unconfirmed, true},
	} {
		sensor := capacitytest.Default()
		sensor.Tires = tt.tires
		o := options(capacitytest.New(sensor))
		o.Limits, o.Total = o.Limits[:tt.rows], tt.total
		for _, row := range measure(t, o) {
			if row.Status != tt.status || strings.Contains(strings.Join(row.Noisy, "; "), "does not last for 1m0s") != tt.noisy {
				t.Errorf("tires %v, %v for %s: %s, noisy %q", tt.tires, tt.total, row.Limit, row.Status, row.Noisy)
			}
		}
	}
}

// A trial begins with empty queues, whatever the one before has left in them:
// the answer for a slow output is the output's, and its cause is named.
func TestSettled(t *testing.T) {
	for name, test := range map[string]struct {
		spoil   func(*capacitytest.Sensor)
		low     float64
		running bool
		again   bool // the sensor is started again
		err     string
		noisy   string
	}{
		"a queue that empties":       {func(s *capacitytest.Sensor) {}, 2850, false, false, "", ""},
		"the queue of a running one": {func(s *capacitytest.Sensor) {}, 2850, true, false, "", ""},
		"one that takes too long":    {func(s *capacitytest.Sensor) { s.Output = 30 }, 28, false, true, "", ""},
		"one that cannot be ended":   {func(s *capacitytest.Sensor) { s.Output = 30 }, 0, true, false, "restart the sensor", ""},
		"one that is not seen":       {func(s *capacitytest.Sensor) { s.Queue, s.Elsewhere = 20e3, true }, 2850, false, true, "", ""},
		"one not seen, and not ours": {func(s *capacitytest.Sensor) { s.Queue, s.Elsewhere = 20e3, true }, 0, true, false, "", "not seen from outside"},
	} {
		t.Run(name, func(t *testing.T) {
			sensor := capacitytest.Default()
			sensor.Output = 3000
			test.spoil(&sensor)
			rig := capacitytest.New(sensor)
			rig.Running = test.running
			o := options(rig)
			o.Limits = []capacity.Limit{{CPU: 1, Memory: 512 << 20}}
			told := 0
			o.Observer = &observer{progress: func(p sweep.Progress) {
				if strings.Contains(p.Message, "starting the sensor again before each round") {
					told++
				}
			}}
			rows, err := sweep.Run(context.Background(), o)
			if want := sensor.Elsewhere && !test.running; told > 1 || want != (told == 1) {
				t.Errorf("told %d times that the sensor is started before each round", told)
			}
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) || rig.Restored != 1 {
					t.Errorf("error %v, restored %d; want %q", err, rig.Restored, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			row := rows[0]
			if row.NDR.Lower < test.low || row.NDR.Lower > sensor.Output*1.15 || row.Factor.Name != capacity.FactorOutput {
				t.Errorf("%s at %.0f of %.0f alerts/s because of %+v", row.Status, row.NDR.Lower, sensor.Output, row.Factor)
			}
			if again := rig.Started > 1; again != test.again && !test.running {
				t.Errorf("started %d times", rig.Started)
			}
			if !strings.Contains(strings.Join(row.Noisy, "; "), test.noisy) {
				t.Errorf("noisy %q, want %q", row.Noisy, test.noisy)
			}
		})
	}
}

func TestPreflight(t *testing.T) {
	sensor := capacitytest.Default()
	sensor.Idle, sensor.Ring = 400e3, 10
	_, err := sweep.Run(context.Background(), options(capacitytest.New(sensor)))
	var preflight *sweep.PreflightError
	if !errors.As(err, &preflight) || !strings.Contains(err.Error(), "--force") {
		t.Errorf("drops while idle: %v", err)
	}
	sensor = capacitytest.Default()
	sensor.Output = 1e-9 // no alert ever arrives
	_, err = sweep.Run(context.Background(), options(capacitytest.New(sensor)))
	if !errors.As(err, &preflight) || !strings.Contains(err.Error(), "no alert arrived") {
		t.Errorf("no alerts: %v", err)
	}
}

func TestRepeatOrder(t *testing.T) {
	o := options(capacitytest.New(capacitytest.Default()))
	o.Repeat, o.Seed, o.Plan = 3, 42, capacity.QuickPlan()
	o.Total = 20 * time.Minute
	rows := measure(t, o)
	if len(rows) != 9 {
		t.Fatalf("%d rows", len(rows))
	}
	count := map[float64]int{}
	for _, row := range rows {
		count[row.Limit.CPU]++
	}
	if diff := cmp.Diff(map[float64]int{0.5: 3, 1: 3, 2: 3}, count); diff != "" {
		t.Errorf("rows by limit (-want +got):\n%s", diff)
	}
}

func TestInversions(t *testing.T) {
	row := func(cpu, rate float64) capacity.Row {
		return capacity.Row{Limit: capacity.Limit{CPU: cpu}, Syscalls: rate}
	}
	bound := row(3, 50)
	bound.Status = capacity.AtLeast
	got := diagnose.Inversions([]capacity.Row{row(0.5, 100), row(1, 96), row(2, 94), row(4, 0), row(8, 300), bound})
	if diff := cmp.Diff([]int{2}, got); diff != "" {
		t.Errorf("inversions (-want +got):\n%s", diff)
	}
}

func TestProgress(t *testing.T) {
	o := options(capacitytest.New(capacitytest.Default()))
	var before, after int
	left, shrinks := time.Hour, true
	o.Observer = &observer{progress: func(p sweep.Progress) {
		switch {
		case p.Message != "":
		case p.Done == nil:
			before++
			shrinks = shrinks && (p.Row > 1 || p.Left <= left)
			left = p.Left
		default:
			after++
		}
		if p.Rows != 3 || p.Row < 1 || p.Row > 3 {
			t.Errorf("row %d of %d", p.Row, p.Rows)
		}
	}}
	measure(t, o)
	if before == 0 || before != after {
		t.Errorf("told of %d rounds before and %d after", before, after)
	}
	if left > 2*time.Minute || !shrinks {
		t.Errorf("%v left in the last round; shrinks: %v", left, shrinks)
	}
}
