package bench

import (
	"github.com/peregrine-sec/peregrine/internal/bench/match"
	"github.com/peregrine-sec/peregrine/internal/condition"
)

// Metrics are the figures of a round for conditions.
var Metrics = condition.Metrics[Round]{
	"lost":         condition.Share(func(r *Round) (float64, bool) { return r.Loss.Share, r.Loss.Of > 0 }),
	"lost.upper":   condition.Share(func(r *Round) (float64, bool) { return r.Loss.Upper, r.Loss.Of > 0 }),
	"lost.count":   condition.Number(func(r *Round) (float64, bool) { return float64(r.Total.Lost), true }),
	"late":         condition.Number(func(r *Round) (float64, bool) { return float64(r.Total.Late), true }),
	"failed":       condition.Number(func(r *Round) (float64, bool) { return float64(r.Total.Failed), true }),
	"duplicates":   condition.Number(func(r *Round) (float64, bool) { return float64(r.Alerts.Duplicate), true }),
	"foreign":      condition.Number(func(r *Round) (float64, bool) { return float64(r.Alerts.Foreign), true }),
	"offered":      condition.Number(func(r *Round) (float64, bool) { return r.Rate.Offered, true }),
	"completed":    condition.Number(func(r *Round) (float64, bool) { return r.Rate.Completed, true }),
	"drops":        condition.Number(ofSensor(func(s *SensorStats) float64 { return float64(s.Drops) })),
	"drop_pct":     condition.Share(ofSensor(func(s *SensorStats) float64 { return s.DropPercent / 100 })),
	"events":       condition.Number(ofSensor(func(s *SensorStats) float64 { return s.EventsMean })),
	"output_drops": condition.Number(ofSensor(func(s *SensorStats) float64 { return float64(s.OutputsDropped) })),
	"throttled":    condition.Number(ofSensor(func(s *SensorStats) float64 { return float64(s.Throttled) })),
	"cpu":          condition.Share(ofUsage(func(r *Round) float64 { return r.Usage.CPU })),
	"cpu.peak":     condition.Share(ofUsage(func(r *Round) float64 { return r.Usage.CPUPeak })),
	"rss":          condition.Size(ofUsage(func(r *Round) float64 { return float64(r.Usage.RSSPeak) })),
	"pss":          condition.Size(ofUsage(func(r *Round) float64 { return float64(r.Usage.PSSPeak) })),
	"latency.p50":  condition.Duration(ofLatency(func(q match.Quantiles) int64 { return q.P50 })),
	"latency.p90":  condition.Duration(ofLatency(func(q match.Quantiles) int64 { return q.P90 })),
	"latency.p99":  condition.Duration(ofLatency(func(q match.Quantiles) int64 { return q.P99 })),
	"latency.p999": condition.Duration(ofLatency(func(q match.Quantiles) int64 { return q.P999 })),
	"latency.max":  condition.Duration(ofLatency(func(q match.Quantiles) int64 { return q.Max })),
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

// Condition is a --fail-if about every round: one that is true fails the run.
type Condition = condition.Condition[Round]

// ParseCondition reads "lost>0.1%", "latency.p99 > 50ms", "rss>=64MiB".
func ParseCondition(s string) (Condition, error) { return condition.Parse(s, Metrics) }
