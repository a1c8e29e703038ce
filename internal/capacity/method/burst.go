package method

import (
	"math"
	"slices"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sample"
	"github.com/peregrine-sec/peregrine/internal/sensorstats"
)

// Burst is the trace of one round of load in a stats file: samples that lie
// above the idle level, one after the other. Samples are given by index.
type Burst struct {
	First, Last int
	Edges       []int // partly load, partly rest
	Plateau     []int // load throughout, before the first drop
	FirstDrop   int   // -1 for none
	Rate        float64
	Drops       uint64
}

// Shape is the shape of a stats file, read without knowledge of rounds.
type Shape struct {
	Bursts []Burst
	Idle   float64 // events per second, mean of the resting samples
	Resting,
	IdleDrops int // resting samples, and drops in them
}

// edgeShare is how far below its burst's median a first or last sample has to
// be to count as partly rest.
const edgeShare = 0.8

// shapeOf finds the bursts of load in samples. interval is the time of one
// sample where the file does not tell it.
func shapeOf(samples []sensorstats.Sample, interval time.Duration) Shape {
	threshold := threshold(samples)
	var s Shape
	var idle []float64
	begin := -1
	for i := 0; i <= len(samples); i++ {
		if i < len(samples) && samples[i].Whole() && float64(samples[i].Delta.Events) > threshold {
			if begin < 0 {
				begin = i
			}
			continue
		}
		if begin >= 0 {
			s.Bursts = append(s.Bursts, burstOf(samples, begin, i-1, interval))
			begin = -1
		}
		if i < len(samples) && samples[i].Whole() {
			idle = append(idle, samples[i].Rate(interval))
			s.IdleDrops += int(samples[i].Delta.Drops)
		}
	}
	s.Idle, s.Resting = mean(idle), len(idle)
	return s
}

func mean(xs []float64) float64 {
	if len(xs) == 0 {
		return 0
	}
	sum := 0.0
	for _, x := range xs {
		sum += x
	}
	return sum / float64(len(xs))
}

// threshold separates rest from load: the geometric mean of the two levels
// that 2-means finds on a logarithmic scale. +Inf if there is only one level.
func threshold(samples []sensorstats.Sample) float64 {
	var logs []float64
	for i := range samples {
		if samples[i].Whole() {
			logs = append(logs, math.Log(float64(samples[i].Delta.Events)))
		}
	}
	if len(logs) < 2 {
		return math.Inf(1)
	}
	low, high := slices.Min(logs), slices.Max(logs)
	for range 100 {
		var below, above []float64
		for _, x := range logs {
			if x-low < high-x {
				below = append(below, x)
			} else {
				above = append(above, x)
			}
		}
		if len(below) == 0 || len(above) == 0 {
			return math.Inf(1)
		}
		nextLow, nextHigh := mean(below), mean(above)
		if nextLow == low && nextHigh == high {
			break
		}
		low, high = nextLow, nextHigh
	}
	if high-low < math.Log(2) {
		return math.Inf(1) // one level that wobbles
	}
	return math.Exp((low + high) / 2)
}

func burstOf(samples []sensorstats.Sample, first, last int, interval time.Duration) Burst {
	b := Burst{First: first, Last: last, FirstDrop: -1}
	var events []float64
	for i := first; i <= last; i++ {
		events = append(events, float64(samples[i].Delta.Events))
		b.Drops += samples[i].Delta.Drops
		if samples[i].Delta.Drops > 0 && b.FirstDrop < 0 {
			b.FirstDrop = i
		}
	}
	least := edgeShare * sample.Median(events)
	var rates []float64
	for i := first; i <= last; i++ {
		switch {
		case (i == first || i == last) && float64(samples[i].Delta.Events) < least:
			b.Edges = append(b.Edges, i)
		case b.FirstDrop < 0 || i < b.FirstDrop:
			b.Plateau = append(b.Plateau, i)
			rates = append(rates, samples[i].Rate(interval))
		}
	}
	b.Rate = mean(rates)
	return b
}
