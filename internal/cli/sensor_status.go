package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics/live"
)

// newSensorStatus is "peregrine sensor status".
func newSensorStatus(env Env) *cobra.Command {
	var opt live.Options
	var format string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show rates, totals and resource usage of a running sensor",
		Long: `Status reads the counters of the running sensor twice and shows rates and
totals: events seen, filtered and dropped; alerts and latency of each output
channel; CPU and memory. The exit code is 1 if no sensor responds.

With --programs, it also counts and times the runs of each BPF program during
the interval, and the delivered, filtered and dropped events of each family of
syscalls. During the interval, the kernel reads its clock twice per run, which
slows down every syscall on the host.`,
		Example: `  sudo peregrine sensor status
  sudo peregrine sensor status --format json | jq .probe.drops
  sudo peregrine sensor status --programs --interval 5s`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			opt.JSON = format == "json"
			return live.Status(cmd.Context(), env.Stdout, opt)
		},
	}
	cmd.Flags().BoolVar(&opt.Programs, "programs", false, "measure the programs in the kernel for the interval (at most 1m)")
	liveFlags(cmd, &opt, &format)
	return cmd
}

// liveFlags are the flags that status and top share.
func liveFlags(cmd *cobra.Command, opt *live.Options, format *string) {
	fs := cmd.Flags()
	fs.StringVar(&opt.Socket, "socket", config.DefaultStatusSocket, "status `SOCKET` of the sensor (peregrine.status_socket in its configuration)")
	fs.DurationVar(&opt.Interval, "interval", time.Second, "time between two snapshots")
	jsonFlag(cmd, format)
}
