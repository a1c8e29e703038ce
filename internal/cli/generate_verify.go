package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/peregrine-sec/peregrine/internal/bench/intake"
	"github.com/peregrine-sec/peregrine/internal/endpoint"
	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/generator/eventlog"
	"github.com/peregrine-sec/peregrine/internal/generator/verify"
)

func newGenerateTest(env Env, f *generateFlags) *cobra.Command {
	var junit string
	sensor := &sensorFlags{}
	o := verify.Options{Spawn: generator.Spawn}
	cmd := &cobra.Command{
		Use:   "test [REGEXP]",
		Short: "Test that actions fire their rule in a running sensor",
		Long: `Test runs each action and waits for the running sensor's alert. Noise actions
pass if no alert arrives. The exit code is 1 if an action failed.

Test receives alerts over HTTP (Falco's http_output) or gRPC, or reads the JSON
lines of a sensor with json_output=true, from a file or standard input.`,
		Example: `  peregrine generate test --alerts /var/log/falco.json
  falco -o json_output=true | peregrine generate test --all --alerts -
  peregrine generate test --http-server-address localhost:8080
  peregrine generate test '^noise' --alerts alerts.json --junit report.xml`,
		Args: generateArgs,
		RunE: func(cmd *cobra.Command, args []string) (failed error) {
			var err error
			if o.Actions, err = f.selected(strings.Join(args, "")); err != nil {
				return err
			}
			if o.Sandbox, err = f.sandbox(); err != nil {
				return err
			}
			leave, err := f.contain(env.Context, &o.Sandbox)
			if err != nil {
				return err
			}
			defer func() { failed = errors.Join(failed, leave()) }()
			onCluster := slices.ContainsFunc(o.Actions, func(a *action.Action) bool { return a.Collection() == "k8saudit" })
			if o.Kubernetes, err = f.kubernetes(cmd.Flags(), onCluster); err != nil {
				return err
			}
			if o.Source, err = alertSource(env, cmd, sensor); err != nil {
				return &ExitError{Code: ExitPreflight, Err: err}
			}
			defer func() { failed = errors.Join(failed, o.Source.Close()) }()
			return runVerify(env.Context, f.log, o, junit)
		},
	}
	flags := cmd.Flags()
	f.selection(flags)
	f.place(flags)
	flags.StringVar(&sensor.alerts, "alerts", "", "where to receive the sensor's alerts: a file of JSON lines, - for standard input, http, grpc or unix:PATH")
	sensor.roads(flags)
	flags.DurationVar(&o.Timeout, "test-timeout", time.Minute, "how long to wait for an alert")
	flags.DurationVar(&o.Settle, "settle", 2*time.Second, "how long to wait at the end for unexpected alerts")
	flags.BoolVar(&o.Exact, "exact", false, "fail actions that also fire other rules")
	flags.StringVar(&junit, "junit", "", "write a JUnit report to this file")
	group(flags, "Test", "alerts", "test-timeout", "settle", "exact", "junit")
	groupReceiving(flags)
	groupGenerate(flags)
	return cmd
}

// alertSource opens the sensor's alerts; files, which have to be there, from
// their present end on.
func alertSource(env Env, cmd *cobra.Command, sensor *sensorFlags) (verify.Source, error) {
	sensor.imply(cmd)
	if sensor.alerts == "" {
		return nil, errors.New("test needs the sensor's alerts: --alerts FILE, stdin, http, grpc or unix:PATH")
	}
	if from, err := endpoint.ParseAlerts(sensor.alerts); err == nil && from.Kind == endpoint.File {
		file, err := os.Open(from.Path)
		if err != nil {
			return nil, fmt.Errorf("alerts: %w", err)
		}
		if _, err := file.Seek(0, io.SeekEnd); err != nil {
			return received{intake.NewReader(file, true)}, nil // a named pipe has no end to go to
		}
		if err := file.Close(); err != nil {
			return nil, err
		}
	}
	sensor.intake.Texts = true
	source, err := sensor.source(cmd, env)
	return received{source}, err
}

// received adapts bench's intake to verify.
type received struct{ intake.Source }

var _ verify.Source = received{}

// Next implements verify.Source.
func (r received) Next(ctx context.Context) ([]verify.Alert, error) {
	batch, err := r.Source.Next(ctx)
	if errors.Is(err, intake.ErrClosed) {
		return nil, io.EOF
	}
	var alerts []verify.Alert
	for _, a := range batch {
		alerts = append(alerts, verify.Alert{Rule: a.Rule, Source: a.Source, Time: time.Unix(0, a.Time), Text: a.Text, Processes: verify.Processes(a.Text)})
	}
	return alerts, err
}

func runVerify(ctx context.Context, log *eventlog.Logger, o verify.Options, junit string) error {
	outcomes, err := verify.Run(ctx, o, func(outcome verify.Outcome) { logOutcome(log, outcome) })
	counts := map[verify.Status]int{}
	for _, outcome := range outcomes {
		counts[outcome.Status]++
		if len(outcome.Also) > 0 {
			log.Log(eventlog.Warn, "other rules fired", eventlog.Fields{"action": outcome.Action.Name, "rules": strings.Join(outcome.Also, ", ")})
		}
	}
	log.Log(eventlog.Info, "tests finished", eventlog.Fields{"passed": counts[verify.Passed], "failed": counts[verify.Failed], "errors": counts[verify.Errored], "skipped": counts[verify.Skipped]})
	if junit != "" {
		file, cerr := os.Create(junit)
		if cerr != nil {
			return errors.Join(err, cerr)
		}
		err = errors.Join(err, verify.WriteJUnit(file, outcomes), file.Close())
	}
	switch {
	case ctx.Err() != nil:
		return &ExitError{Code: ExitInterrupted}
	case err != nil:
		return err
	case counts[verify.Failed]+counts[verify.Errored] > 0:
		return &ExitError{Code: ExitFailure}
	}
	return nil
}

// sourceOf is the source of the events that an action's rule looks at.
func sourceOf(a *action.Action) string {
	if a.Needs.Place == action.Cluster {
		return "k8s_audit"
	}
	return "syscall"
}

// logOutcome uses event-generator's words.
func logOutcome(log *eventlog.Logger, o verify.Outcome) {
	fields := eventlog.Fields{"action": o.Action.Name}
	switch o.Status {
	case verify.Passed:
		if o.Action.Rule != "" {
			fields["rule"], fields["source"], fields["latency"] = o.Action.Rule, sourceOf(o.Action), o.Latency
		}
		log.Log(eventlog.Info, "test passed", fields)
	case verify.Skipped:
		if o.Action.Collection() == "helper" {
			log.Log(eventlog.Info, "test skipped for helpers", fields)
			return
		}
		fields["reason"] = o.Detail
		log.Log(eventlog.Warn, "action skipped", fields)
	default:
		fields["error"] = o.Detail
		log.Log(eventlog.Error, "action error", fields)
	}
}
