package cli

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/bench/compare"
	"github.com/peregrine-sec/peregrine/internal/bench/report"
	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/sample"
)

func newBenchReport(env Env) *cobra.Command {
	f := &benchFlags{}
	cmd := &cobra.Command{
		Use:   "report DIR",
		Short: "Print the report of an earlier run, in any format or with other conditions",
		Example: `  peregrine bench report peregrine-bench-20260102-150405
  peregrine bench report june --format markdown >> "$GITHUB_STEP_SUMMARY"
  peregrine bench report june --fail-if 'latency.p99>50ms' --junit june.xml`,
		Args: exactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			f.from = args[0]
			return f.again(env)
		},
	}
	f.reportFlags(cmd)
	reportOut(cmd.Flags(), &f.file)
	return cmd
}

func newBenchCompare(env Env) *cobra.Command {
	return &cobra.Command{
		Use:   "compare A B",
		Short: "Say whether run B loses more or less than run A",
		Long: `Compare shows two runs side by side, rate by rate. Losses differ if their 95 %
intervals do not overlap. Compare ignores rounds that the generator limited,
rounds on a busy host, and rounds whose alerts could not be told from those of
other processes.

Exit codes: 0 same or better, 4 inconclusive, 99 worse.`,
		Example: `  peregrine bench compare before after`,
		Args:    exactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			a, b, err := both(args, report.Read)
			if err != nil {
				return err
			}
			c, err := compare.Runs(a, b)
			if err != nil {
				return asUsage(err)
			}
			return printBenchComparison(env, c)
		},
	}
}

func printBenchComparison(env Env, c compare.Comparison) error {
	fmt.Fprintf(env.Stdout, "A: %s\nB: %s\n\n", c.A, c.B)
	table := tabwriter.NewWriter(env.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "Actions/s\tA lost\tB lost\tA p99\tB p99\tA CPU\tB CPU\tChange")
	for _, r := range c.Rows {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", human.Number(r.Target), human.Share(r.A.Loss.Share), human.Share(r.B.Loss.Share),
			human.Duration(time.Duration(r.A.Latency.P99)), human.Duration(time.Duration(r.B.Latency.P99)), cpuOf(&r.A), cpuOf(&r.B), r.Change)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, r := range c.Rows {
		if r.Why != "" {
			fmt.Fprintf(env.Stdout, "%s actions/s: %s: %s\n", human.Number(r.Target), r.Change, r.Why)
		}
	}
	return env.conclude(c.Notes, c.Change)
}

// both reads the two runs of a comparison.
func both[T any](names []string, read func(string) (T, error)) (a, b T, err error) {
	if a, err = read(names[0]); err == nil {
		b, err = read(names[1])
	}
	return a, b, err
}

// conclude ends the print of a comparison.
func (env Env) conclude(notes []string, change sample.Change) error {
	for _, note := range notes {
		fmt.Fprintf(env.Stdout, "note: %s\n", note)
	}
	fmt.Fprintf(env.Stdout, "\n%s\n", change)
	switch change {
	case sample.Worse:
		return &ExitError{Code: ExitThreshold}
	case sample.Unsure, sample.Missing:
		return &ExitError{Code: ExitInconclusive}
	}
	return nil
}

func cpuOf(r *bench.Round) string {
	if r.Usage == nil {
		return "-"
	}
	return human.Share(r.Usage.CPU)
}
