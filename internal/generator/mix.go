package generator

import (
	"fmt"
	"time"

	"github.com/peregrine-sec/peregrine/internal/generator/pace"
)

// Mix makes rate and shares of the actions change with time, step by step and
// again from the start: the course of a recorded load. Each action belongs to a
// strand and has a fixed share of it.
type Mix struct {
	Each time.Duration // length of a step
	// Rates are actions per second of each strand in each step.
	Rates [][]float64
	// Strands and Shares are of each action: its strand, and its part of that
	// strand's actions. The shares of a strand are 1 together.
	Strands []int
	Shares  []float64
}

// pacer is the schedule of all strands together.
func (m *Mix) pacer() pace.Series {
	var totals []float64
	for _, rates := range m.Rates {
		if totals == nil {
			totals = make([]float64, len(rates))
		}
		for i, rate := range rates {
			if i < len(totals) {
				totals[i] += rate
			}
		}
	}
	return pace.NewSeries(totals, m.Each)
}

func (m *Mix) check(actions int) error {
	if len(m.Strands) != actions || len(m.Shares) != actions {
		return fmt.Errorf("mix of %d strands and %d shares for %d actions", len(m.Strands), len(m.Shares), actions)
	}
	for _, rates := range m.Rates {
		if len(rates) != len(m.Rates[0]) {
			return fmt.Errorf("mix with strands of %d and %d steps", len(rates), len(m.Rates[0]))
		}
	}
	for i, s := range m.Strands {
		if s < 0 || s >= len(m.Rates) || !(m.Shares[i] >= 0) || m.Shares[i] > 1+1e-9 {
			return fmt.Errorf("action %d has the share %g of strand %d of %d", i, m.Shares[i], s, len(m.Rates))
		}
	}
	return nil
}

// of is the part of the mix that some of the actions make.
func (m *Mix) of(actions []int) *Mix {
	sums := make([]float64, len(m.Rates))
	for _, a := range actions {
		sums[m.Strands[a]] += m.Shares[a]
	}
	part := &Mix{Each: m.Each}
	for s, rates := range m.Rates {
		scaled := make([]float64, len(rates))
		for i, rate := range rates {
			scaled[i] = rate * sums[s]
		}
		part.Rates = append(part.Rates, scaled)
	}
	for _, a := range actions {
		s := m.Strands[a]
		part.Strands = append(part.Strands, s)
		part.Shares = append(part.Shares, m.Shares[a]/max(sums[s], 1e-300))
	}
	return part
}

// mixPicker gives the places of a mix's schedule to its actions. In each step
// an action has a part of the numbers from 0 to 1. Place n takes the one that
// holds the fraction of n times the golden ratio: of any n places in a row,
// each action gets its share to within one or two, where drawing by lot would
// be off by the square root.
type mixPicker struct {
	series  pace.Series
	ends    [][]float64 // of each step: the upper ends of the strands' parts
	strands []mixStrand
}

// mixStrand is the actions of a strand, and the upper ends of their parts of it.
type mixStrand struct {
	actions []uint16
	ends    []float64
}

const goldenRatio = 0.6180339887498949 // its fraction

func newMixPicker(m *Mix) *mixPicker {
	p := &mixPicker{series: m.pacer(), strands: make([]mixStrand, len(m.Rates))}
	for a, s := range m.Strands {
		strand := &p.strands[s]
		before := 0.0
		if n := len(strand.ends); n > 0 {
			before = strand.ends[n-1]
		}
		strand.actions = append(strand.actions, uint16(a))
		strand.ends = append(strand.ends, before+m.Shares[a])
	}
	for i := range m.Rates[0] {
		ends := make([]float64, len(m.Rates))
		var sum float64
		for s := range m.Rates {
			sum += m.Rates[s][i]
			ends[s] = sum
		}
		for s := range ends {
			ends[s] /= max(sum, 1e-300)
		}
		p.ends = append(p.ends, ends)
	}
	return p
}

// at is the action in place n, which is due then.
func (p *mixPicker) at(n uint64, due time.Duration) uint16 {
	x := float64(n) * goldenRatio
	x -= float64(uint64(x))
	ends := p.busy(p.series.Step(due))
	s := find(ends, x)
	before := 0.0
	if s > 0 {
		before = ends[s-1]
	}
	strand := &p.strands[s]
	if width := ends[s] - before; width > 0 {
		x = (x - before) / width
	}
	return strand.actions[find(strand.ends, x*strand.ends[len(strand.ends)-1])]
}

// busy is the parts of a step, or those of the last one before it in which
// anything is due: the time of an action at the very end of a step is rounded,
// and may be in the next.
func (p *mixPicker) busy(step int) []float64 {
	for range p.ends {
		ends := p.ends[step]
		if ends[len(ends)-1] > 0 {
			return ends
		}
		step = (step - 1 + len(p.ends)) % len(p.ends)
	}
	return p.ends[step]
}

// find is the first part that x lies in.
func find(ends []float64, x float64) int {
	for i, end := range ends {
		if x < end {
			return i
		}
	}
	for i := len(ends) - 1; i > 0; i-- { // rounding: the last one that has a part
		if ends[i] > ends[i-1] {
			return i
		}
	}
	return 0
}
