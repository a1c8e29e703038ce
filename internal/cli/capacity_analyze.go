package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/peregrine-sec/peregrine/internal/capacity/limit"
	"github.com/peregrine-sec/peregrine/internal/capacity/method"
	"github.com/peregrine-sec/peregrine/internal/sensorstats"
)

func newCapacityAnalyze(env Env) *cobra.Command {
	var statsFile, logFile, cpu, memory string
	var interval time.Duration
	cmd := &cobra.Command{
		Use:   "analyze --stats FILE --log FILE",
		Short: "Derive the capacity from a Falco stats file and an event-generator bench log",
		Long: `Analyze automates the manual evaluation of the test method. It takes the seconds
before the first drop from the stats file and the last round before the drop
from the bench log. It prints the row of the capacity table and the source of
each figure.

It reads stats files of any Falco version (-s FILE or metrics.output_file) and
bench logs of any event-generator version, as text or JSON. Either file alone is
enough.`,
		Example: `  peregrine capacity analyze --stats falco-stats.txt --log bench.log --cpu 1 --memory 512Mi`,
		Args:    exactArgs(0),
		RunE: func(*cobra.Command, []string) error {
			if statsFile == "" && logFile == "" {
				return usagef("nothing to analyze: give --stats, --log or both")
			}
			samples, err := readAll(statsFile, sensorstats.ReadAll)
			if err != nil {
				return err
			}
			rounds, err := readAll(logFile, method.ReadLog)
			if err != nil {
				return err
			}
			a, err := method.Analyze(samples, rounds, interval)
			if err != nil {
				return err
			}
			return a.Write(env.Stdout, cpu, memory)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&statsFile, "stats", "", "stats file of the sensor")
	flags.StringVar(&logFile, "log", "", "log of event-generator bench")
	flags.DurationVar(&interval, "interval", time.Second, "interval between samples, if the stats file does not contain it")
	flags.StringVar(&cpu, "cpu", "", "CPU limit of the sensor, for the row")
	flags.StringVar(&memory, "memory", "", "memory limit of the sensor, for the row")
	return cmd
}

// readAll reads a file, if it is named.
func readAll[T any](path string, read func(io.Reader) (T, error)) (all T, err error) {
	if path == "" {
		return all, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return all, err
	}
	defer f.Close()
	if all, err = read(f); err != nil {
		return all, fmt.Errorf("%s: %w", path, err)
	}
	return all, nil
}

// printUndone tells what a command has undone.
func (env Env) printUndone(done []string, err error, nothing string) {
	if err == nil && len(done) == 0 {
		done = []string{nothing}
	}
	for _, line := range done {
		fmt.Fprintln(env.Stdout, line)
	}
}

func newCapacityRestore(env Env) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "restore",
		Short: "Undo the limits that a killed capacity run left behind",
		Long: `Restore resets the limits that a killed run changed. It does not touch runs that
are still active. The next capacity run does the same before it starts.`,
		Args: exactArgs(0),
		RunE: func(*cobra.Command, []string) error {
			done, err := limit.Recover(dir, limit.Host{})
			env.printUndone(done, err, "nothing to restore")
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "journal-dir", limit.JournalDir, "directory of the journals")
	return cmd
}
