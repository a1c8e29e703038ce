package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/sweep"
	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/test/support/capacitytest"
)

// A sensor that is killed once costs a repetition and no more.
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
	if err == nil || !strings.Contains(err.Error(), "is not started again") {
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

// Ctrl-C keeps the measurements so far, and restores limits.
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

// A sensor that is killed in any phase is started again, and the phase is
// repeated: the row is the same as without the kill, and reports it.
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
