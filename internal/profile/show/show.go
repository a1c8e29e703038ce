// Package show prints profiles as tables and character charts that fit 80
// columns.
package show

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/profile"
)

// Options say how much is shown.
type Options struct {
	Rows int // of the table of syscalls; 0 for all
}

// Text prints a profile.
func Text(w io.Writer, p *profile.Profile, o Options) error {
	var b strings.Builder
	head(&b, p)
	picture(&b, p)
	calls(&b, p, o.Rows)
	processes(&b, p.Processes)
	paths(&b, p.Paths)
	sockets(&b, p.Sockets)
	_, err := io.WriteString(w, b.String())
	return err
}

func head(b *strings.Builder, p *profile.Profile) {
	nodes := "1 node"
	if p.Source.Nodes != 1 {
		nodes = fmt.Sprintf("%d nodes", p.Source.Nodes)
	}
	facts := []string{nodes, human.Duration(time.Duration(p.Seconds * float64(time.Second)))}
	if p.Source.CPUs > 0 {
		facts = append(facts, fmt.Sprintf("%d CPUs", p.Source.CPUs))
	}
	if p.Source.Kernel != "" {
		facts = append(facts, "Linux "+human.Text(p.Source.Kernel)+" "+human.Text(p.Source.Arch))
	}
	if !p.Source.Started.IsZero() {
		facts = append(facts, p.Source.Started.UTC().Format("2 January 2006 15:04 UTC"))
	}
	fmt.Fprintf(b, "Profile (%s)\n%s\n\n", human.Text(p.Source.Kind), strings.Join(facts, " · "))
	fmt.Fprintf(b, "%s syscalls/s, %s of them in containers, %s failed\n", human.Number(p.Rate), human.Share(p.Containers()), human.Share(p.Failed))
	for _, a := range p.Source.Assumed {
		fmt.Fprintf(b, "assumed: %s\n", human.Text(a))
	}
	fmt.Fprintln(b)
	t := tabwriter.NewWriter(b, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "Bursts of\tp50\tp99\tmax\tmax/mean\tcorrelation\t\n")
	for _, row := range []struct {
		name string
		profile.Spread
	}{{"1 s", p.Bursts.Second}, {"100 ms", p.Bursts.Tenth}} {
		times := "–"
		if p.Rate > 0 {
			times = fmt.Sprintf("%.1f", row.Max/p.Rate)
		}
		fmt.Fprintf(t, "%s\t%s/s\t%s/s\t%s/s\t%s\t%.2f\t\n", row.name, human.Number(row.P50), human.Number(row.P99), human.Number(row.Max), times, row.Correlation)
	}
	_ = t.Flush() // into memory
}

func calls(b *strings.Builder, p *profile.Profile, rows int) {
	if len(p.Syscalls) == 0 {
		return
	}
	shown := p.Syscalls
	if rows > 0 && len(shown) > rows {
		shown = shown[:rows]
	}
	fmt.Fprintln(b)
	t := tabwriter.NewWriter(b, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "Syscall\tPer second\tShare\tFailed\tContainers\t100 ms p99\tmax\t\n")
	for _, s := range shown {
		rate := s.Rate()
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", human.Text(s.Name), human.Number(rate), part(rate, p.Rate), human.Share(s.Failed()),
			part(s.Container.Rate, rate), human.Number(s.Bursts.Tenth.P99), human.Number(s.Bursts.Tenth.Max))
	}
	_ = t.Flush() // into memory
	if left := len(p.Syscalls) - len(shown); left > 0 {
		fmt.Fprintf(b, "and %d more: --rows 0 shows all\n", left)
	}
}

func part(x, of float64) string {
	if of == 0 {
		return "–"
	}
	return human.Share(x / of)
}

func processes(b *strings.Builder, p *profile.Processes) {
	if p == nil {
		return
	}
	fmt.Fprintf(b, "\nProcesses: %s forks/s, %s execs/s, %s threads/s, %s ends/s\n", human.Number(p.Forks), human.Number(p.Execs), human.Number(p.Threads), human.Number(p.Exits))
	quantiles(b, "life", p.Lifetime, func(s float64) string { return human.Duration(time.Duration(s * float64(time.Second))) })
	quantiles(b, "arguments", p.Arguments, human.Number)
	quantiles(b, "their length", p.ArgumentBytes, func(n float64) string { return human.Size(uint64(n)) })
}

func quantiles(b *strings.Builder, name string, q *profile.Quantiles, format func(float64) string) {
	if q != nil {
		fmt.Fprintf(b, "  %-12s p50 %s, p99 %s, max %s\n", name, format(q.P50), format(q.P99), format(q.Max))
	}
}

func paths(b *strings.Builder, p *profile.Paths) {
	if p == nil || p.Sampled == 0 {
		return
	}
	fmt.Fprintf(b, "\nPaths: %s sampled, %s of them new, %s relative\n", human.Count(int64(p.Sampled)), human.Share(p.Distinct), human.Share(p.Relative))
	quantiles(b, "depth", p.Depth, human.Number)
	for _, n := range p.Names {
		fmt.Fprintf(b, "  %6s  %s\n", human.Share(n.Share), human.Text(n.Path))
	}
}

// mostSockets is how many kinds of connections are shown.
const mostSockets = 12

func sockets(b *strings.Builder, list []profile.Socket) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintln(b, "\nSockets")
	t := tabwriter.NewWriter(b, 0, 0, 3, ' ', 0)
	for _, s := range list[:min(len(list), mostSockets)] {
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\n", s.Call, human.Text(s.Family), human.Text(s.Protocol), human.Text(s.Locality), human.Share(s.Share))
	}
	_ = t.Flush() // into memory
	if left := len(list) - mostSockets; left > 0 {
		fmt.Fprintf(b, "  and %d more kinds\n", left)
	}
}
