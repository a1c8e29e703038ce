package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/bench/classic"
	"github.com/peregrine-sec/peregrine/internal/bench/intake"
	"github.com/peregrine-sec/peregrine/internal/bench/report"
	"github.com/peregrine-sec/peregrine/internal/bench/run"
	"github.com/peregrine-sec/peregrine/internal/bench/target"
	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/generator/eventlog"
)

// benchFlags are those of bench.
type benchFlags struct {
	generateFlags
	sensorFlags

	sleep    time.Duration
	duration time.Duration
	loop     bool
	humanize bool
	dryRun   bool
	rounds   int

	rate    string
	noise   float64
	load    string
	scale   float64
	rest    time.Duration
	workers int
	seed    uint64
	drain   time.Duration
	count   bool

	idle        time.Duration
	force       bool
	noPreflight bool
	failIf      []string
	output      string
	junit       string
	out         string
	from, file  string // of report: the run, and where the report goes
	quiet       bool
	watchFlags
}

// newBench has run's flags too, hidden: "bench REGEXP" is event-generator's
// command line.
func newBench(env Env) *cobra.Command {
	cmd := newBenchRun(env)
	cmd.Use = "bench"
	cmd.Short = "Measure a sensor in rounds of load: alerts, loss, latency, drops, CPU, memory"
	cmd.Long = `Bench performs actions that rules detect and reports what became of each alert:
received, late, or lost, and where it was lost. "bench REGEXP" is short for
"bench run REGEXP".`
	cmd.Example = `  sudo peregrine bench run ReadSensitiveFileUntrusted --rate 1k,5k,10k
  peregrine bench report peregrine-bench-20260102-150405 --format markdown
  peregrine bench compare before after`
	cmd.Flags().VisitAll(func(f *pflag.Flag) { f.Hidden = true })
	cmd.AddCommand(newBenchRun(env), newBenchReport(env), newBenchCompare(env))
	regexp := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 && meant("", args[0], commandNames(cmd)) != "" {
			if _, err := action.Select(args[0], true); err != nil {
				return unknownCommand(cmd, args[0])
			}
		}
		return regexp(cmd, args)
	}
	return cmd
}

func newBenchRun(env Env) *cobra.Command {
	f := &benchFlags{}
	cmd := &cobra.Command{
		Use:   "run REGEXP [-- SENSOR FLAGS]",
		Short: "Perform actions in rounds and account for every alert",
		Long: `Run performs actions that rules detect and reports what became of each alert:
received, late, or lost. For a lost alert it tells whether the probe dropped the
event, the output lost the alert, or a rate limit withheld it.

With --rate, each round has an exact, open-loop rate. Without --rate, bench
works like event-generator: it sleeps before each action, prints the same log
lines and runs until stopped. With --loop, it halves the sleep after each round.

By default, bench starts and measures Peregrine's own sensor. Use --sensor,
--alerts and --pid to measure another one. Before the first round, bench repeats
each action until its alert arrives.

Exit codes: 0 passed, 1 failed, 2 usage, 3 preflight failed, 4 inconclusive,
99 a --fail-if condition is true, 130 interrupted (results are partial).`,
		Example: `  peregrine bench run 'ReadSensitiveFileUntrusted|ClearLogActivities' --rate 1k,5k,10k
  peregrine bench run ReadSensitiveFileUntrusted --rate 'ramp 1k..50k x2' --noise 20k
  peregrine bench run ReadSensitiveFileUntrusted --load node.json --scale 2 --rate 50
  peregrine bench run ReadSensitiveFileUntrusted --rate 5k --fail-if 'lost>0.1%' --fail-if 'latency.p99>50ms' --junit bench.xml
  peregrine bench run ReadSensitiveFileUntrusted --rate 5k -- -r my_rules.yaml -o engine.modern_ebpf.buf_size_preset=1
  peregrine bench run ReadSensitiveFileUntrusted --alerts http --pid falco --stats /var/log/falco-metrics.json --rate 5k
  peregrine bench 'ChangeThreadNamespace|ReadSensitiveFileUntrusted|WriteBelowBinaryDir' --all --loop --pid $(pidof falco) --grpc-unix-socket unix:///run/falco/falco.sock`,
		Args:    f.args,
		PreRunE: func(cmd *cobra.Command, _ []string) error { return f.resolve(env, cmd) },
		RunE:    func(cmd *cobra.Command, args []string) error { return f.run(env, cmd, args) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.config, "config", "c", "", "configuration file in YAML: flags by name (default $HOME/.falco-event-generator.yaml if it exists)")
	flags.StringVarP(&f.level, "loglevel", "l", "info", "log level: debug, info, warning or error")
	completeFlag(cmd, "loglevel", "debug", "info", "warning", "error")
	choiceFlag(cmd, flags, &f.format, "logformat", "log format", "text", "json")
	f.selection(flags)
	f.place(flags)
	f.sensorFlags.add(flags)
	f.add(flags)
	f.reportFlags(cmd)
	completeFlag(cmd, "sensor", "embedded", "running")
	completeFlag(cmd, "alerts", "http", "grpc", "stdin", "file:", "unix:")
	f.watchFlags.add(cmd)
	group(flags, "Load", "rate", "noise", "load", "scale", "round-duration", "rest", "workers", "seed", "drain", "count-syscalls")
	group(flags, "Load as event-generator's, without --rate", "sleep", "loop", "rounds", "humanize", "dry-run")
	group(flags, "Sensor under test", "sensor", "alerts", "stats", "stats-ca", "stats-insecure", "stats-interval", "pid", "ready", "sensor-log")
	group(flags, "Preflight", "idle", "force", "no-preflight")
	group(flags, "Result", "format", "out", "fail-if", "junit", "quiet", "ui", "web")
	groupReceiving(flags)
	groupGenerate(flags)
	group(flags, "Configuration and log", "config", "loglevel", "logformat")
	return cmd
}

func (f *benchFlags) add(flags *pflag.FlagSet) {
	flags.DurationVar(&f.sleep, "sleep", defaultSleep, "pause before each action, without --rate")
	flags.DurationVar(&f.duration, "round-duration", 5*time.Second, "duration of each round's load")
	flags.BoolVar(&f.loop, "loop", false, "halve --sleep after each round")
	flags.BoolVar(&f.humanize, "humanize", true, "write statistics in human-readable form, without --rate")
	flags.BoolVar(&f.dryRun, "dry-run", false, "perform the actions but contact no sensor, without --rate")
	flags.IntVar(&f.rounds, "rounds", 0, "stop after this number of rounds, without --rate; 0 for no limit")

	flags.StringVar(&f.rate, "rate", "", "actions per second, open loop: 5k, or 1k,2k,5k, or \"ramp 1k..50k x2\"")
	rateFlag(flags, &f.noise, "noise", "background syscalls per second that no rule detects")
	flags.StringVar(&f.load, "load", "", "replay a recorded workload (a profile file) in the background; --rate applies to the actions on top of it")
	flags.Float64Var(&f.scale, "scale", 1, "multiply the recorded workload by this factor")
	flags.DurationVar(&f.rest, "rest", time.Second, "pause between rounds")
	flags.IntVar(&f.workers, "workers", 0, "threads that perform actions (default: enough for the highest rate)")
	flags.Uint64Var(&f.seed, "seed", 1, "seed for the order of actions")
	flags.DurationVar(&f.drain, "drain", 3*time.Second, "how long to wait for alerts after the load; later ones count as late")
	flags.BoolVar(&f.count, "count-syscalls", false, "count the host's syscalls in every round instead of once before the first; adds about 100 ns to each syscall")

	flags.DurationVar(&f.idle, "idle", 3*time.Second, "how long the preflight observes the idle host")
	flags.BoolVar(&f.force, "force", false, "continue even if the preflight fails")
	flags.BoolVar(&f.noPreflight, "no-preflight", false, "skip the preflight")
	flags.StringVar(&f.out, "out", "", "directory for raw data, or none to keep no data (default with --rate: peregrine-bench-TIME)")
	flags.StringVar(&f.from, "from", "", "show the run stored in a directory")
	_ = flags.MarkHidden("from") // "bench report" is its name now; it exists, so there is no error
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "show no progress")
}

// reportFlags adds the flags of reports.
func (f *benchFlags) reportFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	choiceFlag(cmd, flags, &f.output, "format", "format of the results", report.Formats...)
	flags.StringArrayVar(&f.failIf, "fail-if", nil, "fail the run if a round meets this `CONDITION`, such as 'lost>0.1%' or 'latency.p99>50ms' (repeatable); metrics: "+strings.Join(bench.Metrics.Names(), " "))
	flags.StringVar(&f.junit, "junit", "", "write the results of the conditions to a JUnit XML file")
}

// args wants one regular expression before a --, and none for an old run.
func (f *benchFlags) args(cmd *cobra.Command, args []string) error {
	n := len(args)
	if f.from != "" && n == 0 {
		return nil
	}
	if dash := cmd.ArgsLenAtDash(); dash >= 0 {
		n = dash
	}
	if n != 1 {
		return usagef("arguments: expected one regular expression that selects actions, got %d; join alternatives with |, and put flags for the sensor after --", n)
	}
	return nil
}

// again shows a run that was kept.
func (f *benchFlags) again(env Env) error {
	var o run.Options
	if err := f.reporting(&o); err != nil {
		return err
	}
	result, err := report.Read(f.from)
	if err != nil {
		return err
	}
	result.Conditions = nil
	result.Evaluate(o.Conditions)
	return benchExit(env.Context, result, f.write(env, result, o), false)
}

func (f *benchFlags) run(env Env, cmd *cobra.Command, args []string) (failed error) {
	if f.from != "" {
		return f.again(env)
	}
	o, err := f.options(env, cmd, args)
	if err != nil {
		return err
	}
	dir, cleanup, err := f.directory(&o)
	if err != nil {
		return err
	}
	defer cleanup()
	leave, err := f.contain(env.Context, &o.Bench.Sandbox)
	if err != nil {
		return err
	}
	defer func() { failed = errors.Join(failed, leave()) }()
	if f.dryRun {
		o.Bench.Target, o.Bench.Drain, o.Bench.Linger = target.NewRunning(0, intake.NewNone(), nil), time.Millisecond, time.Millisecond
	} else if o.Bench.Target, err = f.target(env, cmd, dir, args[1:]); err != nil {
		return err
	}
	if !f.dryRun {
		o.Identity = target.Identify(env.Context, o.Bench.Target.PID(), o.Bench.Target.Command())
		if line := "sensor under test: " + o.Identity.String(); o.Classic != nil {
			f.log.Log(eventlog.Info, line, nil)
		} else {
			fmt.Fprintln(env.Stderr, line)
		}
	}
	watch, err := f.open(env, runBoard("Bench of "+strings.Join(args[:1], " ")), f.quiet || o.Classic != nil, f.verbose)
	if err != nil {
		return err
	}
	defer watch.end("")
	o.Say, o.Bench.Progress, o.Done = watch.say, watch.round, watch.rounded
	abort, stopped := make(chan struct{}), make(chan struct{})
	defer close(stopped)
	o.Bench.Abort = abort
	go secondSignal(env.Context, f.log, abort, stopped)
	result, err := run.Run(env.Context, o)
	watch.end(benchReport(result))
	if werr := f.write(env, result, o); err == nil {
		err = werr
	}
	if o.Directory != nil {
		fmt.Fprintf(env.Stderr, "raw data: %s\n", o.Directory.Path)
	}
	return benchExit(env.Context, result, err, o.Classic != nil)
}

// benchReport is the report in HTML; "" for a run without rounds.
func benchReport(result *report.Run) string {
	var html strings.Builder
	if len(result.Rounds) == 0 || result.Write(&html, "html") != nil {
		return ""
	}
	return html.String()
}

// options are the flags as a run.
func (f *benchFlags) options(env Env, cmd *cobra.Command, args []string) (run.Options, error) {
	o := run.Options{Command: recorded(env.Args), Noise: f.noise, Duration: f.duration, Rest: f.rest,
		Force: f.force, Log: f.log}
	o.Bench = bench.Options{Workers: f.workers, Seed: f.seed, Drain: f.drain, CountSyscalls: f.count}
	var err error
	if o.Bench.Actions, err = f.selected(args[0]); err != nil {
		return o, err
	}
	if o.Bench.Sandbox, err = f.sandbox(); err != nil {
		return o, err
	}
	if err := f.reporting(&o); err != nil {
		return o, err
	}
	if err := f.workload(cmd, &o); err != nil {
		return o, err
	}
	if err := f.fits(cmd.Flags()); err != nil {
		return o, err
	}
	if f.rate == "" {
		return o, f.classic(&o)
	}
	if o.Rates, err = bench.ParseRates(f.rate); err != nil {
		return o, usagef("--rate: %w", err)
	}
	o.Calibrate = !f.count
	if !f.noPreflight {
		o.Idle = f.idle
	}
	return o, nil
}

// fits refuses flags that have no effect with --rate, or without it.
func (f *benchFlags) fits(flags *pflag.FlagSet) error {
	unused, why := []string{"noise", "rest", "idle", "no-preflight", "format"}, "--%s needs --rate; without --rate, bench works like event-generator"
	if f.rate != "" {
		unused, why = []string{"sleep", "loop", "rounds", "humanize", "dry-run"}, "--rate and --%s are mutually exclusive: with --rate, each round has an exact rate"
	}
	for _, name := range unused {
		if flags.Changed(name) {
			return usagef(why, name)
		}
	}
	return nil
}

// reporting reads the flags of reports.
func (f *benchFlags) reporting(o *run.Options) error {
	for _, text := range f.failIf {
		c, err := bench.ParseCondition(text)
		if err != nil {
			return usagef("--fail-if: %w", err)
		}
		o.Conditions = append(o.Conditions, c)
	}
	return nil
}

// classic is event-generator's mode.
func (f *benchFlags) classic(o *run.Options) error {
	o.Classic = &classic.Options{Sleep: f.sleep, RoundDuration: f.duration, Loop: f.loop, Humanize: f.humanize, DryRun: f.dryRun, Rounds: f.rounds}
	return asUsage(o.Classic.Check())
}

// directory is where the run's files go; a temporary one if nothing is kept.
func (f *benchFlags) directory(o *run.Options) (dir string, cleanup func(), err error) {
	if f.out == "" && o.Classic == nil {
		f.out = "peregrine-bench-" + time.Now().Format("20060102-150405")
	}
	if f.out == "" || f.out == "none" {
		dir, err = os.MkdirTemp("", "peregrine-bench-")
		return dir, func() { os.RemoveAll(dir) }, err
	}
	if o.Directory, err = report.NewDirectory(f.out); err != nil {
		return "", nil, err
	}
	dir, err = filepath.Abs(f.out)
	return dir, func() {}, err
}

// write prints the results.
func (f *benchFlags) write(env Env, result *report.Run, o run.Options) error {
	var err error
	if o.Classic == nil && len(result.Rounds) > 0 {
		err = env.into(f.file, func(w io.Writer) error { return result.Write(w, f.output) })
	}
	if f.junit == "" {
		return err
	}
	file, ferr := os.Create(f.junit)
	if ferr != nil {
		return errors.Join(err, ferr)
	}
	return errors.Join(err, result.JUnit(file, o.Conditions), file.Close())
}

// benchExit turns the end of a run into an exit code. The classic mode's usual
// end is an interrupt.
func benchExit(ctx context.Context, result *report.Run, err error, classic bool) error {
	switch {
	case errors.As(err, new(*run.PreflightError)):
		return &ExitError{Code: ExitPreflight, Err: err}
	case ctx.Err() != nil && classic && (err == nil || errors.Is(err, context.Canceled)):
		return nil
	case ctx.Err() != nil:
		return interrupted(err, "results are partial")
	case err != nil:
		return err
	}
	switch conclusion, why := run.Conclude(result); conclusion {
	case run.Violated:
		return &ExitError{Code: ExitThreshold, Err: errors.New(why)}
	case run.Inconclusive:
		return &ExitError{Code: ExitInconclusive, Err: errors.New(why)}
	}
	return nil
}
