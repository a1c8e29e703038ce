// Package compare compares two bench runs, round by round of the same load, and
// decides whether the second loses more or less than the first.
package compare

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/bench/report"
	"github.com/peregrine-sec/peregrine/internal/sample"
)

// Row is one load of both runs.
type Row struct {
	Target, Noise float64 // actions and background syscalls per second, as asked for
	A, B          bench.Round
	Change        sample.Change
	Why           string // it is inconclusive
}

// Comparison is two runs side by side.
type Comparison struct {
	A, B   string // the sensors
	Rows   []Row
	Change sample.Change
	Notes  []string
}

// Runs compares the rounds of the same actions and load. Rounds of one run that
// repeat a load are compared in their order. A round that only one run has is a
// note, and one that B lacks leaves the comparison inconclusive at best.
func Runs(a, b *report.Run) (Comparison, error) {
	c := Comparison{A: a.Identity.String(), B: b.Identity.String(), Change: sample.Better}
	rest := slices.Clone(b.Rounds) // not compared yet
	for i := range a.Rounds {
		x := &a.Rounds[i]
		at := slices.IndexFunc(rest, func(y bench.Round) bool { return sameLoad(x, &y) })
		if at < 0 {
			c.Notes = append(c.Notes, "B has no round of "+load(x))
			c.Change = sample.Worst(c.Change, sample.Unsure)
			continue
		}
		row := compare(*x, rest[at])
		rest = slices.Delete(rest, at, at+1)
		c.Rows = append(c.Rows, row)
		c.Change = sample.Worst(c.Change, row.Change)
	}
	for i := range rest {
		c.Notes = append(c.Notes, "A has no round of "+load(&rest[i]))
	}
	if len(c.Rows) == 0 {
		return c, errors.New("compare: no round of A has the actions and load of one of B: run both with the same actions, --rate and --noise")
	}
	if a.Host.Hostname != b.Host.Hostname || a.Host.CPU != b.Host.CPU {
		c.Notes = append(c.Notes, "the runs are of different machines")
	}
	return c, nil
}

func sameLoad(a, b *bench.Round) bool {
	return a.Rate.Target == b.Rate.Target && a.Rate.NoiseTarget == b.Rate.NoiseTarget && slices.Equal(actions(a), actions(b))
}

// load names a round by the settings that sameLoad compares.
func load(r *bench.Round) string {
	return fmt.Sprintf("%.0f actions/s and %.0f background syscalls/s with the actions %s", r.Rate.Target, r.Rate.NoiseTarget, strings.Join(actions(r), ", "))
}

// actions are the names of a round's actions, in order.
func actions(r *bench.Round) []string {
	var names []string
	for _, a := range r.Actions {
		names = append(names, a.Name)
	}
	slices.Sort(names)
	return names
}

// unfit are the flags of rounds that are no evidence about a sensor.
var unfit = []bench.Flag{bench.GeneratorLimited, bench.Ambiguous, bench.HostBusy, bench.SensorRestarted, bench.SensorGone, bench.ClockStep, bench.Interrupted}

// compare decides by the intervals of the losses: those that overlap are no
// difference.
func compare(a, b bench.Round) Row {
	row := Row{Target: a.Rate.Target, Noise: a.Rate.NoiseTarget, A: a, B: b, Change: sample.Same}
	for i, r := range []*bench.Round{&a, &b} {
		side := string(rune('A' + i))
		for _, f := range unfit {
			if r.Has(f) {
				row.Change, row.Why = sample.Unsure, fmt.Sprintf("%s, round %d: %s", side, r.Number, f)
				return row
			}
		}
		if r.Loss.Of == 0 {
			row.Change, row.Why = sample.Unsure, fmt.Sprintf("%s, round %d: no action was done", side, r.Number)
			return row
		}
	}
	switch {
	case b.Loss.Lower > a.Loss.Upper:
		row.Change = sample.Worse
	case b.Loss.Upper < a.Loss.Lower:
		row.Change = sample.Better
	}
	return row
}
