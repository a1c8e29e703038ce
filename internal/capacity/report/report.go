// Package report shows a capacity result to people and programs: text for the
// terminal, Markdown for a pull request, CSV, JSON, and one HTML file that
// needs nothing but a browser. Everything is derived from capacity.Result, so
// that any report can be made again from a run's raw data.
package report

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/peregrine-sec/peregrine/internal/capacity"
)

// Format is the name of a report's form.
type Format string

const (
	Text     Format = "text"
	Markdown Format = "markdown"
	CSV      Format = "csv"
	JSON     Format = "json"
	HTML     Format = "html"
	Terminal Format = "terminal" // text, with colours
)

// Formats lists those that people name, for help and errors.
var Formats = []Format{Text, Markdown, CSV, JSON, HTML}

// Write writes the report of a result in a format.
func Write(w io.Writer, format Format, result *capacity.Result) error {
	switch format {
	case Text:
		return writeText(w, newView(result), plain)
	case Terminal:
		return writeText(w, newView(result), colored)
	case Markdown:
		return writeMarkdown(w, newView(result))
	case CSV:
		return writeCSV(w, result)
	case JSON:
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", " ")
		return encoder.Encode(result)
	case HTML:
		return writeHTML(w, newView(result), result)
	}
	return fmt.Errorf("report format %q: expected one of %v", format, Formats)
}

var csvHeader = []string{"sensor", "cpu", "memory_bytes", "repeat", "status", "syscalls_per_second", "eps",
	"ndr_lower", "ndr_upper", "pdr_lower", "pdr_upper", "pre_drop_syscalls_per_second", "host_syscalls_per_second",
	"latency_p50_ns", "latency_p99_ns", "latency_p999_ns", "cpu_used", "throttled_share", "rss_peak_bytes",
	"limiting_factor", "noisy"}

// writeCSV writes a line for each row that was measured, with exact figures.
func writeCSV(w io.Writer, result *capacity.Result) error {
	out := csv.NewWriter(w)
	if err := out.Write(csvHeader); err != nil {
		return err
	}
	for i := range result.Rows {
		row := &result.Rows[i]
		var clean capacity.Trial
		if t := row.CleanTrial(); t != nil {
			clean = *t
		}
		used, throttled := 0.0, 0.0
		if u := clean.Round.Usage; u != nil {
			used = u.CPU
		}
		if n := clean.Limits.Periods; n > 0 {
			throttled = float64(clean.Limits.ThrottledPeriods) / float64(n)
		}
		q := clean.Round.Latency
		record := []string{row.Sensor, number(row.Limit.CPU), strconv.FormatInt(row.Limit.Memory, 10), strconv.Itoa(row.Repeat), string(row.Status),
			number(row.Syscalls), number(row.EPS), number(row.NDR.Lower), number(row.NDR.Upper), number(row.PDR.Lower), number(row.PDR.Upper),
			number(row.PreDrop), number(row.Host), strconv.FormatInt(q.P50, 10), strconv.FormatInt(q.P99, 10), strconv.FormatInt(q.P999, 10),
			number(used), number(throttled), strconv.FormatUint(row.PeakMemory(), 10), string(row.Factor.Name), strconv.FormatBool(len(row.Noisy) > 0)}
		if err := out.Write(record); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// number prints an exact figure with no more digits than mean anything.
func number(x float64) string { return strconv.FormatFloat(x, 'f', -1, 32) }
