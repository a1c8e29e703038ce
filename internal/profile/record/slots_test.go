package record

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/profile"
)

const ms = time.Millisecond

// read is a reading of forks, which forks counts.
func read(at time.Duration, n uint64) reading { return reading{at, counts{Forks: [2]uint64{n, 0}}} }

func forks(c *counts) uint64 { return c.Forks[0] }

// Calls belong to the slots between the two readings that saw them, however
// late these were; a window that was too long is scaled.
func TestSlots(t *testing.T) {
	for name, test := range map[string]struct {
		readings []reading
		scale    float64
		want     [profile.Slots]float64
	}{
		"on time":    {[]reading{read(10*ms, 100), read(20*ms, 105), read(100*ms, 105)}, 1, [profile.Slots]float64{0: 100, 1: 5}},
		"late":       {[]reading{read(15*ms, 30), read(35*ms, 50), read(100*ms, 50)}, 1, [profile.Slots]float64{0: 20, 1: 15, 2: 10, 3: 5}},
		"none since": {[]reading{read(100*ms, 10)}, 1, [profile.Slots]float64{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
		"too long":   {[]reading{read(100*ms, 100), read(200*ms, 200)}, 0.5, [profile.Slots]float64{10, 10, 10, 10, 10, 10, 10, 10, 10, 10}},
	} {
		got := (&recording{readings: test.readings}).slots(forks, test.scale)
		for i := range got {
			if math.Abs(got[i]-test.want[i]) > 1e-6 {
				t.Errorf("%s: %v, want %v", name, *got, test.want)
				break
			}
		}
	}
}

// Calls between two readings stay together, in the slot in which most of the time
// between them is.
func TestWholeSlots(t *testing.T) {
	for name, test := range map[string]struct {
		readings []reading
		scale    float64
		want     [profile.Slots]float64
	}{
		"on time":    {[]reading{read(10*ms, 3), read(20*ms, 4), read(100*ms, 4)}, 1, [profile.Slots]float64{0: 3, 1: 1}},
		"late":       {[]reading{read(13*ms, 3), read(24*ms, 5), read(100*ms, 5)}, 1, [profile.Slots]float64{0: 3, 1: 2}},
		"none since": {[]reading{read(100*ms, 4)}, 1, [profile.Slots]float64{5: 4}},
		"too long":   {[]reading{read(20*ms, 1), read(200*ms, 3)}, 0.5, [profile.Slots]float64{0: 0.5, 5: 1}},
	} {
		if got := (&recording{readings: test.readings}).whole(forks, test.scale); *got != test.want {
			t.Errorf("%s: %v, want %v", name, *got, test.want)
		}
	}
}

// The bits of a window are its milliseconds; those of a longer one are closer.
func TestMilliseconds(t *testing.T) {
	bits := [2]uint64{1 | 1<<41, 1<<(99-64) | 1<<(127-64)}
	for length, want := range map[time.Duration][]int{
		profile.Window:     {0, 41, 99}, // as late as may be is the last
		2 * profile.Window: {0, 20, 49, 63},
	} {
		if got := milliseconds(bits, length); !slices.Equal(got, want) {
			t.Errorf("%v: %v, want %v", length, got, want)
		}
	}
}
