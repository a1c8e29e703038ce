package report

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// errWriter remembers the first error, so that a report can be written
// straight down.
type errWriter struct {
	w   io.Writer
	err error
}

func (e *errWriter) Write(p []byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	n, err := e.w.Write(p)
	e.err = err
	return n, err
}

func writeText(w io.Writer, v *view) error {
	out := &errWriter{w: w}
	fmt.Fprintf(out, "%s\n%s\n\n%s\n\n", v.Title, v.Subtitle, v.Verdict)
	columns(out, []string{"CPU", "Memory", "Syscalls/s", "EPS"}, v.Table, func(l line) []string {
		return []string{l.CPU, l.Memory, l.Syscalls, l.EPS}
	})
	fmt.Fprintln(out)
	columns(out, []string{"CPU", "Status", "No-drop rate", "Partial (0.1 %)", "Pre-drop", "Host syscalls/s"}, v.Details, func(l line) []string {
		return []string{l.CPU, l.Status, l.NDR, l.PDR, l.PreDrop, l.Host}
	})
	fmt.Fprintln(out)
	columns(out, []string{"CPU", "Limiting factor", "CPU used", "Throttled", "RSS", "Alert latency p50/p99/p99.9", "Loss below"}, v.Details, func(l line) []string {
		return []string{l.CPU, l.Factor, l.CPUUsed, l.Throttled, l.RSS, l.Latency, l.LossBound}
	})
	fmt.Fprintln(out)
	for _, l := range v.Details {
		if l.Factor == "" {
			continue
		}
		fmt.Fprintf(out, "%s CPU: %s: %s.\n", l.CPU, l.Factor, strings.TrimSuffix(l.Evidence, "."))
		if l.Advice != "" {
			fmt.Fprintf(out, "   -> %s\n", l.Advice)
		}
	}
	if v.Knee != "" {
		fmt.Fprintf(out, "\n%s\n", v.Knee)
	}
	if r := v.Recommend; r != nil {
		fmt.Fprintf(out, "\nRecommendation\n%s\n\n%s", r.Sentence, r.YAML)
		bullets(out, r.Notes)
	}
	if len(v.Notes) > 0 {
		fmt.Fprint(out, "\nNotes\n")
		bullets(out, v.Notes)
	}
	fmt.Fprintf(out, "\nRepeat with: %s\n", v.Command)
	return out.err
}

func bullets(w io.Writer, lines []string) {
	for _, text := range lines {
		fmt.Fprintf(w, "- %s\n", text)
	}
}

// columns writes a table for a terminal.
func columns(w io.Writer, header []string, lines []line, cells func(line) []string) {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "  "+strings.Join(header, "\t"))
	for _, l := range lines {
		fmt.Fprintln(table, "  "+strings.Join(cells(l), "\t"))
	}
	table.Flush()
}

func writeMarkdown(w io.Writer, v *view) error {
	out := &errWriter{w: w}
	fmt.Fprintf(out, "## %s\n\n%s\n\n**%s**\n\n", escape(v.Title), escape(v.Subtitle), escape(v.Verdict))
	table(out, []string{"CPU", "Memory", "Syscalls/s", "EPS", "Limiting factor"}, v.Table, func(l line) []string {
		return []string{l.CPU, l.Memory, l.Syscalls, l.EPS, l.Factor}
	})
	fmt.Fprint(out, "\n<details><summary>Details</summary>\n\n")
	table(out, []string{"CPU", "Memory", "Status", "No-drop rate", "Partial-drop rate (0.1 %)", "Pre-drop plateau", "Host syscalls/s",
		"CPU used", "Throttled", "RSS peak", "Latency p50/p99/p99.9", "Loss below (95 %)"}, v.Details, func(l line) []string {
		return []string{l.CPU, l.Memory, l.Status, l.NDR, l.PDR, l.PreDrop, l.Host, l.CPUUsed, l.Throttled, l.RSS, l.Latency, l.LossBound}
	})
	fmt.Fprintln(out)
	for _, f := range v.Facts {
		fmt.Fprintf(out, "- %s: %s\n", f.Name, escape(f.Value))
	}
	fmt.Fprint(out, "\n</details>\n")
	if r := v.Recommend; r != nil {
		fmt.Fprintf(out, "\n%s\n\n```yaml\n%s```\n", escape(r.Sentence), r.YAML)
	}
	if len(v.Notes) > 0 {
		fmt.Fprintln(out)
		for _, note := range v.Notes {
			fmt.Fprintf(out, "- %s\n", escape(note))
		}
	}
	fmt.Fprintf(out, "\nRepeat with `%s`\n", strings.ReplaceAll(v.Command, "`", "'"))
	return out.err
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
