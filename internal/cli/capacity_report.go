package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/peregrine-sec/peregrine/internal/capacity/compare"
	"github.com/peregrine-sec/peregrine/internal/capacity/report"
	"github.com/peregrine-sec/peregrine/internal/capacity/run"
	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/sample"
)

func newCapacityReport(env Env) *cobra.Command {
	var format, out string
	cmd := &cobra.Command{
		Use:   "report DIR",
		Short: "Print the report of an earlier run, in any format",
		Example: `  peregrine capacity report june
  peregrine capacity report june --format markdown >> "$GITHUB_STEP_SUMMARY"
  peregrine capacity report june --format html --out june.html`,
		Args: exactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			result, err := run.Load(args[0])
			if err != nil {
				return err
			}
			known := report.Format(format)
			if out == "" {
				known = env.reportFormat(format)
			}
			return env.into(out, func(w io.Writer) error {
				return asUsage(report.Write(w, known, result))
			})
		},
	}
	choiceFlag(cmd, cmd.Flags(), &format, "format", "output format", "text", "markdown", "csv", "json", "html")
	reportOut(cmd.Flags(), &out)
	return cmd
}

func exactArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == n:
			return nil
		case n == 0:
			return fmt.Errorf("unexpected argument %q; see '%s --help'", args[0], cmd.CommandPath())
		}
		return fmt.Errorf("arguments: expected %d, got %d: %s", n, len(args), cmd.UseLine())
	}
}

// reportOut adds --out to a command that writes the report of an earlier run.
func reportOut(flags *pflag.FlagSet, name *string) {
	flags.StringVar(name, "out", "", "file for the report (default: standard output)")
}

// into writes a report to a file, or to standard output without a name. The
// file is replaced once the report is complete: a failure leaves the old one.
func (env Env) into(name string, write func(io.Writer) error) error {
	if name == "" {
		return write(env.Stdout)
	}
	var whole bytes.Buffer
	if err := write(&whole); err != nil {
		return err
	}
	if err := os.WriteFile(name, whole.Bytes(), 0o644); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	return nil
}

func newCapacityCompare(env Env) *cobra.Command {
	return &cobra.Command{
		Use:   "compare A B",
		Short: "Say whether run B is better or worse than run A",
		Long: `Compare shows two runs side by side, limit by limit: versions, rule sets,
sensors or machines. A and B are directories of runs, or directories that
contain several runs, which are pooled. Runs are compared in operations/s of the
generator, so they must use the same load.

With at least four rows per limit on each side, the Mann-Whitney test decides.
With fewer rows, one side is better if it sustained a load at or below which the
other side failed in three rounds. Compare ignores lower bounds and rows of a
noisy or busy machine.

Exit codes: 0 same or better, 4 inconclusive, 99 worse.`,
		Example: `  peregrine capacity compare before after
  peregrine capacity compare falco-0.43/ falco-0.44/`,
		Args: exactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			a, b, err := both(args, run.LoadAll)
			if err != nil {
				return err
			}
			c, err := compare.Compare(a, b)
			if err != nil {
				return asUsage(err)
			}
			return printComparison(env, c)
		},
	}
}

func printComparison(env Env, c compare.Comparison) error {
	fmt.Fprintf(env.Stdout, "A: %s\nB: %s\n\n", c.A, c.B)
	table := tabwriter.NewWriter(env.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "CPU\tMemory\tA operations/s\tB operations/s\tDifference\tp\tChange")
	for _, d := range c.Rows {
		cpu := d.Limit.CPUString()
		if d.Sensor != "" {
			cpu = d.Sensor + " " + cpu
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%.3f\t%s\n", cpu, d.Limit.MemoryString(), interval(d.A), interval(d.B), delta(d), d.P, d.Change)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, d := range c.Rows {
		if d.Why != "" {
			fmt.Fprintf(env.Stdout, "%s: %s: %s\n", d.Limit, d.Change, d.Why)
		}
	}
	return env.conclude(c.Notes, c.Overall)
}

func delta(d compare.Difference) string {
	if d.A.N == 0 || d.B.N == 0 {
		return "-"
	}
	return fmt.Sprintf("%+.1f %%", 100*d.Delta)
}

func interval(i sample.Interval) string {
	switch {
	case i.N == 0:
		return "-"
	case i.N == 1:
		return human.Number(i.Median)
	}
	return fmt.Sprintf("%s (%s-%s, n=%d)", human.Number(i.Median), human.Number(i.Low), human.Number(i.High), i.N)
}

// reportFormat is the format that a flag names. Text has colours on a terminal.
func (env Env) reportFormat(name string) report.Format {
	if f, ok := env.Stdout.(*os.File); ok && name == string(report.Text) && isTerminal(f) && env.colors() {
		return report.Terminal
	}
	return report.Format(name)
}
