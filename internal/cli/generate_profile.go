package cli

import (
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/internal/generator/eventlog"
	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/profile"
)

// replayFlags make a recorded workload the load of generate run.
type replayFlags struct {
	profile string
	scale   float64
	alerts  string
}

func (f *replayFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.profile, "profile", "", "replay a recorded workload (a profile file)")
	flags.Float64Var(&f.scale, "scale", 1, "multiply the recorded workload by this factor")
	flags.StringVar(&f.alerts, "alerts", "", "additional actions per second, such as 50/s (REGEXP selects them)")
	group(flags, "Replay", "profile", "scale", "alerts")
}

// check says which flags do not go together.
func (f *replayFlags) check(cmd *cobra.Command, args []string) error {
	given := cmd.Flags().Changed
	if f.profile == "" {
		if given("scale") || given("alerts") {
			return usagef("--scale and --alerts need --profile")
		}
		return nil
	}
	for _, other := range []string{"rate", "ramp", "sleep", "loop", "count", "order", "noise"} {
		if given(other) {
			return usagef("--profile and --%s are mutually exclusive: the workload has its own pace", other)
		}
	}
	if f.alerts == "" && (len(args) > 0 || given("weights")) {
		return usagef("actions on top of a workload need a rate, such as --alerts 50/s")
	}
	return nil
}

// alertRate is actions per second; 0 for none.
func (f *replayFlags) alertRate() (float64, error) {
	if f.alerts == "" {
		return 0, nil
	}
	rate, err := human.ParseRate(strings.TrimSuffix(strings.TrimSpace(f.alerts), "/s"))
	if err != nil {
		return 0, usagef("--alerts: %w", err)
	}
	return rate, nil
}

// replay is the workload; without --for, it lasts as long as the recording.
func (f *runFlags) replay() (generator.Options, error) {
	p, err := profile.ReadFile(f.replayFlags.profile)
	if err != nil {
		return generator.Options{}, err
	}
	o, notes, err := generator.Replay(p, f.scale, f.length)
	if err != nil {
		return o, asUsage(err)
	}
	if o.Sandbox, err = f.sandbox(); err != nil {
		return o, err
	}
	place := o.Sandbox
	place.Image = f.image // which is found or made later
	if notes, err = differences(o, notes, place); err != nil {
		return o, err
	}
	for _, note := range notes {
		f.log.Log(eventlog.Warn, "replay differs from the recording", eventlog.Fields{"how": note})
	}
	o.Duration = f.length
	if o.Duration == 0 {
		o.Duration = max(time.Duration(p.Shape.Windows())*profile.Window, time.Second)
	}
	if f.workers > o.Workers {
		o.Workers = f.workers
	}
	o.Seed = f.seed
	return o, nil
}
