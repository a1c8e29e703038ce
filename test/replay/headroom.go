package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/limit"
)

const (
	// base is the multiple of the workload that has to grow: small, since the
	// machine must carry what it grows to.
	base         = 0.25
	mostMultiple = 32
	// precision of the answer, as a share of it: the search ends there. It ends
	// too if even this multiple is too much.
	precision = 0.1
)

// headroom finds the multiple of a workload at which the sensor, limited to
// some CPU, first drops an event: more clients of the real one, and a replay of
// its recording at a scale.
func (b *bench) headroom(w io.Writer, cpu float64) error {
	real := func(multiple float64) (load, error) { return startOriginal(b.dir, base*multiple) }
	recorded, err := b.observe(func() (load, error) { return real(1) }, false)
	if err != nil {
		return err
	}
	if b.keep != "" {
		if err := recorded.profile.WriteFile(b.keep + "/original.json"); err != nil {
			return err
		}
	}
	again := func(multiple float64) (load, error) { return startReplay(recorded.profile, multiple) }
	fmt.Fprintf(w, "The sensor has %g CPU.\n\n| load | multiple | syscalls/s | 100 ms max | events/s | delivered/s | dropped/s | sensor CPU |\n|---|---|---|---|---|---|---|---|\n", cpu)
	var found []string
	for _, l := range []struct {
		name  string
		start func(float64) (load, error)
	}{{"real", real}, {"replay", again}} {
		least, most, err := b.search(w, l.name, l.start, cpu)
		if err != nil {
			return err
		}
		found = append(found, l.name+": "+outcome(least, most))
	}
	for _, text := range found {
		fmt.Fprintln(w, text)
	}
	return nil
}

// outcome says what a search has found.
func outcome(least, most float64) string {
	switch {
	case most == 0:
		return fmt.Sprintf("no drop up to %.2f times", least)
	case least == 0:
		return fmt.Sprintf("drops at each multiple, down to %.2f times: give the sensor more CPU", most)
	}
	return fmt.Sprintf("no drop at %.2f times, the first at %.2f", least, most)
}

// search doubles the multiple until the first drop, then bisects. most is 0 if
// there was none, and least if each multiple had some.
func (b *bench) search(w io.Writer, name string, start func(float64) (load, error), cpu float64) (least, most float64, err error) {
	for multiple := 1.0; ; {
		seen, err := b.limited(func() (load, error) { return start(multiple) }, cpu)
		if err != nil {
			return least, most, fmt.Errorf("%s at %g times: %w", name, multiple, err)
		}
		fmt.Fprintf(w, "| %s | %.2f | %.0f | %.0f | %.0f | %.0f | %.1f | %.1f %% |\n", name, multiple, seen.profile.Rate, seen.profile.Bursts.Tenth.Max,
			seen.cost.events, seen.cost.delivered, seen.cost.drops, 100*seen.cost.cpu)
		if seen.cost.drops > 0 {
			most = multiple
		} else {
			least = multiple
		}
		more := false
		if multiple, more = next(least, most); !more {
			return least, most, nil
		}
	}
}

// next is the multiple to try after these, if any.
func next(least, most float64) (float64, bool) {
	switch {
	case most == 0:
		return 2 * least, least < mostMultiple
	case most < precision, most-least <= precision*most:
		return 0, false
	}
	return (least + most) / 2, true
}

// limited observes a load beside a sensor under a limit.
func (b *bench) limited(start func() (load, error), cpu float64) (seen observed, err error) {
	journal, err := limit.OpenJournal(limit.JournalDir, limit.Host{})
	if err != nil {
		return seen, err
	}
	place, err := limit.NewCgroup(limit.Host{}, journal, fmt.Sprintf("peregrine-replay-%d", os.Getpid()))
	if err != nil {
		return seen, err
	}
	ctx := context.Background()
	defer func() { err = errors.Join(err, place.Restore(ctx)) }()
	b.confine = func(pid int) error {
		return errors.Join(place.Apply(ctx, capacity.Limit{CPU: cpu}), place.Add(ctx, pid))
	}
	defer func() { b.confine = nil }()
	return b.observe(start, true)
}
