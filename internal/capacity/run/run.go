// Package run performs one capacity run: it undoes the changes of a killed run,
// measures the rows on the test stand, stores each row as soon as it is
// complete, draws the conclusions, and writes the reports.
package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/advise"
	"github.com/peregrine-sec/peregrine/internal/capacity/diagnose"
	"github.com/peregrine-sec/peregrine/internal/capacity/limit"
	"github.com/peregrine-sec/peregrine/internal/capacity/stand"
	"github.com/peregrine-sec/peregrine/internal/capacity/sweep"
	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
)

// Options configure a run.
type Options struct {
	Sensors []Variant
	// CPUs and Memories are combined: a row for each pair.
	CPUs     []float64
	Memories []int64
	Load     capacity.Load
	Margin   float64 // times that a limit has to carry a recorded workload
	Plan     capacity.Plan
	Total    time.Duration // for all rows; 0 for the time that the plan needs
	Repeat   int
	Seed     uint64
	Force    bool
	Fixed    bool     // only these limits can be measured: they are set by others
	Observed string   // file with production rates; "" for none
	Notes    []string // of the load, for the result
	// Idle is how long the machine is watched before the run; 0 leaves it out.
	Idle time.Duration

	Command    []string // that repeats the run
	Version    string
	Dir        string // made by Create
	JournalDir string // "" for limit.JournalDir
	Progress   func(sweep.Progress)
	Say        func(format string, args ...any)
	Now        func() time.Time
}

// Variant is one of the sensors that are measured. Its name is "" if it is the
// only one.
type Variant struct {
	Name  string
	Stand Stand
}

// Stand is a test stand that can describe its sensor.
type Stand interface {
	sweep.Stand
	Describe(ctx context.Context) capacity.Sensor
	ActionNames() []string
}

var _ Stand = (*stand.Stand)(nil)

// PerRow is the time that a default row may take on the average: three of
// them end within ten minutes.
const PerRow = 192 * time.Second

// Limits combines the CPUs and memories that the machine has, in the order of
// the CPUs. Larger ones are capped to the machine, with a note for each.
func Limits(cpus []float64, memories []int64, machine float64) (limits []capacity.Limit, notes []string) {
	var capped []float64
	for _, cpu := range cpus {
		if cpu > machine {
			notes = append(notes, fmt.Sprintf("%s CPU is more than this machine has: measured with %s", human.CPUs(cpu), human.CPUs(machine)))
			cpu = machine
		}
		if !slices.Contains(capped, cpu) {
			capped = append(capped, cpu)
		}
	}
	for _, memory := range memories {
		for _, cpu := range capped {
			limits = append(limits, capacity.Limit{CPU: cpu, Memory: memory})
		}
	}
	return limits, notes
}

// Run measures, and leaves raw data and reports in o.Dir. The result has the
// measurements also with an error.
func Run(ctx context.Context, o Options) (*capacity.Result, error) {
	leave, err := o.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	// Before the load begins, so that a bad file does not cost ten minutes.
	var production *advise.Rates
	if o.Observed != "" {
		r, err := advise.Read(o.Observed, time.Second)
		if err != nil {
			return nil, err
		}
		production = &r
	}
	r := o.prepare(ctx)
	limits, notes := Limits(o.CPUs, o.Memories, float64(cpuAffinity()))
	r.Notes = slices.Concat(o.Notes, notes, o.beside())
	for _, note := range r.Notes {
		o.Say("note: %s", note)
	}
	if o.Total == 0 {
		o.Total = time.Duration(len(o.Sensors)*max(1, o.Repeat)) * timeFor(limits, o.Plan)
	}
	k := &keeper{Options: &o, result: r}
	rows, err := sweep.Run(ctx, sweep.Options{
		Variants: o.variants(), Limits: limits, Load: o.Load, Plan: o.Plan, Repeat: o.Repeat, Seed: o.Seed, Total: o.Total, Force: o.Force, Fixed: o.Fixed,
		Now: o.Now, Observer: k,
	})
	r.Rows, r.Ended, r.Partial = rows, o.Now(), err != nil
	r.Notes = append(append(r.Notes, k.notes()...), wide(r)...)
	diagnose.Complete(r)
	if !r.Measured() {
		return r, errors.Join(err, Save(o.Dir, r))
	}
	if production != nil {
		err = errors.Join(err, recommend(r, o.Observed, production))
	}
	return r, errors.Join(err, Save(o.Dir, r), WriteReports(o.Dir, r))
}

// starting is the CPU that a sensor needs to start and to be seen to work, in
// seconds: under a small limit that is minutes, which the search would lack.
const starting = 2

// timeFor is the time for a row with each limit.
func timeFor(limits []capacity.Limit, plan capacity.Plan) (total time.Duration) {
	for _, l := range limits {
		total += min(PerRow, plan.Budget+20*time.Second)
		if l.CPU > 0 && l.CPU < 0.1 {
			total += time.Duration(starting / l.CPU * float64(time.Second))
		}
	}
	return total
}

func (o *Options) variants() []sweep.Variant {
	var all []sweep.Variant
	for _, s := range o.Sensors {
		all = append(all, sweep.Variant{Name: s.Name, Stand: s.Stand})
	}
	return all
}

// Check says why no run can begin here, before anything is made for one: a
// user who is not root, or another run that has its journal in dir.
func Check(euid int, dir string) error {
	if euid != 0 {
		return &sweep.PreflightError{Reason: "root is needed, to load a probe and to limit a sensor: run it with sudo"}
	}
	if err := limit.Alone(dir); err != nil {
		return &sweep.PreflightError{Reason: err.Error()}
	}
	return nil
}

// enter undoes the changes of killed runs, and makes this run visible to others
// until leave is called. It refuses to measure beside one that is going on.
func (o *Options) enter() (leave func(), err error) {
	dir := o.JournalDir
	if dir == "" {
		dir = limit.JournalDir
		if err := Check(os.Geteuid(), dir); err != nil {
			return nil, err
		}
	}
	undone, err := limit.Recover(dir, limit.Host{})
	for _, line := range undone {
		o.Say("%s", line)
	}
	if err != nil {
		return nil, err
	}
	presence, err := limit.OpenJournal(dir, limit.Host{})
	if err != nil {
		return nil, err
	}
	// Again, now that another run that begins would see this one.
	if err := limit.Alone(dir); err != nil {
		return nil, errors.Join(&sweep.PreflightError{Reason: err.Error()}, presence.Undo())
	}
	return func() { _ = presence.Undo() }, nil // nothing is in it
}

// environment is the fingerprint, with how idle the machine is now.
func (o *Options) environment(ctx context.Context) capacity.Environment {
	e := fingerprint("", o.Version)
	if o.Idle > 0 {
		e.IdleBefore = idle(ctx, e.CPUs, o.Idle, procfs.Host.CPU)
	}
	e.Warnings = warnings(e)
	return e
}

// prepare fills in the facts known before the first row.
func (o *Options) prepare(ctx context.Context) *capacity.Result {
	r := &capacity.Result{
		Schema: capacity.Schema, Started: o.Now(), Command: o.Command,
		Environment: o.environment(ctx),
		Method:      capacity.Method{Load: o.Load, Plan: o.Plan, Repeat: max(1, o.Repeat), Seed: o.Seed, Force: o.Force, Margin: o.Margin},
	}
	for _, s := range o.Sensors {
		d := s.Stand.Describe(ctx)
		d.Variant = s.Name
		r.Sensors = append(r.Sensors, d)
		o.Say("sensor under test: %s", underTest(d, o.Version))
	}
	r.Method.Actions = o.Sensors[0].Stand.ActionNames()
	return r
}

// wide names the confirmed rows with a wider interval than requested, for want
// of time: two runs may differ by that much.
func wide(r *capacity.Result) []string {
	var all []string
	for _, row := range r.Rows {
		b := row.NDR
		if row.Status != capacity.Confirmed || b.Upper == 0 {
			continue
		}
		// The offered rate is never quite the target.
		if open := 1 - b.Lower/b.Upper; open > 1.1*r.Method.Plan.Precision {
			all = append(all, fmt.Sprintf("%s%s: known to %.0f %%, not to the %.0f %% asked for: another run may differ by as much; allow more time (--max-duration)",
				named(row.Sensor), row.Limit, 100*open, 100*r.Method.Plan.Precision))
		}
	}
	return all
}

func named(sensor string) string {
	if sensor == "" {
		return ""
	}
	return sensor + " with "
}

// beside warns about a running Falco that is not the one to measure.
func (o *Options) beside() []string {
	pids, _ := procfs.Host.Named("falco") // a package starts one; a host without /proc has none
	for _, s := range o.Sensors {
		if d, ok := s.Stand.(*stand.Stand); ok && d.Kind == stand.Running {
			return nil
		}
	}
	if len(pids) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("a Falco already runs on this host (process %d): it handles the same load and takes CPU from the sensor under test; stop it, or measure it with --pid, --unit or --container", pids[0])}
}

// underTest names a sensor with its version and rules. Ours has this program's.
func underTest(d capacity.Sensor, version string) string {
	text := d.String()
	if d.Kind == string(stand.Embedded) {
		text += " " + version
	}
	if len(d.Rules) == 0 {
		return text + ", rules of its configuration"
	}
	return text + ", rules " + strings.Join(d.Rules, " ")
}

// recommend adds the resources for the production load, for the first sensor.
func recommend(r *capacity.Result, source string, production *advise.Rates) error {
	seen, err := advise.Observe(source, production.Nodes)
	if err != nil {
		return err
	}
	r.Recommendation, err = advise.Recommend(r.Findings.Curves[0], r.Rows, seen, production.Classes)
	return err
}

// Conclusive says whether a result answers the question, and why it does not:
// every row has a figure, and each sensor has one that is its capacity and not
// a bound.
func Conclusive(r *capacity.Result) (bool, string) {
	confirmed := map[string]bool{}
	for i := range r.Rows {
		row := &r.Rows[i]
		switch row.Status {
		case capacity.Confirmed:
			confirmed[row.Sensor] = true
		case capacity.AtLeast:
		default:
			return false, fmt.Sprintf("%s: %s", row.Limit, row.Status)
		}
	}
	for _, s := range r.Sensors {
		if !confirmed[s.Variant] {
			return false, "no row is a capacity of the sensor: the figures are lower bounds"
		}
	}
	return len(r.Rows) > 0, "no row was measured"
}

// keeper is a sweep.Observer that writes rows to disk as they arrive. A full
// disk does not end the measurement: it is reported once, and tried again with
// the next row.
type keeper struct {
	*Options
	result *capacity.Result
	failed int // times that the rows could not be kept
	last   error
}

func (k *keeper) Progress(p sweep.Progress) {
	if k.Options.Progress != nil {
		k.Options.Progress(p)
	}
}

func (k *keeper) Keep(rows []capacity.Row) {
	k.result.Rows, k.result.Ended, k.result.Partial = rows, k.Now(), true
	diagnose.Complete(k.result)
	err := Save(k.Dir, k.result)
	if err == nil {
		return
	}
	if k.failed++; k.failed == 1 {
		k.Say("the rows measured so far cannot be kept, and the measurement goes on: %v", err)
	}
	k.last = err
}

// notes reports in the result the rows that could not be written meanwhile.
func (k *keeper) notes() []string {
	if k.failed == 0 {
		return nil
	}
	return []string{fmt.Sprintf("rows could not be written to disk %d times during the run: %v", k.failed, k.last)}
}
