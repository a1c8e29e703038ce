package cli

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/report"
	"github.com/peregrine-sec/peregrine/internal/capacity/rundir"
	"github.com/peregrine-sec/peregrine/internal/sample"
)

func newCapacityReport(env Env) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "report DIR",
		Short: "Write the report of an earlier run again, in any format",
		Example: `  peregrine capacity report june
  peregrine capacity report june --format markdown >> "$GITHUB_STEP_SUMMARY"
  peregrine capacity report june --format html > june.html`,
		Args: exactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			result, err := rundir.Load(args[0])
			if err != nil {
				return err
			}
			if err := report.Write(env.Stdout, report.Format(format), result); err != nil {
				return &ExitError{Code: ExitUsage, Err: err}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&format, "format", string(report.Text), "text, markdown, csv, json or html")
	return cmd
}

func exactArgs(n int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return usagef("%d arguments: expected %d", len(args), n)
		}
		return nil
	}
}

func newCapacityCompare(env Env) *cobra.Command {
	return &cobra.Command{
		Use:   "compare A B",
		Short: "Say whether run B is better or worse than run A",
		Long: `Compare sets two runs side by side, limit by limit: versions, rule sets, sensors
or machines. A and B are directories of runs, or directories that hold several
runs, which are pooled. With four rows of each limit on either side the
Mann-Whitney test decides; with fewer, only bounds that do not overlap do.

Exit codes: 0 same or better, 4 inconclusive, 99 worse.`,
		Example: `  peregrine capacity compare before after
  peregrine capacity compare falco-0.43/ falco-0.44/`,
		Args: exactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			a, err := rundir.LoadAll(args[0])
			if err != nil {
				return err
			}
			b, err := rundir.LoadAll(args[1])
			if err != nil {
				return err
			}
			return printComparison(env, capacity.Compare(a, b))
		},
	}
}

func printComparison(env Env, c capacity.Comparison) error {
	fmt.Fprintf(env.Stdout, "A: %s\nB: %s\n\n", c.A, c.B)
	table := tabwriter.NewWriter(env.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "CPU\tMemory\tA syscalls/s\tB syscalls/s\tDifference\tp\tVerdict")
	for _, d := range c.Rows {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%+.1f %%\t%.3f\t%s\n", d.Limit.CPUString(), d.Limit.MemoryString(), interval(d.A), interval(d.B), 100*d.Delta, d.P, d.Change)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, note := range c.Notes {
		fmt.Fprintf(env.Stdout, "note: %s\n", note)
	}
	fmt.Fprintf(env.Stdout, "\n%s\n", c.Verdict)
	switch c.Verdict {
	case capacity.Worse:
		return &ExitError{Code: ExitThreshold}
	case capacity.Unsure, capacity.Missing:
		return &ExitError{Code: ExitInconclusive}
	}
	return nil
}

func interval(i sample.Interval) string {
	switch {
	case i.N == 0:
		return "-"
	case i.N == 1:
		return fmt.Sprintf("%.0f", i.Median)
	}
	return fmt.Sprintf("%.0f (%.0f-%.0f, %.0f %%, n=%d)", i.Median, i.Low, i.High, 100*i.Confidence, i.N)
}
