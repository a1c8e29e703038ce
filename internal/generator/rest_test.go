package generator

import (
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/generator/pace"
)

// resting is a mix with these syscalls, each with its rate.
func resting(rates map[string]float64) *Options {
	o := &Options{Mix: &Mix{Each: time.Second}}
	for name, rate := range rates {
		o.Actions = append(o.Actions, Choice{Name: action.Replayed(name, false)})
		o.Mix.Strands = append(o.Mix.Strands, len(o.Mix.Rates))
		o.Mix.Rates = append(o.Mix.Rates, []float64{rate})
		o.Mix.Shares = append(o.Mix.Shares, 1)
	}
	return o
}

// A replay pauses by the pause that was recorded most often, and makes one call
// less for each.
func TestRest(t *testing.T) {
	for name, rates := range map[string]map[string]float64{
		"":                {"read": 100},
		"nanosleep":       {"nanosleep": 20, "epoll_wait": 10, "read": 100},
		"clock_nanosleep": {"clock_nanosleep": 20, "nanosleep": 10},
		"ppoll":           {"ppoll": 5},
		"pselect6":        {"pselect6": 5},
		"epoll_wait":      {"nanosleep": 10, "epoll_wait": 20},
		"epoll_pwait":     {"epoll_pwait": 20},
	} {
		o := resting(rates)
		r, err := newRest(o)
		if err != nil {
			t.Fatal(err)
		}
		if r.syscall != name {
			t.Errorf("%v: pauses by %q", rates, r.syscall)
		}
		start := pace.NewStart()
		clock := pace.NewFreeClock(start)
		const length = 3 * time.Millisecond
		pauses := 0
		for now := time.Duration(0); now < length; now = start.Elapsed() {
			r.until(clock, now, length)
			pauses++
		}
		for i := range o.Actions {
			for owed := pauses; r.made(uint16(i)); owed-- {
				if i != r.action || owed == 0 {
					t.Fatalf("%v: %s need not be made", rates, o.Actions[i].Name)
				}
			}
		}
		if name != "" && r.owed != 0 {
			t.Errorf("%v: %d of %d pauses are not part of the replay", rates, r.owed, pauses)
		}
		if err := r.close(); err != nil {
			t.Error(err)
		}
	}
}
