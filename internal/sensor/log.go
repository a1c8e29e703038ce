package sensor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"log/syslog"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
)

// newLogger makes the configured logger, and the writer of its lines, which the
// caller closes at the end.
func newLogger(cfg *config.Config, stderr io.Writer) (*slog.Logger, *logWriter) {
	var to []io.Writer
	if cfg.LogStderr {
		to = append(to, stderr)
	}
	if cfg.LogSyslog {
		// Without a syslog daemon, skip it.
		if w, err := syslog.New(syslog.LOG_INFO|syslog.LOG_DAEMON, "peregrine"); err == nil {
			to = append(to, w)
		}
	}
	out := newLogWriter(each(to))
	return slog.New(&logHandler{level: logLevel(cfg.LogLevel), iso: cfg.TimeISO8601, out: out}), out
}

// each writes to all, whichever of them fails.
type each []io.Writer

func (all each) Write(line []byte) (int, error) {
	var errs []error
	for _, w := range all {
		_, err := w.Write(line)
		errs = append(errs, err)
	}
	return len(line), errors.Join(errs...)
}

func logLevel(name string) slog.Level {
	switch name {
	case "debug":
		return slog.LevelDebug
	case "warning":
		return slog.LevelWarn
	case "error", "critical", "alert", "emergency":
		return slog.LevelError
	}
	return slog.LevelInfo
}

// logHandler writes lines as Falco does: the date, a colon, the text.
type logHandler struct {
	level  slog.Level
	iso    bool
	out    io.Writer
	prefix string // attributes of With, formatted
}

func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level }

func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	if h.iso {
		b.WriteString(r.Time.UTC().Format("2006-01-02T15:04:05-0700"))
	} else {
		b.WriteString(r.Time.Format(time.ANSIC))
	}
	b.WriteString(": ")
	if r.Level >= slog.LevelWarn {
		b.WriteString(map[bool]string{false: "Warning: ", true: "Error: "}[r.Level >= slog.LevelError])
	}
	b.WriteString(r.Message)
	b.WriteString(h.prefix)
	r.Attrs(func(a slog.Attr) bool {
		appendAttr(&b, a)
		return true
	})
	b.WriteByte('\n')
	_, err := io.WriteString(h.out, b.String())
	return err
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	for _, a := range attrs {
		appendAttr(&b, a)
	}
	with := *h
	with.prefix += b.String()
	return &with
}

// WithGroup ignores the group: the lines are for people.
func (h *logHandler) WithGroup(string) slog.Handler { return h }

func appendAttr(b *strings.Builder, a slog.Attr) {
	text := a.Value.String()
	if strings.ContainsAny(text, " \t\n\"=") || text == "" {
		text = fmt.Sprintf("%q", text)
	}
	fmt.Fprintf(b, " %s=%s", a.Key, text)
}
