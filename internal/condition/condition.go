// Package condition is the grammar of --fail-if: a metric compared with a
// value, as in "lost>0.1%", "latency.p99 > 50ms", "rss>=64MiB" or "offered<5k".
package condition

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/human"
)

// Metric is one figure of a T.
type Metric[T any] struct {
	// Read reads a value in the metric's unit.
	Read func(string) (float64, error)
	// Of is the figure; known is false where x does not tell it.
	Of func(x *T) (value float64, known bool)
}

// Metrics are the figures of a T by their names.
type Metrics[T any] map[string]Metric[T]

// Names are the metrics' names in order.
func (m Metrics[T]) Names() []string { return slices.Sorted(maps.Keys(m)) }

// Condition compares a metric with a value.
type Condition[T any] struct {
	Text   string
	metric Metric[T]
	holds  func(a, b float64) bool
	value  float64
}

var comparisons = map[string]func(a, b float64) bool{
	">":  func(a, b float64) bool { return a > b },
	">=": func(a, b float64) bool { return a >= b },
	"<":  func(a, b float64) bool { return a < b },
	"<=": func(a, b float64) bool { return a <= b },
	"==": func(a, b float64) bool { return a == b },
	"!=": func(a, b float64) bool { return a != b },
}

// Parse reads a condition on metrics.
func Parse[T any](s string, metrics Metrics[T]) (c Condition[T], err error) {
	i := strings.IndexAny(s, "<>=!")
	if i < 0 {
		return c, fmt.Errorf("condition %q: expected a metric, a comparison and a value, as in lost>0.1%%", s)
	}
	j := i + 1
	if j < len(s) && s[j] == '=' {
		j++
	}
	name := strings.TrimSpace(s[:i])
	metric, ok := metrics[name]
	if !ok {
		return c, fmt.Errorf("condition %q: unknown metric %q: expected one of %s", s, name, strings.Join(metrics.Names(), ", "))
	}
	holds := comparisons[s[i:j]]
	if holds == nil {
		return c, fmt.Errorf("condition %q: unknown comparison %q: expected > >= < <= == or !=", s, s[i:j])
	}
	value, err := metric.Read(s[j:])
	if err != nil {
		return c, fmt.Errorf("condition %q: %w", s, err)
	}
	return Condition[T]{s, metric, holds, value}, nil
}

// Eval compares x. known is false if x does not tell the metric.
func (c Condition[T]) Eval(x *T) (value float64, holds, known bool) {
	value, known = c.metric.Of(x)
	return value, known && c.holds(value, c.value), known
}

// Number is a metric without a unit.
func Number[T any](of func(*T) (float64, bool)) Metric[T] { return Metric[T]{human.ParseNumber, of} }

// Share is a metric that is a share of one.
func Share[T any](of func(*T) (float64, bool)) Metric[T] { return Metric[T]{human.ParseShare, of} }

// Duration is a metric in nanoseconds.
func Duration[T any](of func(*T) (float64, bool)) Metric[T] {
	return Metric[T]{func(s string) (float64, error) {
		d, err := human.ParseDuration(s)
		return float64(d), err
	}, of}
}

// Size is a metric in bytes.
func Size[T any](of func(*T) (float64, bool)) Metric[T] {
	return Metric[T]{func(s string) (float64, error) {
		n, err := human.ParseSize(s)
		return float64(n), err
	}, of}
}
