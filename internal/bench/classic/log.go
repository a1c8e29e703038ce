package classic

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Log writes event-generator's log lines: the ones that people, and scripts,
// have read for years.
type Log struct {
	W     io.Writer
	JSON  bool
	Color bool
	Now   func() time.Time // for JSON; nil leaves the time out
}

// Field is one key=value of a line.
type Field struct {
	Key   string
	Value any // string, time.Duration, int, uint64 or float64
}

type level struct {
	name, short string
	color       int
}

var (
	info = level{"info", "INFO", 36}
	warn = level{"warning", "WARN", 33}
)

// bare are the values that need no quotes.
var bare = regexp.MustCompile(`^[A-Za-z0-9\-._/@^+]*$`)

// Info writes a line of the common kind.
func (l *Log) Info(message string, fields ...Field) error { return l.line(info, message, fields) }

// Warn writes a warning.
func (l *Log) Warn(message string, fields ...Field) error { return l.line(warn, message, fields) }

func (l *Log) line(lv level, message string, fields []Field) error {
	var line []byte
	if l.JSON {
		object := map[string]any{"level": lv.name, "msg": message}
		if l.Now != nil {
			object["time"] = l.Now().UTC().Format(time.RFC3339Nano)
		}
		for _, f := range fields {
			object[f.Key] = f.Value // a duration is a number of ns
		}
		var err error
		if line, err = json.Marshal(object); err != nil {
			return err
		}
	} else {
		line = []byte(l.text(lv, message, fields))
	}
	_, err := l.W.Write(append(line, '\n'))
	return err
}

func (l *Log) text(lv level, message string, fields []Field) string {
	paint := func(s string) string {
		if l.Color {
			return fmt.Sprintf("\x1b[%dm%s\x1b[0m", lv.color, s)
		}
		return s
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %-44s ", paint(lv.short), message)
	fields = slices.Clone(fields)
	slices.SortFunc(fields, func(a, b Field) int { return strings.Compare(a.Key, b.Key) })
	for _, f := range fields {
		value := fmt.Sprint(f.Value)
		if !bare.MatchString(value) || value == "" {
			value = fmt.Sprintf("%q", value)
		}
		fmt.Fprintf(&b, " %s=%s", paint(f.Key), value)
	}
	return b.String()
}
