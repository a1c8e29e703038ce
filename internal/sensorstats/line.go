package sensorstats

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/human"
)

// errOtherSource says that a line is about plugin events, not syscalls.
var errOtherSource = errors.New("not about syscalls")

// line is the union of the file formats; the keys present tell which it is.
type line struct {
	Sample *uint64   `json:"sample"`
	Cur    *Counters `json:"cur"` // up to 0.32, and ours
	Delta  *Counters `json:"delta"`
	Time   int64     `json:"time"` // ours from here
	// Filtered stands for all of Extra: the keys come together or not at all.
	Filtered *uint64 `json:"filtered"`

	Syscall *struct { // 0.33 and 0.34: one object per event source
		Cur   Counters `json:"cur"`
		Delta Counters `json:"delta"`
	} `json:"syscall"`

	Fields map[string]json.RawMessage `json:"output_fields"` // since 0.35
}

// parseLine decodes one line of any generation. hasDelta says whether the line
// gave s.Delta. An empty line is errOtherSource, too.
func parseLine(text []byte) (s Sample, hasDelta bool, err error) {
	// The oldest format ends each line with a comma, some tools put brackets
	// around the file to make it an array.
	text = bytes.Trim(bytes.TrimSpace(text), "[], \t\r")
	if len(text) == 0 {
		return s, false, errOtherSource
	}
	var l line
	if err := human.ParseJSON(text, &l); err != nil {
		return s, false, fmt.Errorf("not a stats line: %w", err)
	}
	if l.Sample == nil {
		return s, false, errors.New(`not a stats line: no key "sample"`)
	}
	s.Number = *l.Sample
	switch {
	case l.Cur != nil:
		s.Cur, s.Time, s.Stamped = *l.Cur, l.Time, l.Time != 0
		if l.Delta != nil {
			s.Delta, hasDelta = *l.Delta, true
		}
		if l.Filtered != nil {
			s.Extra = new(Extra)
			err = json.Unmarshal(text, s.Extra)
		}
		return s, hasDelta, err
	case l.Syscall != nil:
		s.Cur, s.Delta = l.Syscall.Cur, l.Syscall.Delta
		return s, true, nil
	case l.Fields != nil:
		return parseFields(s, l.Fields)
	}
	return s, false, errOtherSource
}

// parseFields reads the flat metrics of 0.35 and later. Falco omits zero
// values, so a missing counter is 0, but a line with none is not about
// syscalls.
func parseFields(s Sample, fields map[string]json.RawMessage) (Sample, bool, error) {
	if source := strings.Trim(string(fields["evt.source"]), `"`); source != "" && source != "syscall" {
		return s, false, errOtherSource
	}
	if _, ok := fields["scap.n_evts"]; !ok {
		if _, ok := fields["falco.num_evts"]; !ok {
			return s, false, errOtherSource
		}
		return s, false, errors.New("no scap.n_evts in the metrics: set metrics.kernel_event_counters_enabled: true")
	}
	number := func(name string) uint64 { return parseCount(fields[name]) }
	s.Cur = Counters{number("scap.n_evts"), number("scap.n_drops"), number("scap.n_preemptions")}
	s.Time = int64(number("evt.time"))
	s.Stamped = s.Time != 0
	drops := Causes{
		Buffer:    number("scap.n_drops_buffer_total"),
		PageFault: number("scap.n_drops_page_faults"),
		Scratch:   number("scap.n_drops_scratch_map"),
	}
	drops.Other = s.Cur.Drops - min(s.Cur.Drops, drops.Buffer+drops.PageFault+drops.Scratch)
	s.Extra = &Extra{
		Delivered:      number("falco.num_evts"),
		Alerts:         number("falco.rules.matches_total"),
		OutputsDropped: number("falco.outputs_queue_num_drops"),
		DropsByCause:   drops,
	}
	if _, ok := fields["scap.n_evts_prev"]; !ok {
		return s, false, nil
	}
	prev := Counters{Events: number("scap.n_evts_prev"), Drops: number("scap.n_drops_prev"), Preemptions: s.Cur.Preemptions}
	if s.Cur.before(prev) {
		return s, false, nil
	}
	s.Delta = s.Cur.Sub(prev)
	return s, true, nil
}

// parseCount reads a count that may be quoted or have a fraction.
func parseCount(raw json.RawMessage) uint64 {
	text := strings.Trim(string(raw), `"`)
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return n
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && f > 0 && f < 1<<63 {
		return uint64(f)
	}
	return 0
}
