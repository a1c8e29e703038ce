package cli

import (
	"github.com/spf13/cobra"
)

func newCapacity(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "capacity",
		Short: "Find how many syscalls per second a sensor takes under CPU and memory limits",
		Long: `Capacity answers one question: how many syscalls per second can this sensor
take, on this much CPU and memory, before it starts to lose events?

For each limit, it starts the sensor (or limits a running one), searches for the
highest load without loss, confirms it, and names the limiting factor. At the
end, it restores everything that it changed.`,
		Example: `  sudo peregrine capacity run
  sudo peregrine capacity run --sensor falco --cpu 0.5,1 --load 1:50
  peregrine capacity report peregrine-capacity-20260301-100000 --format markdown
  peregrine capacity compare before/ after/
  peregrine capacity kubernetes --node worker-1
  peregrine capacity analyze --stats falco-stats.txt --log bench.log`,
		Args: exactArgs(0),
	}
	cmd.AddCommand(newCapacityRun(env), newCapacityReport(env), newCapacityCompare(env), newCapacityAnalyze(env), newCapacityRestore(env), newCapacityKubernetes(env))
	return cmd
}
