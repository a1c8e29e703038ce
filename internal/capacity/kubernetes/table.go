package kubernetes

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/human"
)

// WriteTable writes one table of all nodes, as text or Markdown.
func WriteTable(w io.Writer, nodes []Node, markdown bool) error {
	rows := [][]string{{"Node kind", "Node", "CPU", "Memory", "Syscalls/s", "EPS", ""}}
	for _, n := range nodes {
		if n.Result == nil || len(n.Result.Rows) == 0 {
			rows = append(rows, []string{n.Kind, n.Name, "", "", "", "", n.Error})
			continue
		}
		for i := range n.Result.Rows {
			row := &n.Result.Rows[i]
			rows = append(rows, []string{n.Kind, n.Name, row.Limit.CPUString(), row.Limit.MemoryString(), figure(row, row.Syscalls), figure(row, row.EPS), remark(row)})
		}
	}
	for _, row := range rows {
		row[len(row)-1] = strings.Join(strings.Fields(row[len(row)-1]), " ") // errors may have lines
	}
	if markdown {
		return writeMarkdown(w, rows)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(table, strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	return table.Flush()
}

func writeMarkdown(w io.Writer, rows [][]string) error {
	for i, row := range rows {
		for j, cell := range row {
			row[j] = strings.ReplaceAll(cell, "|", `\|`)
		}
		if _, err := fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | ")); err != nil {
			return err
		}
		if i == 0 {
			fmt.Fprintln(w, strings.Repeat("|---", len(row))+"|")
		}
	}
	return nil
}

// figure is rounded down, as in the capacity table: it promises no more than
// was measured.
func figure(row *capacity.Row, x float64) string {
	switch {
	case row.Status == capacity.Failed || x == 0:
		return "-"
	case row.Status == capacity.AtLeast:
		return "> " + human.Number(capacity.RoundDown(x))
	}
	return human.Number(capacity.RoundDown(x))
}

func remark(row *capacity.Row) string {
	switch row.Status {
	case capacity.Failed:
		return "failed: " + row.Error
	case capacity.Confirmed:
		return ""
	}
	return strings.ReplaceAll(string(row.Status), "_", " ")
}
