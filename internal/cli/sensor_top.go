package cli

import (
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/peregrine-sec/peregrine/internal/sensor/metrics/live"
)

// minTopInterval keeps the view from becoming the sensor's main load.
const minTopInterval = 100 * time.Millisecond

// newSensorTop is "peregrine sensor top".
func newSensorTop(env Env) *cobra.Command {
	var opt live.Options
	var format string
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch the busiest rules, event types and processes of a running sensor",
		Long: `Top shows a running sensor's rates and its busiest rules, event types and
processes. It refreshes at each interval until interrupted. On a terminal, each
view replaces the previous one.`,
		Example: `  sudo peregrine sensor top
  sudo peregrine sensor top --once --rows 20
  sudo peregrine sensor top --format json --interval 5s >> snapshots.jsonl`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opt.Interval < minTopInterval || opt.Rows < 1 {
				return &ExitError{Code: ExitUsage, Err: errors.New("expected --interval of at least 100ms and --rows of at least 1")}
			}
			f, ok := env.Stdout.(*os.File)
			opt.Terminal = ok && isTerminal(f)
			opt.JSON = format == "json"
			return live.Top(cmd.Context(), env.Stdout, opt)
		},
	}
	liveFlags(cmd, &opt, &format)
	cmd.Flags().BoolVar(&opt.Once, "once", false, "print one view and exit")
	cmd.Flags().IntVar(&opt.Rows, "rows", 8, "`LINES` of each table")
	return cmd
}
