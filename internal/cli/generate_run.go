package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/internal/generator/eventlog"
	"github.com/peregrine-sec/peregrine/internal/generator/narrate"
	"github.com/peregrine-sec/peregrine/internal/generator/pace"
)

// runFlags are those of generate run.
type runFlags struct {
	*generateFlags
	replayFlags
	loop, quiet bool
	sleep       time.Duration
	rate        float64
	ramp        []float64
	count       uint64
	length      time.Duration
	seed        uint64
	workers     int
	order       string
	weights     []string
	noise       float64
	report      string
}

func newGenerateRun(env Env, shared *generateFlags) *cobra.Command {
	f := &runFlags{generateFlags: shared}
	cmd := &cobra.Command{
		Use:   "run [REGEXP]",
		Short: "Run actions once, in a loop, or at an exact rate",
		Long: `Run performs the actions whose name matches the regular expression.

Without --rate, it works like event-generator: one action after the other, with
a sleep before each. With --rate, the schedule is open-loop: actions are due at
fixed times, however long earlier actions take, and lateness is reported.

With --profile, it replays the syscalls of a recorded workload over time, scaled
by --scale, on files of its own, loopback sockets and short-lived processes.
--alerts adds actions.

Ctrl-C ends the run with a summary; a second Ctrl-C ends it at once (podman has
20 s to stop). Both restore the host. After kill -9, use generate cleanup.`,
		Example: `  peregrine generate run
  peregrine generate run '^syscall' --all --loop
  peregrine generate run 'ReadSensitiveFileUntrusted|ClearLogActivities' --rate 2000 --for 30s
  peregrine generate run ReadSensitiveFileUntrusted --rate 500 --for 1m --noise 20000
  peregrine generate run --profile node.json --scale 2 --for 5m
  peregrine generate run ReadSensitiveFileUntrusted --profile node.json --alerts 50/s
  peregrine generate run LaunchedInPrivilegedContainer --in-container helper`,
		Args: generateArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(env, cmd, args)
		},
	}
	flags := cmd.Flags()
	f.selection(flags)
	f.place(flags)
	flags.DurationVar(&f.sleep, "sleep", defaultSleep, "pause before each action")
	flags.BoolVar(&f.loop, "loop", false, "repeat until stopped")
	rateFlag(flags, &f.rate, "rate", "actions per second, open loop, instead of --sleep")
	ratesFlag(flags, &f.ramp, "ramp", "FROM,TO: change the rate from one value to the other within --for")
	flags.Uint64Var(&f.count, "count", 0, "stop after this number of actions")
	flags.DurationVar(&f.length, "for", 0, "stop after this time")
	flags.Uint64Var(&f.seed, "seed", 0, "seed for the order (default: random)")
	choiceFlag(cmd, flags, &f.order, "order", "order of the actions", "shuffle", "listed", "random")
	flags.StringSliceVar(&f.weights, "weights", nil, "relative frequencies of the actions: `NAME=3,OTHER=1` (default 1 each)")
	flags.IntVar(&f.workers, "workers", 1, "threads that perform actions")
	rateFlag(flags, &f.noise, "noise", "background syscalls per second that no rule detects")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "log errors only")
	flags.StringVar(&f.report, "report", "", "write the result as JSON to this file, - for standard output")
	group(flags, "Pace", "sleep", "loop", "rate", "ramp", "for", "count", "seed", "order", "weights", "workers", "noise")
	f.replayFlags.add(flags)
	groupGenerate(flags)
	group(flags, "Output", "quiet", "report")
	completeGenerate(cmd)
	return cmd
}

func (f *runFlags) run(env Env, cmd *cobra.Command, args []string) (err error) {
	if f.quiet {
		f.log.Level = eventlog.Error
	}
	o, background, err := f.loads(cmd, args)
	if err != nil {
		return err
	}
	leave, err := f.contain(env.Context, &o.Sandbox)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, leave()) }()
	if err := generator.Check(o); err != nil {
		return &ExitError{Code: ExitPreflight, Err: err}
	}
	abort := make(chan struct{})
	o.Abort = abort
	stopped := make(chan struct{})
	defer close(stopped)
	go secondSignal(env.Context, f.log, abort, stopped)

	story := narrate.New(f.log, o, narrate.Screen{Out: env.Stderr, Terminal: env.Terminal && !f.log.JSON && !f.quiet})
	noise, waitNoise := startBackground(env.Context, o, background)
	o.Sink, o.Ready = story.Sink, story.Ready
	result, err := generator.Spawn(env.Context, o)
	noise()
	if werr := waitNoise(); err == nil {
		err = werr
	}
	story.End(result)
	switch {
	case errors.Is(err, generator.ErrAborted):
		return &ExitError{Code: ExitInterrupted, Err: err}
	case err != nil:
		return err
	}
	if err := writeReport(env, f.report, result); err != nil {
		return err
	}
	switch {
	case result.Failed > 0:
		return &ExitError{Code: ExitFailure}
	case env.Context.Err() != nil && (f.length > 0 || f.count > 0 || !f.loop):
		return &ExitError{Code: ExitInterrupted}
	}
	return nil
}

// loads are the actions, and the background load: noise, or a recorded
// workload; nil for none. Without actions, the workload is the whole load.
func (f *runFlags) loads(cmd *cobra.Command, args []string) (o generator.Options, background *generator.Options, err error) {
	if err := f.replayFlags.check(cmd, args); err != nil {
		return o, nil, err
	}
	alerts, err := f.alertRate()
	if err != nil {
		return o, nil, err
	}
	if f.replayFlags.profile != "" {
		workload, err := f.replay()
		if err != nil || alerts == 0 {
			return workload, nil, err
		}
		background, f.rate, f.length = &workload, alerts, workload.Duration
	}
	if o, err = f.options(cmd, args); err != nil {
		return o, nil, err
	}
	if f.noise > 0 {
		noise := generator.Noise(f.noise)
		background = &noise
	}
	return o, background, nil
}

func (f *runFlags) options(cmd *cobra.Command, args []string) (generator.Options, error) {
	o := generator.Options{Count: f.count, Duration: f.length, Workers: f.workers, Seed: f.seed, Order: generator.Order(f.order), Discard: true}
	var err error
	if o.Actions, err = f.choices(args); err != nil {
		return o, err
	}
	if err := generator.Weigh(o.Actions, f.weights); err != nil {
		return o, asUsage(err)
	}
	if o.Sandbox, err = f.sandbox(); err != nil {
		return o, err
	}
	onCluster := slices.ContainsFunc(o.Actions, func(c generator.Choice) bool { return strings.HasPrefix(c.Name, "k8saudit.") })
	if o.Kubernetes, err = f.kubernetes(cmd.Flags(), onCluster); err != nil {
		return o, err
	}
	if !cmd.Flags().Changed("seed") {
		o.Seed = uint64(time.Now().UnixNano())
	}
	paced := f.rate != 0 || len(f.ramp) > 0
	switch {
	case paced && cmd.Flags().Changed("sleep"), f.rate != 0 && len(f.ramp) > 0:
		return o, usagef("--rate, --ramp and --sleep are mutually exclusive")
	case len(f.ramp) > 0 && (len(f.ramp) != 2 || f.length == 0):
		return o, usagef("--ramp needs two rates, FROM,TO, and --for")
	case len(f.ramp) == 2:
		o.Pacer = pace.Ramp{From: f.ramp[0], To: f.ramp[1], For: f.length}
	case f.rate != 0:
		o.Pacer = pace.Constant{Rate: f.rate}
	default:
		o.Pacer = pace.Sleep{For: f.sleep}
	}
	if !f.loop && f.count == 0 && f.length == 0 {
		o.Passes = 1
	}
	return o, asUsage(o.Check())
}

// startBackground runs the background load until stop is called.
func startBackground(ctx context.Context, o generator.Options, background *generator.Options) (stop func(), wait func() error) {
	if background == nil {
		return func() {}, func() error { return nil }
	}
	ctx, stop = context.WithCancel(ctx)
	b := *background
	b.Sandbox, b.Abort, b.Seed = o.Sandbox, o.Abort, o.Seed
	done := make(chan error, 1)
	go func() {
		_, err := generator.Spawn(ctx, b)
		done <- err
	}()
	return stop, func() error { return <-done }
}

// secondSignal closes abort when a signal comes in after the one that ended
// ctx.
func secondSignal(ctx context.Context, log *eventlog.Logger, abort, stopped chan struct{}) {
	select {
	case <-ctx.Done():
	case <-stopped:
		return
	}
	log.Log(eventlog.Info, "received signal, shutting down", eventlog.Fields{"hint": "once more ends it at once"})
	again := make(chan os.Signal, 1)
	signal.Notify(again, endings(nil)...)
	defer signal.Stop(again)
	select {
	case <-again:
		close(abort)
	case <-stopped:
	}
}

// writeReport writes a result as JSON to a file, "-" for standard output.
func writeReport(env Env, name string, result *generator.Result) error {
	switch name {
	case "":
		return nil
	case "-":
		return result.WriteJSON(env.Stdout)
	}
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(result.WriteJSON(file), file.Close())
}
