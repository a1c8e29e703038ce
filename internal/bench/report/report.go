// Package report keeps and shows the results of bench: a run directory of raw
// data as JSON lines, and text, JSON, CSV, Markdown,
// HTML or JUnit made from them.
// Everything shown comes from a Run value, so that it can be shown again.
package report

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/bench/target"
	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/junit"
	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
)

// Run is everything that one bench found out.
type Run struct {
	Schema      int                `json:"schema"` // bench.RoundSchema
	Command     []string           `json:"command"`
	Started     time.Time          `json:"started"`
	Ended       time.Time          `json:"ended"`
	Version     string             `json:"version"` // of this program
	Identity    target.Identity    `json:"identity"`
	Sensor      []string           `json:"sensor,omitempty"` // its command line, if bench started it
	Host        Host               `json:"environment"`
	Preflight   *bench.Preflight   `json:"preflight,omitempty"`
	Ceiling     *bench.Ceiling     `json:"ceiling,omitempty"`
	Calibration *bench.Calibration `json:"calibration,omitempty"`
	Rounds      []bench.Round      `json:"rounds"`
	Notes       []string           `json:"notes,omitempty"` // caveats, such as the limits of a replay
	Conditions  []Evaluation       `json:"conditions,omitempty"`
	Partial     bool               `json:"partial,omitempty"`
}

// Evaluation is a --fail-if condition after the run.
type Evaluation struct {
	Condition string `json:"condition"`
	// Rounds are the numbers of the rounds in which it is true.
	Rounds []int `json:"rounds,omitempty"`
	// Unknown says that no round could tell.
	Unknown bool `json:"unknown,omitempty"`
}

// Evaluate asks the rounds for conditions.
func (r *Run) Evaluate(conditions []bench.Condition) {
	for _, c := range conditions {
		o := Evaluation{Condition: c.Text, Unknown: true}
		for i := range r.Rounds {
			_, holds, known := c.Eval(&r.Rounds[i])
			o.Unknown = o.Unknown && !known
			if holds {
				o.Rounds = append(o.Rounds, r.Rounds[i].Number)
			}
		}
		r.Conditions = append(r.Conditions, o)
	}
}

// Formats are the formats of Write.
var Formats = []string{"text", "json", "csv", "markdown", "html"}

// Write writes r in one of Formats.
func (r *Run) Write(w io.Writer, format string) error {
	switch format {
	case "text":
		return r.text(w)
	case "markdown":
		return r.markdown(w)
	case "csv":
		return r.csv(w)
	case "html":
		return r.html(w)
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	return fmt.Errorf("format %q: expected one of %s", format, strings.Join(Formats, ", "))
}

// column is one figure of a round, for tables and CSV.
type column struct {
	head, name string // for people, for CSV
	human      func(*bench.Round) string
	exact      func(*bench.Round) string
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func duration(ns int64) string {
	if ns == 0 {
		return "-"
	}
	return human.Duration(time.Duration(ns))
}

func ofSensor(f func(*bench.SensorStats) string) func(*bench.Round) string {
	return func(r *bench.Round) string {
		if r.Sensor == nil {
			return ""
		}
		return f(r.Sensor)
	}
}

func ofUsage(f func(*bench.Round) string) func(*bench.Round) string {
	return func(r *bench.Round) string {
		if r.Usage == nil {
			return ""
		}
		return f(r)
	}
}

func same(head, name string, f func(*bench.Round) string) column { return column{head, name, f, f} }

// aboutSensor is the first column about the sensor itself; those before are
// about load and alerts.
const aboutSensor = 10

var columns = []column{
	same("#", "round", func(r *bench.Round) string { return strconv.Itoa(r.Number) }),
	{"target/s", "target", func(r *bench.Round) string { return human.Number(r.Rate.Target) }, func(r *bench.Round) string { return number(r.Rate.Target) }},
	{"offered/s", "offered", func(r *bench.Round) string { return human.Number(r.Rate.Offered) }, func(r *bench.Round) string { return number(r.Rate.Offered) }},
	same("done", "ok", func(r *bench.Round) string { return strconv.Itoa(r.Total.OK) }),
	same("alerts", "matched", func(r *bench.Round) string { return strconv.Itoa(r.Total.Matched) }),
	same("late", "late", func(r *bench.Round) string { return strconv.Itoa(r.Total.Late) }),
	same("foreign", "foreign", func(r *bench.Round) string { return strconv.Itoa(r.Alerts.Foreign) }),
	same("unread", "malformed", func(r *bench.Round) string { return strconv.FormatUint(r.Alerts.Malformed, 10) }),
	same("lost", "lost", func(r *bench.Round) string { return strconv.Itoa(r.Total.Lost) }),
	{"loss (95% below)", "lost_upper", func(r *bench.Round) string { return human.Share(r.Loss.Share) + " (" + human.Share(r.Loss.Upper) + ")" }, func(r *bench.Round) string { return number(r.Loss.Upper) }},
	{"drops", "drops", ofSensor(func(s *bench.SensorStats) string { return human.Count(int64(s.Drops)) }), ofSensor(func(s *bench.SensorStats) string { return strconv.FormatUint(s.Drops, 10) })},
	{"unsent", "output_drops", ofSensor(func(s *bench.SensorStats) string { return human.Count(int64(s.OutputsDropped + s.Throttled)) }), ofSensor(func(s *bench.SensorStats) string { return strconv.FormatUint(s.OutputsDropped, 10) })},
	{"events/s", "events", ofSensor(func(s *bench.SensorStats) string { return human.Number(s.EventsMean) }), ofSensor(func(s *bench.SensorStats) string { return number(s.EventsMean) })},
	{"syscalls/s", "syscalls", func(r *bench.Round) string {
		if r.Syscalls == nil {
			return ""
		}
		if r.Syscalls.Estimated {
			return "~" + human.Number(r.Syscalls.PerSecond)
		}
		return human.Number(r.Syscalls.PerSecond)
	}, func(r *bench.Round) string {
		if r.Syscalls == nil {
			return ""
		}
		return number(r.Syscalls.PerSecond)
	}},
	{"p50", "latency_p50_ns", func(r *bench.Round) string { return duration(r.Latency.P50) }, func(r *bench.Round) string { return strconv.FormatInt(r.Latency.P50, 10) }},
	{"p99", "latency_p99_ns", func(r *bench.Round) string { return duration(r.Latency.P99) }, func(r *bench.Round) string { return strconv.FormatInt(r.Latency.P99, 10) }},
	{"max", "latency_max_ns", func(r *bench.Round) string { return duration(r.Latency.Max) }, func(r *bench.Round) string { return strconv.FormatInt(r.Latency.Max, 10) }},
	{"CPU", "cpu", ofUsage(func(r *bench.Round) string { return human.Share(r.Usage.CPU) }), ofUsage(func(r *bench.Round) string { return number(r.Usage.CPU) })},
	{"RSS", "rss_peak", ofUsage(func(r *bench.Round) string { return human.Size(r.Usage.RSSPeak) }), ofUsage(func(r *bench.Round) string { return strconv.FormatUint(r.Usage.RSSPeak, 10) })},
}

func (r *Run) csv(w io.Writer) error {
	out := csv.NewWriter(w)
	var row []string
	for _, c := range columns {
		row = append(row, c.name)
	}
	rows := [][]string{append(row, "flags")}
	for i := range r.Rounds {
		row = nil
		for _, c := range columns {
			row = append(row, c.exact(&r.Rounds[i]))
		}
		rows = append(rows, append(row, flags(&r.Rounds[i])))
	}
	return out.WriteAll(rows)
}

func flags(r *bench.Round) string {
	var words []string
	for _, f := range r.Flags {
		words = append(words, string(f))
	}
	return strings.Join(words, " ")
}

// JUnit writes one test per condition and round. A round that the generator
// limited is skipped: it proves nothing either way.
func (r *Run) JUnit(w io.Writer, conditions []bench.Condition) error {
	var cases []junit.Case
	for i := range r.Rounds {
		round := &r.Rounds[i]
		for _, c := range conditions {
			test := junit.Case{Name: "not " + c.Text, Took: time.Duration(round.DrainEnd - round.Start),
				Class: fmt.Sprintf("round %d at %s actions per second", round.Number, human.Number(round.Rate.Target))}
			value, holds, known := c.Eval(round)
			switch {
			case holds:
				test.Status, test.Message = junit.Failed, fmt.Sprintf("%s: the value is %g", c.Text, value)
			case !known:
				test.Status, test.Message = junit.Skipped, "not known in this round"
			case round.Has(bench.GeneratorLimited):
				test.Status, test.Message = junit.Skipped, "the generator was the limit"
			}
			cases = append(cases, test)
		}
	}
	return junit.Write(w, "peregrine bench", cases)
}

// Host is where a result comes from.
type Host struct {
	Hostname string  `json:"hostname"`
	Kernel   string  `json:"kernel"`
	CPU      string  `json:"cpu"`
	CPUs     int     `json:"cpus"`
	Memory   uint64  `json:"memory"`
	Load     float64 `json:"load_before"` // of the last minute
}

// ReadHost describes this host; unreadable fields stay empty.
func ReadHost() Host {
	m := procfs.Host.Machine()
	name, _ := os.Hostname()
	return Host{Hostname: name, Kernel: m.Kernel, CPU: m.CPU, CPUs: runtime.NumCPU(), Memory: m.Memory, Load: m.Load}
}
