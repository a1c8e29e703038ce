package live

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
)

// WriteCosts writes what the programs in the kernel cost while they were
// measured.
func WriteCosts(w io.Writer, c *metrics.Costs) {
	if c == nil {
		return
	}
	fmt.Fprintf(w, "\nPrograms in the kernel, measured for %v:\n", c.Elapsed.Round(time.Millisecond))
	if c.Because != "" {
		fmt.Fprintf(w, "  %s\n", human.Text(c.Because))
	} else {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(t, "program\truns/s\tns/run\tCPU\t")
		for _, p := range c.Programs {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t\n", human.Text(p.Name), rate(p.Runs, c.Elapsed), each(p.Runs, p.Time), share(p.Time, c.Elapsed))
		}
		t.Flush()
	}
	if len(c.Families) == 0 {
		fmt.Fprintln(w, "  no event was seen")
		return
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "family\tdelivered/s\tns each\tfiltered/s\tns each\tmasked/s\tns each\tdropped/s\tns each\tCPU\t")
	for _, f := range c.Families {
		fmt.Fprintf(t, "%s\t", human.Text(f.Name))
		for _, tally := range []metrics.Tally{f.Delivered, f.Filtered, f.Masked, f.Dropped} {
			fmt.Fprintf(t, "%s\t%s\t", rate(tally.Events, c.Elapsed), each(tally.Events, tally.Time))
		}
		fmt.Fprintf(t, "%s\t\n", share(f.Delivered.Time+f.Filtered.Time+f.Masked.Time+f.Dropped.Time, c.Elapsed))
	}
	t.Flush()
}

func rate(n uint64, d time.Duration) string { return human.Number(float64(n) / max(d.Seconds(), 1e-9)) }

// each is the time of one of n.
func each(n uint64, d time.Duration) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(uint64(d) / n)
}

// share is a part of one CPU.
func share(part, whole time.Duration) string {
	return fmt.Sprintf("%.2f %%", 100*part.Seconds()/max(whole.Seconds(), 1e-9))
}
