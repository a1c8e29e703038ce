package sensorstats

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// labelEnv is the prefix of environment variables that become keys of every
// line: FALCO_STATS_EXTRA_NODE=a is written as "NODE": "a".
const labelEnv = "FALCO_STATS_EXTRA_"

// Label is an additional string key of every line.
type Label struct{ Key, Value string }

// Labels picks the labels out of an environment, in the order of their names.
func Labels(environ []string) []Label {
	var labels []Label
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if key, ok := strings.CutPrefix(name, labelEnv); ok && key != "" {
			labels = append(labels, Label{key, value})
		}
	}
	sort.Slice(labels, func(i, j int) bool { return labels[i].Key < labels[j].Key })
	return labels
}

// appendLine appends s as one line of a `-s` file: the shape of Falco's stats
// file up to 0.32, trailing comma included, with our keys after drop_pct. Old
// readers find their keys in the same place and form.
func appendLine(dst []byte, s Sample, labels []Label) []byte {
	dst = append(dst, `{"sample": `...)
	dst = strconv.AppendUint(dst, s.Number, 10)
	for _, l := range labels {
		dst = fmt.Appendf(dst, `, %s: %s`, quote(l.Key), quote(l.Value))
	}
	dst = appendCounters(append(dst, `, "cur": `...), s.Cur)
	dst = appendCounters(append(dst, `, "delta": `...), s.Delta)
	dst = append(dst, `, "drop_pct": `...)
	// Six significant digits: the default of the C++ stream that wrote it.
	dst = strconv.AppendFloat(dst, s.Delta.DropPercent(), 'g', 6, 64)
	dst = append(dst, `, "time": `...)
	dst = strconv.AppendInt(dst, s.Time, 10)
	if x := s.Extra; x != nil {
		c := x.DropsByCause
		dst = fmt.Appendf(dst, `, "filtered": %d, "delivered": %d, "alerts": %d, "outputs_dropped": %d, "throttled": %d`+
			`, "drops_by_cause": {"buffer": %d, "page_fault": %d, "scratch": %d, "other": %d}`,
			x.Filtered, x.Delivered, x.Alerts, x.OutputsDropped, x.Throttled,
			c.Buffer, c.PageFault, c.Scratch, c.Other)
	}
	return append(dst, "},\n"...)
}

func appendCounters(dst []byte, c Counters) []byte {
	return fmt.Appendf(dst, `{"events": %d, "drops": %d, "preemptions": %d}`, c.Events, c.Drops, c.Preemptions)
}

// Writer appends samples to a `-s` file. It is not safe for concurrent use.
type Writer struct {
	w      io.WriteCloser
	labels []Label
	last   Sample
	line   []byte
	torn   bool // the last line is unfinished
}

// OpenWriter appends to the file at path, which is created if need be and
// never truncated: the runs of a sensor follow each other in one file, and the
// sample number begins at 1 with each.
func OpenWriter(path string, labels []Label) (*Writer, error) {
	// A pipe without a reader must not block the writer: O_NONBLOCK, open(2).
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open stats file: %w", err)
	}
	return newWriter(f, labels), nil
}

// newWriter writes samples to w, one Write call per line.
func newWriter(w io.WriteCloser, labels []Label) *Writer {
	return &Writer{w: w, labels: labels}
}

// Write appends the cumulative counts at now as the next sample, and computes
// its number and delta. The line is complete in the file when it returns. A
// sample that could not be written is part of the next one's delta.
func (w *Writer) Write(now time.Time, cur Counters, extra Extra) error {
	next := Sample{
		Number: w.last.Number + 1,
		Time:   now.UnixNano(),
		Cur:    cur,
		Delta:  cur.Sub(w.last.Cur),
		Extra:  &extra,
	}
	w.line = w.line[:0]
	if w.torn {
		w.line = append(w.line, '\n')
	}
	before := len(w.line)
	w.line = appendLine(w.line, next, w.labels)
	if f, ok := w.w.(*os.File); ok {
		_ = f.SetWriteDeadline(time.Now().Add(time.Second)) // pipes only; files do not need it
	}
	if n, err := w.w.Write(w.line); err != nil {
		w.torn = !w.takeBack(n) && (n > before || w.torn && n == 0)
		return fmt.Errorf("write stats sample %d: %w", next.Number, err)
	}
	w.last, w.torn = next, false
	return nil
}

// takeBack removes the last n bytes, those of a line that did not fit: readers
// take no half line.
func (w *Writer) takeBack(n int) bool {
	f, ok := w.w.(interface {
		io.Seeker
		Truncate(size int64) error
	})
	if !ok {
		return false
	}
	end, err := f.Seek(0, io.SeekEnd)
	return err == nil && f.Truncate(end-int64(n)) == nil
}

// Close closes the underlying file.
func (w *Writer) Close() error { return w.w.Close() }

// quote writes a JSON string: labels come from the environment, and may hold
// anything.
func quote(s string) []byte {
	b, _ := json.Marshal(s) // a string cannot fail
	return b
}
