package cli

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/peregrine-sec/peregrine/internal/capacity/advise"
	"github.com/peregrine-sec/peregrine/internal/profile"
	"github.com/peregrine-sec/peregrine/internal/profile/from"
)

func newProfileFrom(env Env) *cobra.Command {
	var out string
	var every, over time.Duration
	cmd := &cobra.Command{
		Use:   "from FILE|URL",
		Short: "Make a profile from a capture, a metrics file or a Prometheus query",
		Long: `From makes a profile from the recording of another program:

  a capture of Falco, sysdig or Stratoshark (.scap): mix, failures and bursts
  a stats or metrics file of a sensor: rates only
  the JSON of a Prometheus query (range or instant): rates only
  the URL of a Prometheus server, or of one of its queries: rates only

If the URL has no query, it asks for the rate of events that Falco and Peregrine
export. If it has no times, it asks for the last hour (--over), every --every.

If only rates are known, it assumes a typical mix, and no bursts between two
rates. It prints these assumptions and stores them in the profile.`,
		Example: `  peregrine profile from node.scap --out node.json
  peregrine profile from /var/log/falco-metrics.json --out node.json
  peregrine profile from http://prometheus:9090 --over 24h --every 1m --out fleet.json
  peregrine profile from 'http://prometheus:9090/api/v1/query_range?query=rate(falcosecurity_scap_n_evts_total[5m])' --out fleet.json
  peregrine profile from rates.json --every 15s --out fleet.json`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := profileFrom(cmd.Context(), args[0], every, over)
			if err != nil {
				return err
			}
			for _, a := range p.Source.Assumed {
				fmt.Fprintf(env.Stderr, "assumed: %s\n", a)
			}
			return writeProfile(env, p, out)
		},
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", "file to write (default standard output)")
	cmd.Flags().DurationVar(&every, "every", 5*time.Second, "interval between two rates, if the source does not say it")
	cmd.Flags().DurationVar(&over, "over", time.Hour, "period before now to query Prometheus for, if the URL does not say it")
	return cmd
}

// profileFrom tells captures by their first bytes: pcapng's, or a compressed
// file's.
func profileFrom(ctx context.Context, path string, every, over time.Duration) (*profile.Profile, error) {
	if strings.HasPrefix(path, "http://") || strings.HasPrefix(path, "https://") {
		q, err := advise.NewQuery(path, time.Now(), over, every)
		if err != nil {
			return nil, asUsage(err)
		}
		rates, err := advise.Ask(ctx, q.URL)
		if err != nil {
			return nil, err
		}
		return from.Rates(rates.Nodes, q.Step, profile.FromPrometheus)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	var head [4]byte
	_, _ = file.Read(head[:]) // a file that is too short is not a capture
	if err := file.Close(); err != nil {
		return nil, err
	}
	for _, magic := range []string{"\x0a\x0d\x0d\x0a", "\x1f\x8b"} {
		if strings.HasPrefix(string(head[:]), magic) {
			return from.Capture(path)
		}
	}
	rates, err := advise.Read(path, every)
	if err != nil {
		return nil, err
	}
	kind := profile.FromPrometheus
	if _, one := rates.Nodes[""]; one && len(rates.Nodes) == 1 {
		kind = profile.FromMetrics
	}
	return from.Rates(rates.Nodes, every, kind)
}
