package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/live"
	"github.com/peregrine-sec/peregrine/internal/page"
	"github.com/peregrine-sec/peregrine/internal/profile"
	"github.com/peregrine-sec/peregrine/internal/profile/record"
	"github.com/peregrine-sec/peregrine/internal/profile/show"
)

func newProfileRecord(env Env) *cobra.Command {
	var o record.Options
	var out string
	var quiet bool
	var watch watchFlags
	cmd := &cobra.Command{
		Use:   "record",
		Short: "Record a profile of this host",
		Long: `Record counts the syscalls of all processes on this host, in the kernel, and
writes them as a profile. It needs no sensor.

Like a sensor, it attaches a program to the exit of every syscall. An empty
program there costs about 50 ns per syscall; counting adds about 5 ns. A process
in its own pid namespace counts as in a container, so a container that shares
the host's counts as the host.

Ctrl-C ends the recording and writes the profile.`,
		Example: `  sudo peregrine profile record --for 10m --out node.json
  sudo peregrine profile record --with-paths
  sudo peregrine profile record --for 1h --web 8080`,
		Args: exactArgs(0),
		RunE: func(*cobra.Command, []string) error {
			if out == "" {
				out = "peregrine-profile-" + time.Now().UTC().Format("20060102-150405") + ".json"
			}
			return recordProfile(env, o, out, quiet, watch)
		},
	}
	flags := cmd.Flags()
	flags.DurationVar(&o.For, "for", 10*time.Minute, "duration of the recording; 0 for until Ctrl-C")
	flags.BoolVar(&o.Paths, "with-paths", false, "include the most frequent paths; the profile is then no longer anonymous")
	flags.BoolVar(&o.Containers, "containers", false, "record containers only")
	flags.StringVarP(&out, "out", "o", "", "file to write, - for standard output (default peregrine-profile-TIME.json)")
	flags.BoolVarP(&quiet, "quiet", "q", false, "show no progress and no summary")
	watch.add(cmd)
	return cmd
}

func recordProfile(env Env, o record.Options, out string, quiet bool, watch watchFlags) error {
	if o.For < 0 {
		return usagef("--for %v: must not be negative", o.For)
	}
	if os.Geteuid() != 0 {
		return &ExitError{Code: ExitPreflight, Err: fmt.Errorf("profile record loads a BPF program: run it as root")}
	}
	if out == "-" {
		p, err := runRecord(env, o, quiet, watch)
		if err != nil {
			return err
		}
		return p.Write(env.Stdout)
	}
	file, err := profile.Create(out) // before a recording that could not be kept
	if err != nil {
		return err
	}
	p, err := runRecord(env, o, quiet, watch)
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

// recordBoard is the dashboard of a recording.
func recordBoard() live.Board {
	return live.Board{Title: "Recording a profile", Charts: []page.Chart{
		{Wide: true, Caption: "Syscalls per second: on the host, in containers, and those of both that failed", Lines: []page.Line{
			{Name: "host", Color: "accent"}, {Name: "containers", Color: "load"}, {Name: "failed", Color: "drops", Dash: page.Dashed}}},
		{Wide: true, Caption: "Processes started per second", Lines: []page.Line{{Name: "processes", Color: "good"}}},
	}}
}

// runRecord records, and shows the progress.
func runRecord(env Env, o record.Options, quiet bool, flags watchFlags) (*profile.Profile, error) {
	watch, err := flags.open(env, recordBoard(), quiet, false)
	if err != nil {
		return nil, err
	}
	defer watch.end("")
	length := "until Ctrl-C"
	if o.For > 0 {
		length = "of " + human.Duration(o.For)
	}
	o.Progress = func(m record.Moment) {
		phase := fmt.Sprintf("recording: %s %s, %s syscalls/s", human.Duration(m.Elapsed.Truncate(time.Second)), length, human.Number(m.Host+m.Container))
		watch.lines.overwrite(phase)
		watch.show(live.Update{Phase: phase, Values: page.Values{m.Host, m.Container, m.Failed, m.Starts}})
	}
	p, err := record.Run(env.Context, o)
	if err != nil {
		return nil, err
	}
	if p.Seconds == 0 {
		return nil, &ExitError{Code: ExitInterrupted, Err: fmt.Errorf("interrupted before anything was recorded")}
	}
	var html strings.Builder
	if watch.page != nil {
		if err := show.HTML(&html, p); err != nil {
			return nil, err
		}
	}
	watch.end(html.String())
	return p, nil
}
