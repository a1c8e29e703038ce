package cli

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/profile"
	"github.com/peregrine-sec/peregrine/internal/profile/record"
	"github.com/peregrine-sec/peregrine/internal/profile/show"
)

func newProfileRecord(env Env) *cobra.Command {
	var o record.Options
	var out string
	var quiet bool
	cmd := &cobra.Command{
		Use:   "record",
		Short: "Record a profile of this host",
		Long: `Record counts the syscalls of all processes on this host, in the kernel, and
writes them as a profile. It needs no sensor.

Like a sensor, it attaches to the exit of every syscall. It adds about 30 ns to
the cost of an empty program there. It tells containers from the host by their
process namespace; a container that shares the host's counts as the host.

Ctrl-C ends the recording and writes the profile.`,
		Example: `  sudo peregrine profile record --for 10m --out node.json
  sudo peregrine profile record --with-paths`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if out == "" {
				out = "peregrine-profile-" + time.Now().UTC().Format("20060102-150405") + ".json"
			}
			return recordProfile(env, o, out, quiet)
		},
	}
	flags := cmd.Flags()
	flags.DurationVar(&o.For, "for", 10*time.Minute, "duration of the recording; 0 for until Ctrl-C")
	flags.BoolVar(&o.Paths, "with-paths", false, "include the most frequent paths; the profile is then no longer anonymous")
	flags.StringVarP(&out, "out", "o", "", "file to write, - for standard output (default peregrine-profile-TIME.json)")
	flags.BoolVarP(&quiet, "quiet", "q", false, "show no progress and no summary")
	return cmd
}

func recordProfile(env Env, o record.Options, out string, quiet bool) error {
	if o.For < 0 {
		return usagef("--for %v: must not be negative", o.For)
	}
	if os.Geteuid() != 0 {
		return &ExitError{Code: ExitPreflight, Err: fmt.Errorf("profile record loads a BPF program: run it as root")}
	}
	if out == "-" {
		p, err := runRecord(env, o, quiet)
		if err != nil {
			return err
		}
		return p.Write(env.Stdout)
	}
	file, err := profile.Create(out) // before a recording that could not be kept
	if err != nil {
		return err
	}
	p, err := runRecord(env, o, quiet)
	if err != nil {
		return errors.Join(err, file.Discard())
	}
	if err := file.Write(p); err != nil || quiet {
		return err
	}
	if err := show.Text(env.Stdout, p, show.Options{Rows: 20}); err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.Stdout, "\nprofile: %s\n", out)
	return err
}

// runRecord records with progress lines.
func runRecord(env Env, o record.Options, quiet bool) (*profile.Profile, error) {
	progress := newProgress(env, quiet)
	length := "until Ctrl-C"
	if o.For > 0 {
		length = "of " + human.Duration(o.For)
	}
	o.Progress = func(elapsed time.Duration, rate float64) {
		progress.overwrite(fmt.Sprintf("recording: %s %s, %s syscalls/s", human.Duration(elapsed.Truncate(time.Second)), length, human.Number(rate)))
	}
	p, err := record.Run(env.Context, o)
	progress.clear()
	if err == nil && p.Seconds == 0 {
		err = &ExitError{Code: ExitInterrupted, Err: fmt.Errorf("interrupted before anything was recorded")}
	}
	return p, err
}
