package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/run"
	"github.com/peregrine-sec/peregrine/internal/capacity/sweep"
	"github.com/peregrine-sec/peregrine/test/support/capacitytest"
)

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

// A row that could not be narrowed in the end keeps its answer.
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

// lateStand is a stand that changes with each limit, and fails after a while.
type lateStand struct {
	*capacitytest.Rig
	open                  func(l capacity.Limit)
	startError, stopError error // of every sensor after the third
}

func (s *lateStand) Open(ctx context.Context, l capacity.Limit) (sweep.Sensor, error) {
	if s.open != nil {
		s.open(l)
	}
	_, err := s.Rig.Open(ctx, l)
	return s, err
}

func (s *lateStand) Start(ctx context.Context) error {
	if err := s.Rig.Start(ctx); err != nil || s.Started <= 3 {
		return err
	}
	return s.startError
}

func (s *lateStand) Restore(ctx context.Context) error {
	if err := s.Rig.Restore(ctx); err != nil || s.Restored <= 3 {
		return err
	}
	return s.stopError
}

// A refusal is forgiven in the end also where it comes with context, and only
// if nothing else has failed.
func TestNarrowRefusedStart(t *testing.T) {
	refused := &sweep.PreflightError{Reason: "the sensor is shy"}
	lost := errors.New("the limit could not be put back")
	for name, test := range map[string]struct{ start, restore, want error }{
		"refused":              {refused, nil, nil},
		"wrapped":              {fmt.Errorf("canary: %w", refused), nil, nil},
		"with another failure": {errors.Join(refused, lost), nil, lost},
		"and not restored":     {fmt.Errorf("canary: %w", refused), lost, lost},
	} {
		sensor := capacitytest.Default()
		sensor.Tires, sensor.Generator = 0.2, 45e3
		o := options(capacitytest.New(sensor))
		rig := o.Variants[0].Stand.(*capacitytest.Rig)
		o.Variants[0].Stand = &lateStand{Rig: rig, startError: test.start, stopError: test.restore}
		rows, err := sweep.Run(t.Context(), o)
		if !errors.Is(err, test.want) || rig.Started != 4 {
			t.Errorf("%s: %v, want %v; %d sensors", name, err, test.want, rig.Started)
		}
		if test.want == nil && (rows[0].Error != "" || !strings.Contains(strings.Join(rows[0].Noisy, "; "), "is shy")) {
			t.Errorf("%s: error %q, noisy %q", name, rows[0].Error, rows[0].Noisy)
		}
	}
}

// A row that is narrowed in the end is still marked as worse than a smaller one.
func TestNarrowKeepsInversion(t *testing.T) {
	sensor := capacitytest.Default()
	sensor.Tires, sensor.Generator = 0.2, 45e3
	rig := capacitytest.New(sensor)
	o := options(rig)
	o.Limits[0], o.Limits[1] = o.Limits[1], o.Limits[0]
	o.Variants[0].Stand = &lateStand{Rig: rig, open: func(l capacity.Limit) {
		rig.EventsPerCPU = 600e3
		switch l.CPU {
		case 1:
			rig.EventsPerCPU = 150e3
		case 2: // there is no time for another row, but for a long round
			rig.Clock = rig.Clock.Add(30 * time.Second)
		}
	}}
	rows := measure(t, o)
	if rig.Started <= len(rows) {
		t.Fatalf("%d rows by %d sensors: nothing was narrowed", len(rows), rig.Started)
	}
	if row := rows[0]; !strings.Contains(strings.Join(row.Noisy, "; "), "more CPU gave less") {
		t.Errorf("%s %s: noisy %q", row.Limit, row.Status, row.Noisy)
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

// Without time, no smaller limit is started.
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
