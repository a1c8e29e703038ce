package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/peregrine-sec/peregrine/internal/capacity/limit"
	"github.com/peregrine-sec/peregrine/internal/capacity/run"
	"github.com/peregrine-sec/peregrine/internal/capacity/stand"
	"github.com/peregrine-sec/peregrine/internal/generator/action"
)

// testedFlags say which sensor is measured, and how it is reached.
type testedFlags struct {
	config, falco               string
	rules                       []string
	pid, unit, container, pod   string
	dockerSocket, alerts, stats string
}

func (f *testedFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.config, "sensor-config", "", "configuration file of the sensor (default: its own default)")
	flags.StringSliceVarP(&f.rules, "rules", "r", nil, "rules `FILE` of the sensor (default: its own default)")
	flags.StringVar(&f.falco, "falco", "", "path of the Falco binary (default: from PATH or /usr/bin)")
	flags.StringVar(&f.pid, "pid", "", "a running sensor: process id, or name if only one process has it")
	flags.StringVar(&f.unit, "unit", "", "a running sensor: systemd unit")
	flags.StringVar(&f.container, "container", "", "a running sensor: Docker container")
	flags.StringVar(&f.pod, "pod", "", "a running sensor: ID of its container in a Kubernetes pod on this node; the pod's limits apply, and paths in --alerts and --stats are paths in the container")
	flags.StringVar(&f.dockerSocket, "docker-socket", limit.DockerSocket, "socket of the Docker daemon")
	flags.StringVar(&f.alerts, "alerts", "", "where to receive a running sensor's alerts: http, http://HOST:PORT, grpc, unix:PATH or file:PATH")
	flags.StringVar(&f.stats, "stats", "", "a running sensor's stats file or metrics URL")
}

func (f *testedFlags) running() bool {
	return f.pid != "" || f.unit != "" || f.container != "" || f.pod != ""
}

// namedStand is one of the sensors of a run; the only one has no name.
type namedStand struct {
	name    string
	options stand.Options
}

// stands are the sensors that the flags select.
func (f *capacityRunFlags) stands(env Env, args []string) ([]namedStand, error) {
	if len(f.variants) > 0 {
		return f.variantStands(env, args)
	}
	switch {
	case f.running() && len(f.sensors) > 0:
		return nil, errors.New("--sensor starts a sensor, while --pid, --unit, --container and --pod name a running one: give one of them, or a --variant for each")
	case len(f.sensors) < 2:
		kind := strings.Join(f.sensors, "")
		o, err := f.stand(env, &f.testedFlags, kind, args)
		return []namedStand{{"", o}}, err
	}
	var all []namedStand
	for _, kind := range f.sensors {
		o, err := f.stand(env, &f.testedFlags, kind, args)
		if err != nil {
			return nil, err
		}
		all = append(all, namedStand{kind, o})
	}
	return all, distinct(all)
}

// variantStands reads each --variant NAME=FLAGS.
func (f *capacityRunFlags) variantStands(env Env, args []string) ([]namedStand, error) {
	if len(f.sensors) > 0 || f.running() {
		return nil, errors.New("--variant names its sensor itself: put --sensor, --pid, --unit, --container or --pod into its FLAGS")
	}
	var all []namedStand
	for _, text := range f.variants {
		name, line, ok := strings.Cut(text, "=")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, fmt.Errorf("--variant %q: expected NAME=FLAGS, such as 'new=--rules new.yaml'", text)
		}
		variant, kind := testedFlags{}, ""
		flags := pflag.NewFlagSet(name, pflag.ContinueOnError)
		flags.SetOutput(io.Discard)
		variant.add(flags)
		flags.StringVar(&kind, "sensor", "", "")
		if err := flags.Parse(strings.Fields(line)); err != nil {
			return nil, fmt.Errorf("--variant %s: %w: expected flags for the sensor, such as --sensor, --rules, --sensor-config, --falco, and -- before flags of its own", name, err)
		}
		o, err := f.stand(env, &variant, kind, append(slices.Clone(args), flags.Args()...))
		if err != nil {
			return nil, fmt.Errorf("--variant %s: %w", name, err)
		}
		all = append(all, namedStand{name, o})
	}
	return all, distinct(all)
}

// distinct refuses two sensors of one name.
func distinct(all []namedStand) error {
	seen := map[string]bool{}
	for _, s := range all {
		if seen[s.name] {
			return fmt.Errorf("two sensors are called %q: name each with --variant NAME=FLAGS", s.name)
		}
		seen[s.name] = true
	}
	return nil
}

// stand is one sensor.
func (f *capacityRunFlags) stand(env Env, of *testedFlags, kind string, args []string) (stand.Options, error) {
	o := stand.Options{Kind: stand.Kind(kind), Config: of.config, Rules: of.rules, Args: args, Program: of.falco,
		Unit: of.unit, Container: of.container, Pod: of.pod, DockerSocket: of.dockerSocket, Alerts: of.alerts, Stats: of.stats,
		CountSyscalls: f.counts, Seed: f.seed, Force: f.force, Log: io.Discard}
	if f.verbose {
		o.Log = env.Stderr
	}
	switch {
	case of.running() && kind != "":
		return o, errors.New("--sensor starts a sensor, while --pid, --unit, --container and --pod name a running one: give one of them")
	case of.running():
		o.Kind = stand.Running
	case kind == "":
		o.Kind = stand.Embedded
	}
	var err error
	if of.pid != "" {
		if o.PID, err = findProcess("/proc", of.pid); err != nil {
			return o, err
		}
	}
	o.Actions, err = action.Select(f.actions, true)
	return o, err
}

// openStands gives each sensor a directory of its own in the run's.
func openStands(ctx context.Context, stands []namedStand, dir string) ([]run.Variant, error) {
	var all []run.Variant
	for i, s := range stands {
		s.options.Dir = dir
		if len(stands) > 1 {
			s.options.Dir = filepath.Join(dir, fmt.Sprintf("sensor-%d", i+1))
			if err := os.MkdirAll(s.options.Dir, 0o755); err != nil {
				return nil, err
			}
		}
		opened, err := stand.New(ctx, s.options)
		if err != nil {
			return nil, err
		}
		all = append(all, run.Variant{Name: s.name, Stand: opened})
	}
	return all, nil
}
