// Package eventlog writes log lines in the format of Falco's event-generator, for
// programs that parse its log:
//
//	INFO action executed                               action=syscall.ClearLogActivities
//	{"action":"syscall.ClearLogActivities","level":"info","msg":"action executed"}
//
// A level of four letters, the message in 44 columns, then fields by name.
package eventlog

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// Level is the severity of a line.
type Level int

const (
	Debug Level = iota
	Info
	Warn
	Error
)

var levels = []struct {
	text, name string
	color      int
}{{"DEBU", "debug", 37}, {"INFO", "info", 36}, {"WARN", "warning", 33}, {"ERRO", "error", 31}}

// ParseLevel understands logrus's names; those above error count as error.
func ParseLevel(name string) (Level, error) {
	switch strings.ToLower(name) {
	case "trace", "debug":
		return Debug, nil
	case "info":
		return Info, nil
	case "warn", "warning":
		return Warn, nil
	case "error", "fatal", "panic":
		return Error, nil
	}
	return 0, fmt.Errorf("log level %q: expected debug, info, warning or error", name)
}

// Fields are a line's values by name: strings, numbers, booleans, durations.
type Fields map[string]any

// Logger writes lines at or above a level. Its methods may be called by
// several goroutines.
type Logger struct {
	Out   io.Writer
	Level Level
	JSON  bool
	Color bool
	mu    sync.Mutex
}

// Log writes one line.
func (l *Logger) Log(level Level, message string, fields Fields) {
	if level < l.Level {
		return
	}
	line := l.text(level, message, fields)
	if l.JSON {
		line = jsonLine(level, message, fields)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = io.WriteString(l.Out, line+"\n") // an error cannot be reported
}

func (l *Logger) text(level Level, message string, fields Fields) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %-44s ", l.paint(level, levels[level].text), message)
	for _, name := range names(fields) {
		fmt.Fprintf(&b, " %s=%s", l.paint(level, name), quote(fmt.Sprint(fields[name])))
	}
	return b.String()
}

func (l *Logger) paint(level Level, text string) string {
	if !l.Color {
		return text
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", levels[level].color, text)
}

// jsonLine has the keys in order, as encoding/json sorts those of a map.
func jsonLine(level Level, message string, fields Fields) string {
	object := map[string]any{"level": levels[level].name, "msg": message}
	for name, value := range fields {
		switch v := value.(type) {
		case time.Duration:
			object[name] = int64(v)
		case error:
			object[name] = v.Error()
		default:
			object[name] = v
		}
	}
	line, err := json.Marshal(object)
	if err != nil {
		return fmt.Sprintf(`{"level":"error","msg":%q}`, err.Error())
	}
	return string(line)
}

func names(fields Fields) []string {
	var list []string
	for name := range fields {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

// quote quotes texts with anything but letters, digits and -._/@^+.
func quote(s string) string {
	for _, r := range s {
		plain := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._/@^+", r)
		if !plain {
			return fmt.Sprintf("%q", s)
		}
	}
	return s
}
