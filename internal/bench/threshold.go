package bench

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench/match"
)

// Condition is a --fail-if: a metric of a round compared with a value. It is
// about every round; one that is true fails the run.
type Condition struct {
	Text   string
	metric string
	op     string
	value  float64
}

// metrics are what conditions can ask of a round; ok is false where the round
// does not know.
var metrics = map[string]func(*Round) (v float64, ok bool){
	"lost":         func(r *Round) (float64, bool) { return r.Loss.Share, r.Loss.Of > 0 },
	"lost.upper":   func(r *Round) (float64, bool) { return r.Loss.Upper, r.Loss.Of > 0 },
	"lost.count":   func(r *Round) (float64, bool) { return float64(r.Total.Lost), true },
	"late":         func(r *Round) (float64, bool) { return float64(r.Total.Late), true },
	"failed":       func(r *Round) (float64, bool) { return float64(r.Total.Failed), true },
	"duplicates":   func(r *Round) (float64, bool) { return float64(r.Alerts.Duplicate), true },
	"foreign":      func(r *Round) (float64, bool) { return float64(r.Alerts.Foreign), true },
	"offered":      func(r *Round) (float64, bool) { return r.Rate.Offered, true },
	"completed":    func(r *Round) (float64, bool) { return r.Rate.Completed, true },
	"drops":        ofSensor(func(s *SensorStats) float64 { return float64(s.Drops) }),
	"drop_pct":     ofSensor(func(s *SensorStats) float64 { return s.DropPercent / 100 }),
	"events":       ofSensor(func(s *SensorStats) float64 { return s.EventsMean }),
	"output_drops": ofSensor(func(s *SensorStats) float64 { return float64(s.OutputsDropped) }),
	"throttled":    ofSensor(func(s *SensorStats) float64 { return float64(s.Throttled) }),
	"cpu":          ofUsage(func(r *Round) float64 { return r.Usage.CPU }),
	"cpu.peak":     ofUsage(func(r *Round) float64 { return r.Usage.CPUPeak }),
	"rss":          ofUsage(func(r *Round) float64 { return float64(r.Usage.RSSPeak) }),
	"pss":          ofUsage(func(r *Round) float64 { return float64(r.Usage.PSSPeak) }),
	"latency.p50":  ofLatency(func(q match.Quantiles) int64 { return q.P50 }),
	"latency.p90":  ofLatency(func(q match.Quantiles) int64 { return q.P90 }),
	"latency.p99":  ofLatency(func(q match.Quantiles) int64 { return q.P99 }),
	"latency.p999": ofLatency(func(q match.Quantiles) int64 { return q.P999 }),
	"latency.max":  ofLatency(func(q match.Quantiles) int64 { return q.Max }),
}

func ofSensor(f func(*SensorStats) float64) func(*Round) (float64, bool) {
	return func(r *Round) (float64, bool) {
		if r.Sensor == nil {
			return 0, false
		}
		return f(r.Sensor), true
	}
}

func ofUsage(f func(*Round) float64) func(*Round) (float64, bool) {
	return func(r *Round) (float64, bool) {
		if r.Usage == nil {
			return 0, false
		}
		return f(r), true
	}
}

// ofLatency is in ns.
func ofLatency(f func(match.Quantiles) int64) func(*Round) (float64, bool) {
	return func(r *Round) (float64, bool) { return float64(f(r.Latency)), r.Latency.Count > 0 }
}

// Metrics are the names that conditions know.
func Metrics() []string {
	var names []string
	for name := range metrics {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// ParseCondition reads "lost>0.1%", "latency.p99 > 50ms", "rss>=64MiB",
// "offered<5k". Operators are > >= < <= == !=.
func ParseCondition(s string) (Condition, error) {
	i := strings.IndexAny(s, "<>=!")
	if i < 0 {
		return Condition{}, fmt.Errorf("condition %q: expected a metric, a comparison and a value, as in lost>0.1%%", s)
	}
	j := i + 1
	if j < len(s) && s[j] == '=' {
		j++
	}
	c := Condition{Text: s, metric: strings.TrimSpace(s[:i]), op: s[i:j]}
	if metrics[c.metric] == nil {
		return c, fmt.Errorf("condition %q: unknown metric %q: expected one of %s", s, c.metric, strings.Join(Metrics(), ", "))
	}
	if !slices.Contains([]string{">", ">=", "<", "<=", "==", "!="}, c.op) {
		return c, fmt.Errorf("condition %q: unknown comparison %q: expected > >= < <= == or !=", s, c.op)
	}
	var err error
	if c.value, err = parseValue(strings.TrimSpace(s[j:])); err != nil {
		return c, fmt.Errorf("condition %q: %w", s, err)
	}
	return c, nil
}

// parseValue reads a number with one of the units that metrics have: percent,
// a duration, a size, k or M.
func parseValue(s string) (float64, error) {
	if d, err := time.ParseDuration(s); err == nil && strings.HasSuffix(s, "s") {
		return float64(d), nil
	}
	for _, unit := range []struct {
		suffix string
		factor float64
	}{{"%", 0.01}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"k", 1e3}, {"M", 1e6}, {"", 1}} {
		number, ok := strings.CutSuffix(s, unit.suffix)
		if !ok {
			continue
		}
		if v, err := strconv.ParseFloat(strings.TrimSpace(number), 64); err == nil {
			return v * unit.factor, nil
		}
	}
	return 0, fmt.Errorf("value %q: expected a number, with %%, a duration (ms), a size (MiB), k or M", s)
}

// Eval compares. known is false if the round does not tell the metric.
func (c Condition) Eval(r *Round) (value float64, holds, known bool) {
	value, known = metrics[c.metric](r)
	if !known {
		return 0, false, false
	}
	switch c.op {
	case ">":
		holds = value > c.value
	case ">=":
		holds = value >= c.value
	case "<":
		holds = value < c.value
	case "<=":
		holds = value <= c.value
	case "==":
		holds = value == c.value
	case "!=":
		holds = value != c.value
	}
	return value, holds, true
}
