package diagnose

import (
	"maps"
	"slices"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/sample"
)

// CurveOf takes the median of the rows of one sensor that answer for each CPU
// limit. A limit
// that a smaller one outdoes is left out: more CPU takes nothing away, so the
// smaller one's answer holds there too.
func CurveOf(sensor string, rows []capacity.Row) capacity.Curve {
	by := map[float64][]capacity.Row{}
	limits, choice := chosen(rows)
	for _, k := range limits {
		for _, i := range choice[k] {
			if k.sensor == sensor && rows[i].Syscalls > 0 && k.limit.CPU > 0 {
				by[k.limit.CPU] = append(by[k.limit.CPU], rows[i])
			}
		}
	}
	curve := capacity.Curve{Sensor: sensor}
	for _, cpu := range slices.Sorted(maps.Keys(by)) {
		p := pointOf(cpu, by[cpu])
		if n := len(curve.Points); n == 0 || p.Rate > curve.Points[n-1].Rate {
			curve.Points = append(curve.Points, p)
		}
	}
	curve.Knee = knee(curve.Points)
	return curve
}

func pointOf(cpu float64, rows []capacity.Row) capacity.Point {
	p := capacity.Point{CPU: cpu, Certain: true}
	var rates, operations []float64
	for _, row := range rows {
		rates, operations = append(rates, row.Syscalls), append(operations, row.NDR.Lower)
		p.AtLeast = p.AtLeast || row.Status == capacity.AtLeast
		p.Certain = p.Certain && row.Status == capacity.Confirmed
	}
	p.Rate, p.Operations = sample.Median(rates), sample.Median(operations)
	return p
}

// knee looks at certain points only: a bound is no place on a curve.
func knee(points []capacity.Point) *capacity.Point {
	points = slices.DeleteFunc(slices.Clone(points), func(p capacity.Point) bool { return !p.Certain })
	for i := 1; i < len(points); i++ {
		gain := (points[i].Rate - points[i-1].Rate) / (points[i].CPU - points[i-1].CPU)
		if gain < points[0].Rate/points[0].CPU/2 {
			return &points[i-1]
		}
	}
	return nil
}

// tolerance is how much less a larger limit may give before the machine is
// called noisy.
const tolerance = 0.05

// Inversions returns the rows that are worse than a row with less CPU and no
// more memory, which no sensor can be. A lower bound does not count as worse.
func Inversions(rows []capacity.Row) []int {
	var found []int
	for i, high := range rows {
		for _, low := range rows {
			lessMemory := high.Limit.Memory == 0 || (low.Limit.Memory > 0 && low.Limit.Memory <= high.Limit.Memory)
			if high.Sensor == low.Sensor && high.Status != capacity.AtLeast && high.Syscalls > 0 && low.Limit.CPU < high.Limit.CPU && lessMemory && high.Syscalls < low.Syscalls*(1-tolerance) {
				found = append(found, i)
				break
			}
		}
	}
	return found
}
