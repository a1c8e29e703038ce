package report

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/human"
)

// printer keeps the first error for Flush.
type printer struct{ *bufio.Writer }

func (p printer) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

func (r *Run) text(w io.Writer) error {
	p := printer{bufio.NewWriter(w)}
	e := r.Host
	p.line("%s, kernel %s, %d x %s, %s", e.Hostname, e.Kernel, e.CPUs, e.CPU, human.Size(e.Memory))
	p.line("sensor: %s", r.Identity)
	if r.Sensor != nil {
		p.line("started as: %s", human.Command(r.Sensor))
	}
	if r.Ceiling != nil {
		p.line("generator: up to %s actions/s per worker without a sensor", human.Number(r.Ceiling.Rate))
	}
	if r.Preflight != nil {
		p.line("idle: %s events/s", human.Number(r.Preflight.Idle))
	}
	p.line("")
	for _, part := range [][]column{columns[:aboutSensor], append(columns[:1:1], columns[aboutSensor:]...)} {
		p.grid(tabwriter.AlignRight, r.table(part))
		p.line("")
	}
	for i := range r.Rounds {
		p.actions(&r.Rounds[i])
		p.usage(&r.Rounds[i])
		for _, f := range r.Rounds[i].Findings {
			p.line("  %s", f.Text)
		}
		p.line("")
	}
	p.observer(r.Rounds)
	for _, note := range r.Notes {
		p.line("note: %s", note)
	}
	p.conditions(r.Conditions)
	if r.Partial {
		p.line("interrupted: the results are partial")
	}
	return p.Flush()
}

// table is one row per round after the head, with some of the columns: all are
// wider than a terminal.
func (r *Run) table(columns []column) [][]string {
	var head []string
	for _, c := range columns {
		head = append(head, c.head)
	}
	rows := [][]string{head}
	for i := range r.Rounds {
		var row []string
		for _, c := range columns {
			row = append(row, cmp.Or(c.human(&r.Rounds[i]), "-"))
		}
		rows = append(rows, row)
	}
	return withoutFaults(rows)
}

// faults are columns that are shown only if one of their values is not 0.
var faults = map[string]bool{"late": true, "foreign": true, "unread": true, "unsent": true, "double": true, "failed": true, "skipped": true}

// withoutFaults leaves out faults that did not occur; the first row is the head.
func withoutFaults(rows [][]string) [][]string {
	shown := make([]bool, len(rows[0]))
	for i, head := range rows[0] {
		shown[i] = !faults[head] || slices.ContainsFunc(rows[1:], func(row []string) bool { return row[i] != "0" && row[i] != "-" })
	}
	var all [][]string
	for _, row := range rows {
		var cells []string
		for i, cell := range row {
			if shown[i] {
				cells = append(cells, cell)
			}
		}
		all = append(all, cells)
	}
	return all
}

// grid aligns rows.
func (p printer) grid(flags uint, rows [][]string) {
	t := tabwriter.NewWriter(p, 0, 0, 2, ' ', flags)
	end := ""
	if flags&tabwriter.AlignRight != 0 {
		end = "\t" // it aligns cells that a tab ends
	}
	for _, row := range rows {
		fmt.Fprintln(t, strings.Join(row, "\t")+end)
	}
	_ = t.Flush() // the printer keeps the error
}

// actions is one line per action of a round, in three tables.
func (p printer) actions(r *bench.Round) {
	p.line("%s", roundName(r))
	for _, table := range actionTables(r) {
		p.grid(0, table)
		p.line("")
	}
}

func roundName(r *bench.Round) string {
	if r.Label == "" {
		return fmt.Sprintf("round %d", r.Number)
	}
	return fmt.Sprintf("round %d (%s)", r.Number, r.Label)
}

// actionTables are tables of each action's results, latency and cost.
func actionTables(r *bench.Round) [][][]string {
	counts := [][]string{{"action", "done", "alerts", "late", "lost", "double", "failed", "skipped", "loss below (95%)"}}
	costs := [][]string{{"action", "cost p50", "p99", "from plan p99"}}
	latencies := [][]string{{"action", "latency p50", "p99", "p99.9", "max"}}
	for _, a := range r.Actions {
		name := short(a.Name)
		row := []string{name}
		for _, n := range []int{a.OK, a.Matched, a.Late, a.Lost, a.Duplicate, a.Failed, a.Skipped} {
			row = append(row, strconv.Itoa(n))
		}
		counts = append(counts, append(row, human.Share(a.Loss.Upper)))
		costs = append(costs, []string{name, duration(a.Cost.P50), duration(a.Cost.P99), duration(a.Response.P99)})
		latencies = append(latencies, []string{name, duration(a.Latency.P50), duration(a.Latency.P99), duration(a.Latency.P999), duration(a.Latency.Max)})
	}
	return [][][]string{withoutFaults(counts), latencies, costs}
}

// short leaves out the collection of an action's name.
func short(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// usage writes the resource use of the sensor's process in a round.
func (p printer) usage(r *bench.Round) {
	u := r.Usage
	if u == nil {
		return
	}
	p.line("  sensor: CPU %s (user %s, system %s, peak %s), throttled %s",
		human.Share(u.CPU), human.Share(u.User), human.Share(u.System), human.Share(u.CPUPeak), duration(u.Throttled))
	p.line("  sensor: RSS %s (peak %s), PSS %s, cgroup %s", human.Size(u.RSSMean), human.Size(u.RSSPeak), human.Size(u.PSSPeak), human.Size(u.CgroupPeak))
}

// observer prints the highest cost of bench itself.
func (p printer) observer(rounds []bench.Round) {
	var o bench.Observer
	for i := range rounds {
		o.CPU = max(o.CPU, rounds[i].Observer.CPU)
		o.Generator = max(o.Generator, rounds[i].Observer.Generator)
		o.Reads = max(o.Reads, rounds[i].Observer.Reads)
	}
	p.line("observer: receiving took up to %s of a CPU in %s reads/s, the generator %s", human.Share(o.CPU), human.Number(o.Reads), human.Share(o.Generator))
}

func (p printer) conditions(evaluations []Evaluation) {
	for _, o := range evaluations {
		switch {
		case o.Unknown:
			p.line("unknown: %s", o.Condition)
		case len(o.Rounds) > 0:
			p.line("FAILED: %s in round %s", o.Condition, strings.Trim(fmt.Sprint(o.Rounds), "[]"))
		default:
			p.line("passed: %s in no round", o.Condition)
		}
	}
}

func (r *Run) markdown(w io.Writer) error {
	p := printer{bufio.NewWriter(w)}
	var head, rule []string
	for _, c := range columns {
		head, rule = append(head, c.head), append(rule, "---:")
	}
	p.line("| %s |", strings.Join(head, " | "))
	p.line("|%s|", strings.Join(rule, "|"))
	for i := range r.Rounds {
		var row []string
		for _, c := range columns {
			row = append(row, c.human(&r.Rounds[i]))
		}
		p.line("| %s |", strings.Join(row, " | "))
	}
	p.line("")
	for i := range r.Rounds {
		for _, f := range r.Rounds[i].Findings {
			p.line("- round %d: %s", r.Rounds[i].Number, f.Text)
		}
	}
	for _, note := range r.Notes {
		p.line("- %s", note)
	}
	e := r.Host
	p.line("")
	p.line("sensor: %s", r.Identity)
	p.line("%s, kernel %s, %d x %s; `%s`, Peregrine %s, %s", e.Hostname, e.Kernel, e.CPUs, e.CPU, human.Command(r.Command), r.Version, r.Started.UTC().Format(time.RFC3339))
	return p.Flush()
}
