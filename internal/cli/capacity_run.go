package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/limit"
	"github.com/peregrine-sec/peregrine/internal/capacity/report"
	"github.com/peregrine-sec/peregrine/internal/capacity/run"
	"github.com/peregrine-sec/peregrine/internal/capacity/stand"
	"github.com/peregrine-sec/peregrine/internal/capacity/sweep"
	"github.com/peregrine-sec/peregrine/internal/profile"
	"github.com/peregrine-sec/peregrine/internal/version"
)

// defaultActions fire stable rules, in the process itself and in
// microseconds: the ones that make the highest rates.
const defaultActions = "^syscall.(ReadSensitiveFileUntrusted|DirectoryTraversalMonitoredFileRead|ClearLogActivities)$"

// capacityRunFlags are those of capacity run.
type capacityRunFlags struct {
	alertRate, margin float64 // of a recorded workload

	testedFlags
	cpus, memories    []string
	sensors, variants []string
	verbose           bool

	load, actions        string
	quick                bool
	start, precision     float64
	confirm, max         time.Duration
	repeat               int
	seed                 uint64
	force, quiet, counts bool
	watchFlags

	out, format, observed string
	failIf                []string
}

func newCapacityRun(env Env) *cobra.Command {
	f := &capacityRunFlags{}
	cmd := &cobra.Command{
		Use:   "run [-- SENSOR FLAGS]",
		Short: "Measure the capacity table of a sensor on this machine",
		Long: `Run measures one row of the table for each limit. It starts the sensor under the
limit, warms it up, and doubles the load until the sensor loses an event. It
then bisects until the answer is known to 5 %, and confirms it for a minute.

The sensor is Peregrine's own (default), an installed Falco started for the test
(--sensor falco), or a running sensor (--pid, --unit or --container), whose
limit is changed and restored. The limit does not apply to the load generator.

To compare sensors, repeat --sensor. To compare rule sets, configurations or
versions, repeat --variant. Each limit is measured with one sensor after the
other. Rates are compared in operations of the generator.

If the load, not the sensor, was the bottleneck in every row, smaller limits
follow (0.1, 0.05, 0.02 CPU) as long as there is time.

Each change is recorded in a journal first. The next run, or capacity restore,
undoes what a killed run left behind. Ctrl-C ends the run with a partial report.

Exit codes: 0 answered, 1 failed, 2 usage, 3 preflight failed, 4 inconclusive
(no row is a capacity, or one has no figure), 99 a --fail-if condition is true,
130 interrupted.`,
		Example: `  sudo peregrine capacity run
  sudo peregrine capacity run --cpu 0.25,0.5,1 --memory 256Mi,512Mi --repeat 6
  sudo peregrine capacity run --quick --load 1:50 --fail-if 'syscalls<100k'
  sudo peregrine capacity run --sensor embedded --sensor falco
  sudo peregrine capacity run --variant 'a=-r a.yaml' --variant 'b=-r b.yaml'
  sudo peregrine capacity run --unit falco-modern-bpf.service \
      --alerts http --stats /var/log/falco-metrics.json
  sudo peregrine capacity run --load node.json --cpu 0.25,0.5,1 --margin 2
  sudo peregrine capacity run --observed production.json --out june
  sudo peregrine capacity run -- -o engine.modern_ebpf.buf_size_preset=1`,
		Args: sensorArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(env, cmd, args) },
	}
	f.add(cmd)
	completeFlag(cmd, "sensor", string(stand.Embedded), string(stand.Falco))
	completeFlag(cmd, "load", "alerts", "noise", "1:50")
	return cmd
}

// sensorArgs allows arguments only after --.
func sensorArgs(cmd *cobra.Command, args []string) error {
	if cmd.ArgsLenAtDash() != 0 && len(args) > 0 {
		return usagef("%q: no arguments expected; flags for the sensor come after --", args[0])
	}
	return nil
}

func (f *capacityRunFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	choiceFlag(cmd, flags, &f.format, "format", "format of the report on standard output", "text", "markdown", "csv", "json")
	f.addMethod(flags)
	flags.Lookup("load").Usage += ", or the profile file of a recorded workload"
	rateFlag(flags, &f.alertRate, "alert-rate", "with a recorded workload: additional alerts per second, scaled with it (also --alerts 50/s)")
	flags.Float64Var(&f.margin, "margin", 2, "with a recorded workload: a recommended limit must sustain it this many times")
	f.watchFlags.add(cmd)
	flags.StringSliceVar(&f.sensors, "sensor", nil, "`NAME` of the sensor: embedded (Peregrine's own, default) or falco (an installed one); give both to compare them")
	flags.StringArrayVar(&f.variants, "variant", nil, "`NAME=FLAGS`: a sensor to compare and its flags, such as 'new=--sensor falco --falco /opt/falco -r new.yaml' (repeatable)")
	f.testedFlags.add(flags)
	flags.BoolVar(&f.verbose, "sensor-log", false, "show the sensor's log")

	flags.StringVar(&f.load, "mix", "alerts", "the same as --load")
	flags.StringVar(&f.out, "out", "", "directory of the run (default peregrine-capacity-TIME)")
	flags.StringVarP(&f.out, "out-dir", "o", "", "the same as --out")
	flags.StringVar(&f.observed, "observed", "", "recommend resources for these production rates: a stats file, or the JSON result of a Prometheus query")
	flags.StringArrayVar(&f.failIf, "fail-if", nil, "fail the run if a row meets this `CONDITION`, such as 'syscalls<200k' or 'latency.p99>50ms' (repeatable)")
	for _, old := range []string{"mix", "out-dir"} {
		flags.Lookup(old).Hidden = true
	}
	groupCapacity(flags)
}

// addMethod adds the flags of the measurement.
func (f *capacityRunFlags) addMethod(flags *pflag.FlagSet) {
	flags.StringSliceVar(&f.cpus, "cpu", []string{"0.5", "1", "2"}, "CPU `LIMITS`, such as 0.5, 500m or 2; capped at the CPUs of the machine")
	flags.StringSliceVar(&f.memories, "memory", []string{"512Mi"}, "memory `LIMITS`, combined with each CPU limit; 0 for none")
	flags.StringVar(&f.load, "load", "alerts", "alerts, noise (syscalls that no rule detects), or a ratio of alerts to other syscalls (the test method uses 1:50)")
	flags.StringVar(&f.actions, "actions", defaultActions, "regular expression that selects the actions that raise alerts")
	flags.BoolVar(&f.quick, "quick", false, "one minute per row: 10 % precision, 10 s confirmation")
	rateFlag(flags, &f.start, "start-rate", "first rate in operations per second (default 4000, or 32000 with noise)")
	shareFlag(flags, &f.precision, "precision", "stop the search when the bounds are this close, such as 5%")
	flags.DurationVar(&f.confirm, "confirm", 0, "duration of the confirming round (default 60s)")
	flags.DurationVar(&f.max, "max-duration", 0, "time for all rows together (default: about 190s a row)")
	flags.IntVar(&f.repeat, "repeat", 1, "number of times to measure each row; 6 or more give a 95 % interval")
	flags.Uint64Var(&f.seed, "seed", 1, "seed for the order of actions and of repeated rows")
	flags.BoolVar(&f.counts, "count-syscalls", false, "count the host's syscalls in each round; adds about 100 ns to each syscall")
	flags.BoolVar(&f.force, "force", false, "measure even if the preflight fails")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "show no progress")
}

// groupCapacity orders the flags for --help.
func groupCapacity(flags *pflag.FlagSet) {
	group(flags, "Limits", "cpu", "memory")
	group(flags, "Which sensor", "sensor", "variant", "sensor-config", "rules", "falco", "sensor-log")
	group(flags, "A running sensor", "pid", "unit", "container", "pod", "docker-socket", "alerts", "stats")
	group(flags, "Load", "load", "alert-rate", "margin", "actions", "start-rate", "count-syscalls", "seed")
	group(flags, "How long and how exact", "quick", "precision", "confirm", "max-duration", "repeat", "force")
	group(flags, "Results", "out", "format", "observed", "fail-if", "quiet", "ui", "web")
}

func (f *capacityRunFlags) run(env Env, cmd *cobra.Command, args []string) error {
	o, stands, conditions, err := f.options(env, cmd, args)
	if err != nil {
		return err
	}
	if err := run.Check(os.Geteuid(), limit.JournalDir); err != nil {
		return &ExitError{Code: ExitPreflight, Err: err}
	}
	watch, err := f.open(env, runBoard("Capacity run"), f.quiet, f.verbose)
	if err != nil {
		return err
	}
	defer watch.end("")
	if o.Dir, err = run.Create(f.out, time.Now()); err != nil {
		return err
	}
	for i := range stands {
		stands[i].options.Say = watch.say
		if watch.drawn() {
			stands[i].options.Progress = watch.moment
		}
	}
	if o.Sensors, err = openStands(env.Context, stands, o.Dir); err != nil {
		return capacityExit(env.Context, nil, err, nil)
	}
	o.Say, o.Progress = watch.say, watch.trial
	result, err := run.Run(env.Context, o)
	watch.end(capacityReport(result))
	if result != nil && result.Measured() {
		werr := report.Write(env.Stdout, env.reportFormat(f.format), result)
		newProgress(env, f.quiet).say("\nreport: %s/report.html", o.Dir)
		err = errors.Join(err, werr)
	}
	return capacityExit(env.Context, result, err, conditions)
}

// capacityReport is the report in HTML; "" for a run that has measured nothing.
func capacityReport(result *capacity.Result) string {
	var html strings.Builder
	if result == nil || !result.Measured() || report.Write(&html, report.HTML, result) != nil {
		return ""
	}
	return html.String()
}

// options are the flags as the options of a run, except its sensors.
func (f *capacityRunFlags) options(env Env, cmd *cobra.Command, args []string) (o run.Options, stands []namedStand, conditions []run.Condition, err error) {
	o = run.Options{Plan: f.plan(cmd), Total: f.max, Repeat: f.repeat, Seed: f.seed, Force: f.force, Fixed: f.pod != "", Observed: f.observed,
		Command: recorded(withoutOut(env.Args)), Version: version.Version(), Now: time.Now, Idle: time.Second}
	usage := func(err error) (run.Options, []namedStand, []run.Condition, error) {
		return o, nil, nil, asUsage(err)
	}
	if o.CPUs, o.Memories, err = f.limits(); err != nil {
		return usage(err)
	}
	var workload *profile.Profile
	if o.Load, workload, o.Notes, err = f.workload(); err != nil {
		return usage(err)
	}
	if workload == nil && cmd.Flags().Changed("margin") {
		return usage(errors.New("--margin needs a recorded workload: --load FILE"))
	}
	if workload != nil {
		o.Margin = f.margin
		if !cmd.Flags().Changed("start-rate") {
			o.Plan.Start = o.Load.Alerts + o.Load.Others // the workload as it is
		}
	}
	for _, text := range f.failIf {
		c, err := run.ParseCondition(text)
		if err != nil {
			return usage(fmt.Errorf("--fail-if: %w", err))
		}
		conditions = append(conditions, c)
	}
	if stands, err = f.stands(env, args); err != nil {
		return usage(err)
	}
	stands = underWorkload(stands, workload)
	// Report errors of a sensor before anything is created.
	for _, s := range stands {
		switch _, err := stand.New(cmd.Context(), s.options); {
		case errors.Is(err, context.Canceled):
			return o, nil, nil, capacityExit(cmd.Context(), nil, err, nil)
		case errors.As(err, new(*sweep.PreflightError)):
			return o, nil, nil, &ExitError{Code: ExitPreflight, Err: err}
		case err != nil:
			return usage(err)
		}
	}
	return o, stands, conditions, nil
}

// limits reads --cpu and --memory.
func (f *capacityRunFlags) limits() (cpus []float64, memories []int64, err error) {
	for _, text := range f.cpus {
		cpu, err := limit.ParseCPU(text)
		if err != nil {
			return nil, nil, err
		}
		cpus = append(cpus, cpu)
	}
	for _, text := range f.memories {
		memory, err := limit.ParseMemory(text)
		if err != nil {
			return nil, nil, err
		}
		memories = append(memories, memory)
	}
	return cpus, memories, nil
}

// plan is the default or the quick plan, changed by the given flags.
func (f *capacityRunFlags) plan(cmd *cobra.Command) capacity.Plan {
	plan := capacity.DefaultPlan()
	if f.quick {
		plan = capacity.QuickPlan()
	}
	if f.load != "alerts" {
		plan.Start *= 8 // a background syscall costs a sensor less than an alert
	}
	given := cmd.Flags().Changed
	if given("start-rate") {
		plan.Start = f.start
	}
	if given("precision") {
		plan.Precision = f.precision
	}
	if given("confirm") {
		plan.Budget += f.confirm - plan.Confirm
		plan.Confirm = f.confirm
	}
	return plan
}

// capacityExit turns the end of a run into an exit code.
func capacityExit(ctx context.Context, result *capacity.Result, err error, conditions []run.Condition) error {
	switch {
	case ctx.Err() != nil:
		return interrupted(err, "results are partial, limits are restored")
	case errors.As(err, new(*sweep.PreflightError)):
		return &ExitError{Code: ExitPreflight, Err: err}
	case err != nil || result == nil:
		return err
	}
	if violated := run.Violated(result, conditions); len(violated) > 0 {
		return &ExitError{Code: ExitThreshold, Err: errors.New(strings.Join(violated, "; "))}
	}
	if conclusive, why := run.Conclusive(result); !conclusive {
		return &ExitError{Code: ExitInconclusive, Err: errors.New(why)}
	}
	return nil
}
