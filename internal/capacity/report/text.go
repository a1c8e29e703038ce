package report

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/human"
)

// width is the usual width of a terminal.
const width = 80

// paint marks text as confirmed or not.
type paint func(text string, sure bool) string

func plain(text string, _ bool) string { return text }

// colored is bold green for confirmed text, and bold yellow for the rest
// (ECMA-48, select graphic rendition).
func colored(text string, sure bool) string {
	if sure {
		return "\x1b[1;32m" + text + "\x1b[0m"
	}
	return "\x1b[1;33m" + text + "\x1b[0m"
}

func writeText(w io.Writer, v *view, p paint) error {
	out := bufio.NewWriter(w) // which keeps the first error for Flush
	h := v.Headline
	fmt.Fprintf(out, "%s\n%s\n\n%s\n", wrap(v.Title, ""), wrap(v.Subtitle, ""), p(wrap(h.Text, ""), h.Confirmed && len(h.Caveats) == 0))
	for _, caveat := range h.Caveats {
		fmt.Fprintln(out, p("! "+wrap(caveat, "  "), false))
	}
	fmt.Fprintln(out)
	v.table(out)
	v.details(out)
	fmt.Fprintln(out)
	for _, l := range v.Details {
		if l.Factor == "" {
			continue
		}
		fmt.Fprintln(out, wrap(fmt.Sprintf("%s%s CPU: %s: %s.", prefix(l.Sensor), l.CPU, l.Factor, l.Evidence), "   "))
		if l.Advice != "" {
			fmt.Fprintf(out, "   -> %s\n", wrap(l.Advice, "      "))
		}
	}
	fmt.Fprintln(out)
	for _, text := range v.Costs {
		fmt.Fprintln(out, wrap("Cost: "+text, "   "))
	}
	for _, c := range v.Curves {
		if c.Knee != "" {
			fmt.Fprintln(out, wrap(c.Knee, ""))
		}
	}
	if r := v.Recommend; r != nil {
		fmt.Fprintf(out, "\nRecommendation\n%s\n", wrap(r.Sentence, ""))
		if r.YAML != "" {
			fmt.Fprintf(out, "\n%s", r.YAML)
		}
		bullets(out, r.Notes)
	}
	if len(v.Notes) > 0 {
		fmt.Fprint(out, "\nNotes\n")
		bullets(out, v.Notes)
	}
	fmt.Fprintf(out, "\nRepeat with: %s\n", v.Command)
	return out.Flush()
}

// table writes the capacity table, with the columns of the test method.
func (v *view) table(out io.Writer) {
	if !v.Several {
		columns(out, []string{"CPU", "Memory", "Syscalls/s", "EPS"}, v.Table, func(l line) []string {
			return []string{l.CPU, l.Memory, l.Syscalls, l.EPS}
		})
	} else {
		columns(out, []string{"Sensor", "CPU", "Memory", "Syscalls/s", "EPS", "Operations/s"}, v.Table, func(l line) []string {
			return []string{l.Sensor, l.CPU, l.Memory, l.Syscalls, l.EPS, l.Operations}
		})
	}
	fmt.Fprintln(out, "  Syscalls/s are sensor events/s, as the sensor counts them. EPS are alerts/s.")
	if len(v.Compared) > 0 {
		fmt.Fprintln(out)
	}
	for _, text := range v.Compared {
		fmt.Fprintln(out, wrap(text, "   "))
	}
}

// details writes two tables of each sensor's rows.
func (v *view) details(out io.Writer) {
	var sensors []string
	by := map[string][]line{}
	for _, l := range v.Details {
		if by[l.Sensor] == nil {
			sensors = append(sensors, l.Sensor)
		}
		by[l.Sensor] = append(by[l.Sensor], l)
	}
	for _, sensor := range sensors {
		fmt.Fprintln(out)
		if v.Several {
			fmt.Fprintln(out, sensor)
		}
		columns(out, []string{"CPU", "Status", "Operations/s", "0.1 % lost", "Pre-drop", "Host syscalls/s"}, by[sensor], func(l line) []string {
			return []string{l.CPU, l.Short, l.NDR, l.PDR, l.PreDrop, l.Host}
		})
		fmt.Fprintln(out)
		columns(out, []string{"CPU", "Limited by", "Used", "Throttled", "RSS", "Latency p50/p99", "Loss below"}, by[sensor], func(l line) []string {
			return []string{l.CPU, l.Factor, l.CPUUsed, l.Throttled, l.RSS, l.Latency2, l.LossBound}
		})
	}
}

func prefix(sensor string) string {
	if sensor == "" {
		return ""
	}
	return sensor + ", "
}

func bullets(w io.Writer, lines []string) {
	for _, text := range lines {
		fmt.Fprintf(w, "- %s\n", wrap(text, "  "))
	}
}

// wrap breaks a text at blanks to the width of a terminal, with an indent on
// every line but the first, before which the caller may put as much.
func wrap(text, indent string) string {
	return strings.Join(human.Wrap(text, width-len(indent)), "\n"+indent)
}

// columns writes a table for a terminal.
func columns(w io.Writer, header []string, lines []line, cells func(line) []string) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "  "+strings.Join(header, "\t"))
	for _, l := range lines {
		fmt.Fprintln(table, "  "+strings.Join(cells(l), "\t"))
	}
	table.Flush()
}

func writeMarkdown(w io.Writer, v *view) error {
	out := bufio.NewWriter(w) // which keeps the first error for Flush
	fmt.Fprintf(out, "## %s\n\n%s\n\n**%s**\n\n", escape(v.Title), escape(v.Subtitle), escape(v.Headline.Text))
	for _, caveat := range v.Headline.Caveats {
		fmt.Fprintf(out, "⚠ %s\n\n", escape(caveat))
	}
	table(out, v.columnsOf("CPU", "Memory", "Syscalls/s", "EPS", "Operations/s", "Limiting factor"), v.Table, func(l line) []string {
		return v.cells(l, l.CPU, l.Memory, l.Syscalls, l.EPS, l.Operations, l.Factor)
	})
	fmt.Fprint(out, "\nSyscalls/s are sensor events/s, as the sensor counts them; EPS are alerts/s.\n")
	for _, text := range append(slices.Clone(v.Compared), v.Costs...) {
		fmt.Fprintf(out, "\n%s\n", escape(text))
	}
	fmt.Fprint(out, "\n<details><summary>Details</summary>\n\n")
	table(out, v.columnsOf("CPU", "Memory", "Status", "No-drop rate, operations/s", "Partial-drop rate (0.1 %)", "Pre-drop plateau", "Host syscalls/s",
		"CPU used", "Throttled", "RSS peak", "Latency p50/p99/p99.9", "Loss below (95 %)"), v.Details, func(l line) []string {
		return v.cells(l, l.CPU, l.Memory, l.Status, l.NDR, l.PDR, l.PreDrop, l.Host, l.CPUUsed, l.Throttled, l.RSS, l.Latency, l.LossBound)
	})
	fmt.Fprintln(out)
	for _, f := range v.Facts {
		fmt.Fprintf(out, "- %s: %s\n", escape(f.Name), escape(f.Value))
	}
	fmt.Fprint(out, "\n</details>\n")
	if r := v.Recommend; r != nil {
		fmt.Fprintf(out, "\n%s\n", escape(r.Sentence))
		if r.YAML != "" {
			fmt.Fprintf(out, "\n```yaml\n%s```\n", r.YAML)
		}
	}
	if len(v.Notes) > 0 {
		fmt.Fprintln(out)
		for _, note := range v.Notes {
			fmt.Fprintf(out, "- %s\n", escape(note))
		}
	}
	fmt.Fprintf(out, "\nRepeat with `%s`\n", strings.ReplaceAll(v.Command, "`", "'"))
	return out.Flush()
}

// columnsOf and cells put the sensor first, where there are several.
func (v *view) columnsOf(names ...string) []string {
	if v.Several {
		return append([]string{"Sensor"}, names...)
	}
	return names
}

func (v *view) cells(l line, cells ...string) []string {
	if v.Several {
		return append([]string{l.Sensor}, cells...)
	}
	return cells
}

// table writes a Markdown table.
func table(w io.Writer, header []string, lines []line, cells func(line) []string) {
	fmt.Fprintf(w, "| %s |\n|%s\n", strings.Join(header, " | "), strings.Repeat(" --- |", len(header)))
	for _, l := range lines {
		row := cells(l)
		for i := range row {
			row[i] = escape(row[i])
		}
		fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
	}
}

// escape keeps names from the measured host from becoming markup.
func escape(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "*", `\*`, "_", `\_`, "`", "'", "\n", " ", "[", `\[`).Replace(s)
}

// none is how a report shows a missing measurement: a dash.
const none = "–"

func dash(x float64) string {
	if x == 0 {
		return none
	}
	return human.Number(x)
}

func mebi(bytes uint64) string {
	if bytes == 0 {
		return none
	}
	return human.Size(bytes)
}

func duration(ns int64) string {
	if ns == 0 {
		return none
	}
	return human.Duration(time.Duration(ns))
}

func cpuModel(e capacity.Environment) string { return cmp.Or(e.CPU, "unknown CPU") }
