package main

import (
	"fmt"
	"slices"

	"github.com/peregrine-sec/peregrine/internal/sample"
)

// condition is what is attached while a workload runs.
type condition int

const (
	alone   condition = iota
	empty             // an empty program at the sensor's hook of syscalls
	watched           // the sensor
	conditions
)

// order is that of the conditions in a round. Two rounds are a block, in which
// they are mirrored: a machine that becomes slower at a constant pace favours
// none. In every other block, another condition is at the edges.
func order(round int) []condition {
	o := []condition{alone, empty, watched}
	if round/2%2 == 1 {
		o[0], o[1] = o[1], o[0]
	}
	if round%2 == 1 {
		slices.Reverse(o)
	}
	return o
}

// slice is a short time of work under one condition.
type slice struct{ ops, seconds float64 }

func (s slice) rate() float64 { return s.ops / s.seconds }

// block has the slices of two rounds, those under each condition together.
type block [conditions]slice

func (b *block) add(c condition, s slice) {
	b[c].ops += s.ops
	b[c].seconds += s.seconds
}

// shares are of the throughput alone, in percent; difference is the sensor's
// less that of the empty program, in points.
type shares struct{ empty, watched, difference sample.Interval }

// keptIn compares within each block only: between blocks, the machine's speed
// may be another.
func keptIn(blocks []block) shares {
	var e, w, d []float64
	for _, b := range blocks {
		base := b[alone].rate() / 100
		e, w = append(e, b[empty].rate()/base), append(w, b[watched].rate()/base)
		d = append(d, (b[watched].rate()-b[empty].rate())/base)
	}
	return shares{sample.MedianInterval(e), sample.MedianInterval(w), sample.MedianInterval(d)}
}

// interval shows a median, and the interval of at least 95 % if there are six values.
func interval(i sample.Interval, unit string) string {
	return fmt.Sprintf("%.1f%s (%.1f to %.1f)", i.Median, unit, i.Low, i.High)
}
