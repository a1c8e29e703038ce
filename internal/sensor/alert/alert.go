// Package alert is the output of the detection loop: one Alert per match of a
// rule, formatted while the event was still in ring memory, and owning all its
// bytes. Outputs receive Alerts by pointer, share them, must not change them,
// and may release them.
package alert

import (
	"fmt"
	"unsafe"
)

// Priority is the severity of a rule, as in syslog: 0 is the most urgent.
type Priority uint8

// The priorities in Falco's order and numbering.
const (
	Emergency Priority = iota
	AlertPriority
	Critical
	Error
	Warning
	Notice
	Informational
	Debug
)

var priorityNames = [...]string{
	"Emergency", "Alert", "Critical", "Error", "Warning", "Notice", "Informational", "Debug",
}

// Value is one typed output field. Kind says which member holds the value.
type Value struct {
	Kind ValueKind
	Str  string
	Int  int64
	Uint uint64
	Dbl  float64
}

// ValueKind discriminates Value.
type ValueKind uint8

// The kinds of values that appear in output_fields.
const (
	Null ValueKind = iota // missing: null in JSON, "<NA>" in text
	String
	Int
	Uint
	Bool // Uint is 0 or 1
	Double
)

// Field is one entry of output_fields: the field's text as the output
// template writes it, and its value.
type Field struct {
	Name  string
	Value Value
}

// Alert is one match of one rule.
type Alert struct {
	// Time is the event's time in ns since the epoch.
	Time     int64
	Rule     string
	Priority Priority
	Source   string // "syscall", or "internal" for the sensor's own messages
	Hostname string
	Tags     []string // sorted
	// Output is the whole text line: "TIME: PRIORITY message". It, Message and
	// Fields are missing with Options.LineOnly.
	Output string
	// Message is Output without time and priority.
	Message string
	Fields  []Field // sorted by name
	// Line is the line for line-oriented channels, without the newline: Output,
	// or the JSON object, as configured.
	Line []byte

	recycled bool  // comes from spare, and goes back to it
	holders  int32 // that have not released it
}

// Size is roughly the number of bytes that the alert retains: itself, its
// fields with their texts, Output, and Line if that is not Output. Memory
// shared with other alerts of its rule does not count.
func (a *Alert) Size() int {
	size := int(unsafe.Sizeof(*a)) + len(a.Fields)*int(unsafe.Sizeof(Field{})) + len(a.Output)
	for i := range a.Fields {
		size += len(a.Fields[i].Value.Str)
	}
	if unsafe.SliceData(a.Line) != unsafe.StringData(a.Output) {
		size += len(a.Line)
	}
	return size
}

func (p Priority) String() string {
	if int(p) < len(priorityNames) {
		return priorityNames[p]
	}
	return fmt.Sprintf("Priority(%d)", uint8(p))
}
