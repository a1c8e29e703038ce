package alert

import (
	"slices"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

// Rules of the sensor's own messages, as Falco names them: tools look for
// these.
const (
	RuleEventDrop       = "Falco internal: syscall event drop"
	RuleMetricsSnapshot = "Falco internal: metrics snapshot"
	RuleTimeouts        = "Falco internal: timeouts notification"
	RuleRestartFailure  = "Falco internal: hot restart failure"
	RuleCaptureSize     = "Falco internal: capture size limit reached"
)

// SourceInternal is the source of the sensor's own messages.
const SourceInternal = "internal"

// Message is a message of the sensor about itself that goes out as an alert.
type Message struct {
	Time     int64 // ns since the epoch
	Rule     string
	Priority Priority
	Text     string
	Fields   []Field
}

// Internal makes the alert for a message of the sensor about itself. Its text
// has all fields, as JSON values, in parentheses.
func Internal(m Message, opts Options) *Alert {
	fields := slices.Clone(m.Fields)
	slices.SortFunc(fields, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	var b []byte
	for i := range fields {
		if v := &fields[i].Value; v.Kind == String {
			v.Str = string(appendSafe(nil, v.Str))
		}
	}
	if opts.ISO8601 {
		b = append(field.AppendUTC(b, uint64(m.Time)), "+0000"...)
	} else {
		b = time.Unix(0, m.Time).AppendFormat(b, "15:04:05.000000000")
	}
	b = append(append(append(b, ": "...), m.Priority.String()...), ' ')
	message := len(b)
	b = append(appendSafe(b, m.Text), " ("...)
	for i, f := range fields {
		if i > 0 {
			b = append(b, ' ')
		}
		b = f.Value.appendJSON(append(append(b, f.Name...), '='))
	}
	text := string(append(b, ')'))
	a := &Alert{
		Time: m.Time, Rule: m.Rule, Priority: m.Priority, Source: SourceInternal, Hostname: opts.Hostname,
		Output: text, Message: text[message:], Fields: fields, Line: []byte(text),
	}
	if opts.JSON {
		a.Line = internalJSON(m, a)
	}
	return a
}

func internalJSON(m Message, a *Alert) []byte {
	b := append([]byte(`{"hostname":`), quoted(a.Hostname)...)
	b = append(append(b, `,"output":`...), quoted(m.Text)...)
	b = append(b, `,"output_fields":{`...)
	for i, f := range a.Fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = f.Value.appendJSON(append(append(b, quoted(f.Name)...), ':'))
	}
	b = append(append(b, `},"priority":`...), quoted(a.Priority.String())...)
	b = append(append(b, `,"rule":`...), quoted(a.Rule)...)
	b = append(b, `,"source":"internal","time":"`...)
	return append(field.AppendUTC(b, uint64(a.Time)), `Z"}`...)
}
