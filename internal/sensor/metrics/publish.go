package metrics

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// Publisher sends a snapshot at each interval as an alert, to a file, or both.
type Publisher struct {
	config config.Metrics
	take   func() (Snapshot, error)
	send   func(alert.Message)
	prev   *Snapshot
	sample uint64
}

// NewPublisher makes a Publisher that takes snapshots with take and sends
// alerts with send.
func NewPublisher(c config.Metrics, take func() (Snapshot, error), send func(alert.Message)) *Publisher {
	return &Publisher{config: c, take: take, send: send}
}

// Run publishes until ctx ends. It returns an error if no snapshot can be
// taken. A file that cannot be written is tried again; report gets the result
// of each attempt.
func (p *Publisher) Run(ctx context.Context, report func(error)) error {
	return wait.Every(ctx, time.Duration(p.config.Interval), func(time.Time) error {
		s, err := p.take()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("metrics snapshot: %w", err)
		}
		report(p.Publish(s))
		return nil
	})
}

// Publish sends one snapshot.
func (p *Publisher) Publish(s Snapshot) error {
	fields := Fields(&s, p.prev, p.config)
	p.prev = &s
	p.sample++
	if p.config.OutputRule {
		p.send(alert.Message{
			Time: s.Time, Rule: alert.RuleMetricsSnapshot, Priority: alert.Informational,
			Text: "Falco metrics snapshot", Fields: fields,
		})
	}
	if p.config.OutputFile == "" {
		return nil
	}
	return p.appendLine(fields)
}

// appendLine reopens the file each time, so that rotation needs no signal.
func (p *Publisher) appendLine(fields []alert.Field) error {
	line, err := json.Marshal(struct {
		Fields map[string]jsonValue `json:"output_fields"`
		Sample uint64               `json:"sample"`
	}{asMap(fields), p.sample})
	if err != nil {
		return fmt.Errorf("metrics snapshot: %w", err)
	}
	// A pipe without a reader must not block the stop: O_NONBLOCK, open(2).
	f, err := os.OpenFile(p.config.OutputFile, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return fmt.Errorf("metrics.output_file: %w", err)
	}
	defer f.Close()
	_ = f.SetWriteDeadline(time.Now().Add(time.Second)) // pipes only; files do not need it
	if _, err := f.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("metrics.output_file: %w", err)
	}
	return nil
}

// jsonValue is a field's value with its JSON form.
type jsonValue alert.Value

func (v jsonValue) MarshalJSON() ([]byte, error) {
	switch v.Kind {
	case alert.String:
		return json.Marshal(v.Str)
	case alert.Uint:
		return json.Marshal(v.Uint)
	case alert.Double:
		return json.Marshal(v.Dbl)
	}
	return []byte("null"), nil // Fields makes no others
}

func asMap(fields []alert.Field) map[string]jsonValue {
	m := make(map[string]jsonValue, len(fields))
	for _, f := range fields {
		m[f.Name] = jsonValue(f.Value)
	}
	return m
}
