package cli

import (
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics/live"
)

// newSensorStatus is "peregrine sensor status".
func newSensorStatus(env Env) *cobra.Command {
	var opt live.Options
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how a running sensor is doing",
		Long: `Asks the running sensor for its counters, twice, and shows rates and totals:
events seen, filtered and dropped, alerts by output channel with their
latency, CPU and memory. Exit codes: 0, or 1 if no sensor answers.`,
		Example: `  sudo peregrine sensor status
  sudo peregrine sensor status --json | jq .probe.drops`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return live.Status(cmd.Context(), env.Stdout, opt)
		},
	}
	liveFlags(cmd.Flags(), &opt)
	return cmd
}

// liveFlags are the flags that status and top share.
func liveFlags(fs *pflag.FlagSet, opt *live.Options) {
	fs.StringVar(&opt.Socket, "socket", config.DefaultStatusSocket, "the sensor's status `SOCKET`: peregrine.status_socket of its configuration")
	fs.DurationVar(&opt.Interval, "interval", time.Second, "time between two snapshots")
	fs.BoolVar(&opt.JSON, "json", false, "print the whole snapshot as JSON")
}
