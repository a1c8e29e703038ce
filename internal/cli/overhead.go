package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/peregrine-sec/peregrine/internal/bench/overhead"
	"github.com/peregrine-sec/peregrine/internal/bench/target"
)

// overheadFlags are those of overhead.
type overheadFlags struct {
	sensorFlags
	pairs    int
	duration time.Duration
	cpu      int
	program  string
	output   string
	quiet    bool
}

func newOverhead(env Env) *cobra.Command {
	f := &overheadFlags{}
	cmd := &cobra.Command{
		Use:   "overhead [-- SENSOR FLAGS]",
		Short: "Measure how much a sensor slows down the programs it watches",
		Long: `Overhead measures the time of fixed mixes of syscalls, and of a real program,
with and without the sensor. It interleaves the two in pairs to cancel out drift
of the machine, and prints the difference with its confidence interval.

It starts and stops the sensor for each pair: Peregrine's own by default, or the
command of --sensor. It cannot measure a sensor that is already running.`,
		Example: `  peregrine overhead
  peregrine overhead --pairs 12 --duration 1s --program 'find /usr -xdev -name none'
  peregrine overhead -- -r my_rules.yaml
  peregrine overhead --sensor 'falco -c /etc/falco/falco.yaml -o json_output=true' --ready 'Opening'`,
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(env, cmd, args) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.sensor, "sensor", "embedded", "sensor to measure: embedded (its flags follow --), or a command that starts a sensor")
	flags.StringVar(&f.ready, "ready", "", "text in the standard error of a --sensor command that shows it is ready")
	flags.BoolVar(&f.verbose, "sensor-log", false, "show the sensor's log")
	flags.IntVar(&f.pairs, "pairs", 6, "number of pairs of measurements; at least 6 for 95 % confidence")
	flags.DurationVar(&f.duration, "duration", 500*time.Millisecond, "duration of each measurement")
	flags.IntVar(&f.cpu, "cpu", 0, "CPU on which the workloads run; -1 for any")
	_ = flags.SetAnnotation("cpu", negativeKey, nil) // the error says that the flag does not exist
	flags.StringVar(&f.program, "program", "find /usr/bin /usr/lib -xdev -name none", "program to measure, as a command; empty for none")
	choiceFlag(cmd, flags, &f.output, "format", "format of the results", "text", "json")
	completeFlag(cmd, "sensor", "embedded")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "show no progress")
	return cmd
}

func (f *overheadFlags) run(env Env, cmd *cobra.Command, args []string) error {
	if f.sensor == "running" {
		return usagef("--sensor running: overhead must start and stop the sensor itself; give the command that starts it")
	}
	dir, err := os.MkdirTemp("", "peregrine-overhead-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	f.interval = time.Second
	o := overhead.Options{Workloads: overhead.Workloads(), Pairs: f.pairs, Duration: f.duration, CPU: f.cpu}
	if f.program != "" {
		o.Workloads = append(o.Workloads, overhead.Program(f.program))
	}
	if o.Target, err = f.target(env, cmd, dir, args); err != nil {
		return err
	}
	fmt.Fprintf(env.Stderr, "sensor under test: %s\n", target.Identify(cmd.Context(), o.Target.PID(), o.Target.Command()))
	o.Say = newProgress(env, f.quiet).say
	result, err := overhead.Run(cmd.Context(), o)
	if result != nil && result.Pairs > 0 {
		err = errors.Join(err, f.write(env, result))
	}
	if env.Context.Err() != nil {
		return &ExitError{Code: ExitInterrupted, Err: fmt.Errorf("interrupted after %d pairs", result.Pairs)}
	}
	return err
}

func (f *overheadFlags) write(env Env, r *overhead.Result) error {
	if f.output == "text" {
		return r.Write(env.Stdout)
	}
	e := json.NewEncoder(env.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
