package match

import (
	"math"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Quantiles sums up a distribution of durations. All are in ns.
type Quantiles struct {
	Count int64 `json:"count"`
	Min   int64 `json:"min_ns"`
	P50   int64 `json:"p50_ns"`
	P90   int64 `json:"p90_ns"`
	P99   int64 `json:"p99_ns"`
	P999  int64 `json:"p999_ns"`
	Max   int64 `json:"max_ns"`
}

// A Histogram spans 1 ns to 1000 s with 3 significant digits; values outside
// are counted at the edge.
const histogramMax = int64(1e12)

// Histogram counts durations in fixed memory; it can be merged, which
// percentiles cannot.
type Histogram struct{ h *hdrhistogram.Histogram }

// NewHistogram is an empty Histogram.
func NewHistogram() *Histogram { return &Histogram{hdrhistogram.New(1, histogramMax, 3)} }

// Add counts one duration in ns.
func (h *Histogram) Add(ns int64) {
	_ = h.h.RecordValue(min(max(ns, 0), histogramMax)) // within range by construction
}

// Merge adds all of o's values to h.
func (h *Histogram) Merge(o *Histogram) { h.h.Merge(o.h) }

// Quantiles sums h up; zero for an empty Histogram.
func (h *Histogram) Quantiles() Quantiles {
	if h.h.TotalCount() == 0 {
		return Quantiles{}
	}
	at := h.h.ValueAtQuantile
	return Quantiles{
		Count: h.h.TotalCount(),
		Min:   h.h.Min(), P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: h.h.Max(),
	}
}

// curveSteps is the number of points of a curve per halving of the remainder.
const curveSteps = 4

// CurveQuantile is the share of durations that element i of a curve bounds:
// 1 - 2^(-i/4), so that each further nine has as many points (as in
// HdrHistogram's percentile iterator).
func CurveQuantile(i int) float64 { return 1 - math.Exp2(-float64(i)/curveSteps) }

// Curve is the whole distribution in some dozens of values: element i, in ns,
// is not exceeded by the share CurveQuantile(i). The last is the longest; nil
// for an empty Histogram.
func (h *Histogram) Curve() []int64 {
	n := float64(h.h.TotalCount())
	if n == 0 {
		return nil
	}
	var curve []int64
	for i := 0; ; i++ {
		q := CurveQuantile(i)
		if (1-q)*n < 1 {
			return append(curve, h.h.Max())
		}
		curve = append(curve, h.h.ValueAtQuantile(100*math.Ceil(q*n)/n)) // it rounds to the nearest rank
	}
}
