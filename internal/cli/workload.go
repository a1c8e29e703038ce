package cli

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/peregrine-sec/peregrine/internal/bench/run"
	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/profile"
)

// readWorkload reads a profile to replay in a place; notes are the differences
// of the replay.
func readWorkload(path string, place generator.SandboxOptions) (p *profile.Profile, notes []string, err error) {
	if p, err = profile.ReadFile(path); err != nil {
		return nil, nil, err
	}
	o, notes, err := generator.Replay(p, 1, 0)
	if err != nil {
		return nil, nil, err
	}
	if notes, err = differences(o, notes, place); err != nil {
		return nil, nil, err
	}
	for i, note := range notes {
		notes[i] = "the replay differs from the recording: " + note
	}
	return p, notes, nil
}

// differences adds to the notes of a replay the calls made elsewhere than they
// were recorded.
func differences(o generator.Options, notes []string, place generator.SandboxOptions) ([]string, error) {
	o.Sandbox = place
	misplaced, err := generator.Misplaced(o)
	if misplaced != "" {
		notes = append(notes, misplaced)
	}
	return notes, err
}

// perSecond reads "50/s", which cannot be a source of alerts.
func perSecond(text string) (rate float64, is bool) {
	number, ok := strings.CutSuffix(strings.TrimSpace(text), "/s")
	if !ok {
		return 0, false
	}
	rate, err := human.ParseRate(number)
	return rate, err == nil
}

// workload returns the load of --load: a mix, or a profile; nil for a mix.
func (f *capacityRunFlags) workload() (load capacity.Load, p *profile.Profile, notes []string, err error) {
	alerts := f.alertRate
	if rate, is := perSecond(f.alerts); is {
		alerts, f.alerts = rate, ""
	}
	load, err = capacity.ParseLoad(f.load)
	if err == nil {
		if alerts > 0 {
			err = usagef("additional alerts per second need a recorded workload: give --load FILE; for a ratio of alerts to other syscalls, give --load 1:50")
		}
		return load, nil, nil, err
	}
	if _, missing := os.Stat(f.load); missing != nil && !strings.HasSuffix(f.load, ".json") {
		return load, nil, nil, err
	}
	if p, notes, err = readWorkload(f.load, generator.SandboxOptions{}); err != nil {
		return load, nil, nil, err
	}
	return capacity.Load{Alerts: alerts, Others: p.Rate, Workload: filepath.Base(f.load), Burst: p.Bursts.Tenth.Max / p.Rate}, p, notes, nil
}

// underWorkload measures each sensor twice: with the workload as recorded over
// time and, if that differs, with its calls evenly spaced.
func underWorkload(stands []namedStand, p *profile.Profile) []namedStand {
	if p == nil {
		return stands
	}
	var all []namedStand
	for _, s := range stands {
		s.options.Profile = p
		bursts := s
		bursts.name = capacity.Bursty(s.name)
		all = append(all, bursts)
		if p.Shape.Windows() > 0 {
			s.name, s.options.Profile = capacity.Steady(s.name), p.Flat()
			all = append(all, s)
		}
	}
	return all
}

// workload makes a recorded workload the background of bench's rounds.
func (f *benchFlags) workload(cmd *cobra.Command, o *run.Options) error {
	if f.load == "" {
		if cmd.Flags().Changed("scale") {
			return usagef("--scale needs --load")
		}
		return nil
	}
	if rate, is := perSecond(f.alerts); is && f.rate == "" {
		f.rate, f.alerts = strconv.FormatFloat(rate, 'f', -1, 64), ""
	}
	switch {
	case cmd.Flags().Changed("noise"):
		return usagef("--load and --noise are mutually exclusive: both are background syscalls")
	case f.rate == "":
		return usagef("--load needs a rate for the actions on top of it, such as --rate 50")
	case !(f.scale > 0):
		return usagef("--scale %g: must be above 0", f.scale)
	}
	p, notes, err := readWorkload(f.load, o.Bench.Sandbox)
	if err != nil {
		return asUsage(err)
	}
	o.Bench.Profile, o.Noise, o.Notes = p, p.Rate*f.scale, notes
	return nil
}
