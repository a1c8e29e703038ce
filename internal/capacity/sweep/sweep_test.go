package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/capacitytest"
	"github.com/peregrine-sec/peregrine/internal/capacity/diagnose"
	"github.com/peregrine-sec/peregrine/internal/capacity/run"
	"github.com/peregrine-sec/peregrine/internal/capacity/sweep"
	"github.com/peregrine-sec/peregrine/internal/generator"
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

// What short rounds promise and a long one does not keep is looked for lower;
// where the time is not enough for that, the row says that it may differ.
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

// Time that is left in the end, as larger limits soon meet the generator's, goes
// to the row of which too little is known.
func TestNarrow(t *testing.T) {
	sensor := capacitytest.Default()
	sensor.Tires, sensor.Generator = 0.2, 45e3
	rig := capacitytest.New(sensor)
	o := options(rig)
	began := rig.Now()
	rows := measure(t, o)
	if took := rig.Now().Sub(began); took > 10*time.Minute || rig.Started != 4 || rig.Restored != 4 {
		t.Errorf("took %v, %d sensors, %d restored", took, rig.Started, rig.Restored)
	}
	row := rows[0]
	last := row.Trials[len(row.Trials)-1].Round
	if row.Status != capacity.Confirmed || row.NDR.Lower < 0.85*row.NDR.Upper || last.Start < rows[2].Trials[0].Round.Start {
		t.Errorf("%s, %+v", row.Status, row.NDR)
	}
	for _, row := range rows[1:] {
		if row.Status != capacity.AtLeast {
			t.Errorf("%s: %s", row.Limit, row.Status)
		}
	}
}

// What could not be narrowed in the end keeps the answer that it has.
func TestNarrowRefused(t *testing.T) {
	sensor := capacitytest.Default()
	sensor.Tires, sensor.Generator = 0.2, 45e3
	rig := capacitytest.New(sensor)
	o := options(rig)
	o.Observer = &observer{keep: func(rows []capacity.Row) {
		if len(rows) == 3 { // from now on the host is never quiet
			rig.Idle, rig.Ring = 400e3, 10
		}
	}}
	row := measure(t, o)[0]
	if rig.Started != 4 || row.Status != capacity.Confirmed || row.Error != "" || !strings.Contains(strings.Join(row.Noisy, "; "), "while idle") {
		t.Errorf("%d sensors; %s, error %q, noisy %q", rig.Started, row.Status, row.Error, row.Noisy)
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
			rows, err := sweep.Run(context.Background(), o)
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

// A sensor that somebody kills once costs a repetition and no more.
func TestSensorKilled(t *testing.T) {
	plain := measure(t, options(capacitytest.New(capacitytest.Default())))
	sensor := capacitytest.Default()
	sensor.Dies = func(round int) bool { return round == 7 }
	rig := capacitytest.New(sensor)
	rows := measure(t, options(rig))
	if rig.Started != 4 {
		t.Errorf("started %d sensors for three rows and one that was killed", rig.Started)
	}
	if diff := rows[0].Syscalls/plain[0].Syscalls - 1; diff > 0.03 || diff < -0.03 || rows[0].Status != capacity.Confirmed {
		t.Errorf("row after a kill: %s %v, without %v", rows[0].Status, rows[0].Syscalls, plain[0].Syscalls)
	}
	if !strings.Contains(strings.Join(rows[0].Noisy, ";"), "from outside") {
		t.Errorf("the row does not tell of the kill: %q", rows[0].Noisy)
	}
	clean := rows[0].CleanTrial()
	if clean == nil || !clean.Verdict.Clean || clean.Round.Usage.Gone {
		t.Errorf("the answer comes from the trial %+v", clean)
	}
}

// So does a generator; one that is killed again and again ends the run, with
// limits restored and the reason.
func TestGeneratorKilled(t *testing.T) {
	killed := fmt.Errorf("round 7: %w (signal: killed)", generator.ErrEnded)
	sensor := capacitytest.Default()
	sensor.Fails = func(round int) error {
		if round == 7 {
			return killed
		}
		return nil
	}
	rows := measure(t, options(capacitytest.New(sensor)))
	if rows[0].Status != capacity.Confirmed || !strings.Contains(strings.Join(rows[0].Noisy, ";"), "load generator was ended from outside once") {
		t.Errorf("after a kill: %s, noisy %q", rows[0].Status, rows[0].Noisy)
	}
	sensor.Fails = func(round int) error {
		if round >= 7 {
			return killed
		}
		return nil
	}
	rig := capacitytest.New(sensor)
	rows, err := sweep.Run(context.Background(), options(rig))
	if !errors.Is(err, generator.ErrEnded) || rig.Restored != 1 {
		t.Errorf("killed for ever: %v, restored %d", err, rig.Restored)
	}
	if rows[0].Error == "" || rows[0].Status != capacity.Unconfirmed {
		t.Errorf("a row that was cut short: %s, %q", rows[0].Status, rows[0].Error)
	}
}

func TestSensorDiesAlways(t *testing.T) {
	sensor := capacitytest.Default()
	sensor.Dies = func(round int) bool { return round > 5 }
	rig := capacitytest.New(sensor)
	_, err := sweep.Run(context.Background(), options(rig))
	if err == nil || !strings.Contains(err.Error(), "giving up") {
		t.Errorf("a sensor that cannot live: %v", err)
	}
	if rig.Restored != 1 {
		t.Errorf("restored %d times", rig.Restored)
	}
	rig = capacitytest.New(sensor)
	rig.Running = true
	if _, err := sweep.Run(context.Background(), options(rig)); err == nil || !strings.Contains(err.Error(), "start it") {
		t.Errorf("a running sensor that dies: %v", err)
	}
}

// Ctrl-C leaves what was measured until then, and restored limits.
func TestInterrupt(t *testing.T) {
	for _, at := range []int{1, 2, 3, 9, 25} {
		ctx, cancel := context.WithCancel(context.Background())
		sensor := capacitytest.Default()
		sensor.Interrupt = func(round int) {
			if round == at {
				cancel()
			}
		}
		rig := capacitytest.New(sensor)
		rows, err := sweep.Run(ctx, options(rig))
		if !errors.Is(err, context.Canceled) {
			t.Errorf("interrupted in round %d: %v", at, err)
		}
		if len(rows) == 0 || rig.Restored != len(rows) {
			t.Errorf("interrupted in round %d: %d rows, %d restored", at, len(rows), rig.Restored)
		}
		last := rows[len(rows)-1]
		if last.Status == capacity.Confirmed && at < 12 {
			t.Errorf("interrupted in round %d, and confirmed", at)
		}
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

// A sensor that is killed in any phase is started again, and the phase is done
// again: the row is what it would have been, and tells.
func TestKilledInEveryPhase(t *testing.T) {
	plain := measure(t, options(capacitytest.New(capacitytest.Default())))[0]
	at := func(which int) func(int) bool { return func(n int) bool { return n == which } }
	for name, kill := range map[string]func(*capacitytest.Sensor){
		"while it starts":      func(s *capacitytest.Sensor) { s.DiesStarting = at(1) },
		"in the idle round":    func(s *capacitytest.Sensor) { s.Dies = at(1) },
		"in the warm-up":       func(s *capacitytest.Sensor) { s.Dies = at(2) },
		"before the idle one":  func(s *capacitytest.Sensor) { s.DiesBefore = at(1) },
		"before the warm-up":   func(s *capacitytest.Sensor) { s.DiesBefore = at(2) },
		"before a round":       func(s *capacitytest.Sensor) { s.DiesBefore = at(5) },
		"in a round":           func(s *capacitytest.Sensor) { s.Dies = at(5) },
		"before the long one":  func(s *capacitytest.Sensor) { s.DiesBefore = at(11) },
		"twice, in two phases": func(s *capacitytest.Sensor) { s.DiesStarting, s.Dies = at(1), at(2) },
	} {
		t.Run(name, func(t *testing.T) {
			sensor := capacitytest.Default()
			kill(&sensor)
			rig := capacitytest.New(sensor)
			row := measure(t, options(rig))[0]
			if diff := row.Syscalls/plain.Syscalls - 1; row.Status != capacity.Confirmed || diff > 0.05 || diff < -0.05 {
				t.Errorf("%s at %.0f, without a kill %.0f", row.Status, row.Syscalls, plain.Syscalls)
			}
			if rig.Started < 4 || rig.Restored != 3 || !strings.Contains(strings.Join(row.Noisy, "; "), "ended from outside once") {
				t.Errorf("started %d, restored %d, noisy %q", rig.Started, rig.Restored, row.Noisy)
			}
		})
	}
}

// Where the load is the limit of every row, smaller limits follow until one is
// the sensor's.
func TestGoSmaller(t *testing.T) {
	for name, test := range map[string]struct {
		generator float64
		limits    []float64
		want      []float64 // all that were measured
		last      capacity.Status
	}{
		"the first smaller one":   {20e3, []float64{0.5, 1}, []float64{0.5, 1, 0.1}, capacity.Confirmed},
		"one that uses less":      {5e3, []float64{0.5, 1}, []float64{0.5, 1, 0.05}, capacity.Confirmed},
		"none that is small":      {1e3, []float64{0.5, 1}, []float64{0.5, 1, 0.02}, capacity.AtLeast},
		"not with an answer":      {20e3, []float64{0.2, 1}, []float64{0.2, 1}, capacity.AtLeast},
		"smaller than all others": {1e3, []float64{0.02}, []float64{0.02}, capacity.AtLeast},
	} {
		t.Run(name, func(t *testing.T) {
			sensor := capacitytest.Default()
			sensor.Generator = test.generator
			o := options(capacitytest.New(sensor))
			o.Plan.Start, o.Limits = 500, nil
			for _, cpu := range test.limits {
				o.Limits = append(o.Limits, capacity.Limit{CPU: cpu, Memory: 512 << 20})
			}
			rows := measure(t, o)
			var got []float64
			for _, row := range rows {
				got = append(got, row.Limit.CPU)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("limits (-want +got):\n%s", diff)
			}
			if last := rows[len(rows)-1]; last.Status != test.last {
				t.Errorf("the last row is %s (%+v)", last.Status, last.Factor)
			}
		})
	}
}

// Without time, no smaller limit is begun.
func TestGoSmallerInTime(t *testing.T) {
	sensor := capacitytest.Default()
	sensor.Generator = 20e3
	o := options(capacitytest.New(sensor))
	o.Limits, o.Total = o.Limits[1:2], 2*time.Minute
	if rows := measure(t, o); len(rows) != 1 {
		t.Errorf("%d rows in two minutes", len(rows))
	}
}

// The rows of two sensors alternate, limit by limit, and each begins near its
// own answer.
func TestVariants(t *testing.T) {
	slow := capacitytest.Default()
	slow.EventsPerCPU = 30e3
	fast, other := capacitytest.New(capacitytest.Default()), capacitytest.New(slow)
	o := options(fast)
	o.Limits = o.Limits[:2]
	// Two models have two clocks: the run's is the sum of both.
	o.Now = func() time.Time { return fast.Clock.Add(other.Clock.Sub(other.Began())) }
	o.Variants = []sweep.Variant{{Name: "fast", Stand: fast}, {Name: "slow", Stand: other}}
	o.Total = 4 * run.PerRow
	var order []string
	rows := measure(t, o)
	for _, row := range rows {
		order = append(order, fmt.Sprintf("%s %v", row.Sensor, row.Limit.CPU))
	}
	if diff := cmp.Diff([]string{"fast 0.5", "slow 0.5", "fast 1", "slow 1"}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	for i := 0; i < len(rows); i += 2 {
		if times := rows[i].NDR.Lower / rows[i+1].NDR.Lower; times < 9 || times > 11 {
			t.Errorf("%s: %.1f times the other, want 10", rows[i].Limit, times)
		}
	}
}
