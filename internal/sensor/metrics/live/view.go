package live

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/peregrine-sec/peregrine/internal/human"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
)

// rates are the differences of two snapshots, per second.
type rates struct {
	seen, filtered, processed, drops, alerts float64
	cpu                                      float64 // 1 is one CPU
}

func between(prev, now *metrics.Snapshot) rates {
	seconds := (now.Elapsed - prev.Elapsed).Seconds()
	if seconds <= 0 {
		return rates{}
	}
	per := func(before, after uint64) float64 { return (float64(after) - float64(before)) / seconds }
	return rates{
		seen: per(prev.Probe.Seen, now.Probe.Seen), filtered: per(prev.Probe.Filtered, now.Probe.Filtered),
		processed: per(prev.Events, now.Events), drops: per(prev.Probe.Drops.Total(), now.Probe.Drops.Total()),
		alerts: per(prev.Alerts, now.Alerts), cpu: now.CPUShare(prev),
	}
}

// writeStatus writes one snapshot for people; prev, a little older, gives the
// rates.
func writeStatus(w io.Writer, prev, now *metrics.Snapshot) error {
	var b strings.Builder
	writeHead(&b, prev, now)
	writeHooks(&b, now.Probe.Hooks)
	b.WriteByte('\n')
	writeChannels(&b, now)
	writeRuntimes(&b, &now.Metadata, now.State.Containers)
	writeAudit(&b, now.Audit)
	WriteCosts(&b, now.Costs)
	if now.LastReloadErr != "" {
		fmt.Fprintf(&b, "\nThe last reload failed, the configuration before it is in force:\n  %s\n", human.Text(now.LastReloadErr))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeHooks writes where the kernel's part sees syscalls, and why not where
// it costs less.
func writeHooks(w io.Writer, h metrics.Hooks) {
	switch h.InForce {
	case "functions":
		fmt.Fprintf(w, "Syscalls are seen by function: %s are hooked.\n", count(uint64(h.Functions)))
	case "tracepoint":
		fmt.Fprintf(w, "Syscalls are seen at tracepoint sys_exit: %s.\n", human.Text(h.Because))
	}
}

// writeAudit writes the counts of Kubernetes audit events.
func writeAudit(w io.Writer, a *metrics.Audit) {
	if a != nil {
		fmt.Fprintf(w, "\nKubernetes audit events matched %s, left out %s; requests refused %s, rejected %s.\n",
			count(a.Events), count(a.Malformed+a.Oversized), count(a.Refused), count(a.Rejected))
	}
}

// writeRuntimes writes the containers that the runtimes know, and the error of
// each failing runtime.
func writeRuntimes(w io.Writer, m *metrics.Metadata, containers uint64) {
	present := slices.DeleteFunc(slices.Clone(m.Runtimes), func(r metrics.Runtime) bool { return !r.Present })
	if len(present) == 0 && containers == 0 {
		return
	}
	fmt.Fprintf(w, "\nContainers %s, known %s. Events that waited for metadata %s, decided without it %s.\n",
		count(containers), count(uint64(m.Known)), count(m.Waited), count(m.Cut))
	for _, r := range present {
		state := "connected, told of " + count(r.Told)
		if !r.Connected {
			state = "does not answer: " + human.Text(r.Error)
		}
		fmt.Fprintf(w, "  %s at %s: %s\n", r.Engine, human.Text(r.Socket), state)
	}
	if len(present) == 0 {
		fmt.Fprintln(w, "  no runtime has a socket here: containers have ids only")
	}
}

// writeHead writes the lines that status and top share.
func writeHead(w io.Writer, prev, now *metrics.Snapshot) {
	r := between(prev, now)
	p := now.Probe
	fmt.Fprintf(w, "Peregrine %s on %s, Linux %s, up %v, %d rules loaded", human.Text(now.Version), human.Text(now.Host.Name), human.Text(now.Host.KernelRelease),
		now.Elapsed.Round(time.Second), len(now.Rules))
	if now.Reloads > 0 {
		fmt.Fprintf(w, ", %d reloads", now.Reloads)
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(cells ...string) { fmt.Fprintln(t, strings.Join(cells, "\t")+"\t") }
	row("events", "seen", "filtered in kernel", "processed", "dropped", "alerts")
	row("per second", human.Number(r.seen), human.Number(r.filtered), human.Number(r.processed), human.Number(r.drops), human.Number(r.alerts))
	row("total", count(p.Seen), count(p.Filtered), count(now.Events), count(p.Drops.Total()), count(now.Alerts))
	t.Flush()
	if m := p.Masks; m.Written > 0 {
		fmt.Fprintf(w, "masks of processes %s  written %s  events filtered by them %s  of changed processes %s\n",
			count(m.Held), count(m.Written), count(m.Filtered), count(m.Stale))
	}
	fmt.Fprintf(w, "CPU %.1f %%  memory %s  processes known %s  rings %s full", 100*r.cpu, human.Size(now.Resources.RSS), count(now.State.Threads), ringFill(now))
	if now.Throttled > 0 {
		fmt.Fprintf(w, "  alerts held back by outputs.rate %s", count(now.Throttled))
	}
	fmt.Fprintln(w)
	if p.Drops.Total() > 0 {
		fmt.Fprintln(w, "Drops: "+drops(&p.Drops))
	}
	if p.Unread+p.Untranslated > 0 {
		fmt.Fprintf(w, "Arguments that could not be read %s  x32 syscalls not translated %s\n", count(p.Unread), count(p.Untranslated))
	}
}

// drops are the lost events by cause, and by category within it, without zeros.
func drops(d *event.Drops) string {
	var causes []string
	for cause := range d {
		n := d.Of(event.DropCause(cause))
		if n == 0 {
			continue
		}
		var categories []string
		for category, n := range d[cause] {
			if n > 0 {
				categories = append(categories, event.DropCategory(category).String()+" "+count(n))
			}
		}
		causes = append(causes, fmt.Sprintf("%s %s (%s)", event.DropCause(cause), count(n), strings.Join(categories, ", ")))
	}
	return strings.Join(causes, "  ")
}

// ringFill is the fullest ring now and ever.
func ringFill(s *metrics.Snapshot) string {
	now, most := 0.0, 0.0
	for _, r := range s.Rings {
		if r.Size > 0 {
			now = max(now, float64(r.Used)/float64(r.Size))
			most = max(most, float64(r.MaxUsed)/float64(r.Size))
		}
	}
	return fmt.Sprintf("%.0f %% (at most %.0f %%)", 100*now, 100*most)
}

func writeChannels(w io.Writer, s *metrics.Snapshot) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "channel\tsent\tqueued\tdropped\terrors\tlatency p50\tp99\t")
	for _, c := range s.Channels {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", c.Name, count(c.Sent), count(c.Queued), count(c.Dropped), count(c.Errors),
			bound(c.Latency, .5), bound(c.Latency, .99))
	}
	t.Flush()
	for _, c := range s.Channels {
		if c.LastError != "" {
			fmt.Fprintf(w, "%s: %s\n", c.Name, human.Text(c.LastError))
		}
	}
}

func bound(l metrics.Latency, q float64) string {
	if l.Total() == 0 {
		return "-"
	}
	return "<= " + l.Quantile(q).String()
}

// writeTop writes the live view: rows lines of each table.
func writeTop(w io.Writer, prev, now *metrics.Snapshot, rows int) error {
	var b strings.Builder
	writeHead(&b, prev, now)
	b.WriteByte('\n')
	writeChannels(&b, now)
	seconds := max((now.Elapsed - prev.Elapsed).Seconds(), 1e-9)
	rulesBefore, kindsBefore, procsBefore := map[string]metrics.Rule{}, map[string]uint64{}, map[int32]uint64{}
	for _, r := range prev.Rules {
		rulesBefore[r.Name] = r
	}
	for _, k := range prev.Kinds {
		kindsBefore[k.Name] = k.Events
	}
	for _, p := range prev.Processes {
		procsBefore[p.PID] = p.Events
	}
	var rules, kinds, processes []line
	for _, r := range now.Rules {
		before := rulesBefore[r.Name]
		rules = append(rules, line{r.Name, grown(before.Matches, r.Matches), r.Matches, grown(before.Evaluations, r.Evaluations)})
	}
	for _, k := range now.Kinds {
		kinds = append(kinds, line{k.Name, grown(kindsBefore[k.Name], k.Events), k.Events, 0})
	}
	for _, p := range now.Processes {
		processes = append(processes, line{strconv.Itoa(int(p.PID)) + " " + p.Name, grown(procsBefore[p.PID], p.Events), p.Events, 0})
	}
	table(&b, "alerts/s\ttotal\tevaluations/s\t", "rule", rules, rows, func(l line) string {
		return fmt.Sprintf("%s\t%s\t%s\t", human.Number(float64(l.rate)/seconds), count(l.total), human.Number(float64(l.second)/seconds))
	})
	plain := func(l line) string {
		return fmt.Sprintf("%s\t%s\t", human.Number(float64(l.rate)/seconds), count(l.total))
	}
	table(&b, "events/s\ttotal\t", "event type", kinds, rows, plain)
	table(&b, "events/s\ttotal\t", "process", processes, rows, plain)
	_, err := io.WriteString(w, b.String())
	return err
}

// grown is the growth of a counter, which may have been reset.
func grown(before, after uint64) uint64 {
	if after < before {
		return after
	}
	return after - before
}

// line is one row of a table: a count that grew by rate to total.
type line struct {
	name                string
	rate, total, second uint64
}

// table writes those that grew most, the largest total first among equals.
func table(w io.Writer, head, name string, lines []line, rows int, format func(line) string) {
	lines = slices.DeleteFunc(lines, func(l line) bool { return l.total == 0 && l.second == 0 })
	if len(lines) == 0 {
		return
	}
	slices.SortFunc(lines, func(a, b line) int {
		return cmp.Or(-cmp.Compare(a.rate, b.rate), -cmp.Compare(a.total, b.total), -cmp.Compare(a.second, b.second), strings.Compare(a.name, b.name))
	})
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 10, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, head+"  "+name)
	for _, l := range lines[:min(rows, len(lines))] {
		fmt.Fprintln(t, format(l)+"  "+human.Text(l.name))
	}
	t.Flush()
}

func count(n uint64) string { return human.Count(int64(n)) }
