// Package campaign is one capacity run from end to end: it undoes what a
// killed run has left, measures the rows on the test stand, keeps every row on
// disk as soon as it is there, recommends resources, and writes the reports.
package campaign

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/limit"
	"github.com/peregrine-sec/peregrine/internal/capacity/observed"
	"github.com/peregrine-sec/peregrine/internal/capacity/rundir"
	"github.com/peregrine-sec/peregrine/internal/capacity/stand"
)

// Options are what a run is asked for.
type Options struct {
	Stand stand.Options // Dir and Log are filled in
	// CPUs and Memories are combined: a row for each pair.
	CPUs     []float64
	Memories []int64
	Load     capacity.Load
	Plan     capacity.Plan
	Total    time.Duration // for all rows; 0 for what the plan needs
	Repeat   int
	Seed     uint64
	Force    bool
	Observed string // file with production rates; "" for none

	Command  []string // that repeats the run
	Version  string
	Dir      string // made by rundir.Create
	Progress func(capacity.Progress)
	Say      func(format string, args ...any)
	Rig      capacity.Rig // nil for the stand; another one in tests
	Now      func() time.Time
}

// PerRow is the time that a default row may take on the average: three of
// them end within ten minutes.
const PerRow = 192 * time.Second

// Limits combines the CPUs and memories that the machine has, in the order of
// the CPUs. Larger ones are capped to the machine, with a note for each.
func Limits(cpus []float64, memories []int64, machine float64) (limits []limit.Limit, notes []string) {
	var capped []float64
	for _, cpu := range cpus {
		if cpu > machine {
			notes = append(notes, fmt.Sprintf("%v CPU is more than this machine has: measured with %v", cpu, machine))
			cpu = machine
		}
		if !slices.Contains(capped, cpu) {
			capped = append(capped, cpu)
		}
	}
	for _, memory := range memories {
		for _, cpu := range capped {
			limits = append(limits, limit.Limit{CPU: cpu, Memory: memory})
		}
	}
	return limits, notes
}

// Run measures, and leaves raw data and reports in o.Dir. The result has what
// was measured also when the error is not nil.
func Run(ctx context.Context, o Options) (*capacity.Result, error) {
	if o.Rig == nil && os.Geteuid() != 0 {
		return nil, &capacity.PreflightError{Reason: "root is needed, to load a probe and to limit a sensor: run it with sudo"}
	}
	leave, err := o.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	// Before the load begins, so that a bad file does not cost ten minutes.
	var production *observed.Rates
	if o.Observed != "" {
		r, err := observed.Read(o.Observed, time.Second)
		if err != nil {
			return nil, err
		}
		production = &r
	}
	r, rig, err := o.prepare(ctx)
	if err != nil {
		return nil, err
	}
	limits, notes := Limits(o.CPUs, o.Memories, float64(capacity.CPUAffinity()))
	r.Notes = notes
	for _, note := range notes {
		o.Say("note: %s", note)
	}
	if o.Total == 0 {
		o.Total = time.Duration(len(limits)*max(1, o.Repeat)) * min(PerRow, o.Plan.Budget+20*time.Second)
	}
	rows, err := capacity.Sweep(ctx, capacity.Options{
		Limits: limits, Load: o.Load, Plan: o.Plan, Repeat: o.Repeat, Seed: o.Seed, Total: o.Total, Force: o.Force,
		Rig: rig, Now: o.Now, Progress: o.Progress,
		Checkpoint: func(rows []capacity.Row) error {
			r.Rows, r.Ended, r.Partial = rows, o.Now(), true
			return rundir.Save(o.Dir, r)
		},
	})
	r.Rows, r.Ended, r.Partial = rows, o.Now(), err != nil
	if !r.Measured() {
		return r, errors.Join(err, rundir.Save(o.Dir, r))
	}
	if production != nil {
		err = errors.Join(err, recommend(r, o.Observed, production))
	}
	return r, errors.Join(err, rundir.Save(o.Dir, r), rundir.WriteReports(o.Dir, r))
}

// enter undoes what killed runs have left, and makes this run seen by others
// until leave is called. It refuses to measure beside one that is going on.
func (o *Options) enter() (leave func(), err error) {
	undone, err := limit.Recover(o.journalDir(), o.Stand.Host)
	for _, line := range undone {
		o.Say("%s", line)
	}
	if err != nil {
		return nil, err
	}
	presence, err := limit.OpenJournal(o.journalDir(), o.Stand.Host)
	if err != nil {
		return nil, err
	}
	if err := limit.Alone(o.journalDir()); err != nil {
		return nil, errors.Join(&capacity.PreflightError{Reason: err.Error()}, presence.Undo())
	}
	return func() { _ = presence.Undo() }, nil // nothing is in it
}

func (o *Options) journalDir() string {
	if o.Stand.JournalDir != "" {
		return o.Stand.JournalDir
	}
	return limit.JournalDir
}

// prepare begins the result with what is known before the first row.
func (o *Options) prepare(ctx context.Context) (*capacity.Result, capacity.Rig, error) {
	r := &capacity.Result{
		Schema: capacity.Schema, Started: o.Now(), Command: o.Command,
		Environment: capacity.Fingerprint("", o.Version),
		Method:      capacity.Method{Load: o.Load, Plan: o.Plan, Repeat: max(1, o.Repeat), Seed: o.Seed},
	}
	for _, a := range o.Stand.Actions {
		r.Method.Actions = append(r.Method.Actions, a.Name)
	}
	if o.Rig != nil {
		r.Sensor = capacity.Sensor{Kind: "simulated", Name: "a simulated sensor"}
		return r, o.Rig, nil
	}
	o.Stand.Dir = o.Dir
	o.Stand.Seed, o.Stand.Force = o.Seed, o.Force
	s, err := stand.New(o.Stand)
	if err != nil {
		return nil, nil, err
	}
	r.Sensor = s.Describe(ctx)
	return r, s, nil
}

// recommend adds the resources for what production does.
func recommend(r *capacity.Result, source string, production *observed.Rates) error {
	seen, err := capacity.Observe(source, production.Nodes)
	if err != nil {
		return err
	}
	r.Recommendation, err = capacity.Recommend(r.Rows, seen, production.Classes)
	return err
}

// Verdict is what a finished run is worth to a script.
type Verdict int

// The verdicts.
const (
	Conclusive   Verdict = iota
	Inconclusive         // no row has a capacity, or one has failed
)

// Judge says whether a result answers the question: every row has a figure,
// and at least one of them is a capacity and not the generator's limit.
func Judge(r *capacity.Result) (Verdict, string) {
	confirmed := 0
	for i := range r.Rows {
		row := &r.Rows[i]
		switch row.Status {
		case capacity.Confirmed:
			confirmed++
		case capacity.AtLeast:
		default:
			return Inconclusive, fmt.Sprintf("%s: %s", row.Limit, row.Status)
		}
	}
	if confirmed == 0 {
		return Inconclusive, "the generator or the machine was the limit in every row: the figures are lower bounds"
	}
	return Conclusive, ""
}
