package generator

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/generator/pace"
)

// Mix makes rate and shares of the actions change with time, step by step and
// again from the start: the course of a recorded load. Each action belongs to a
// strand and has a fixed share of it.
type Mix struct {
	Each time.Duration // length of a step
	// Rates are actions per second of each strand in each step.
	Rates [][]float64
	// Strands and Shares hold, for each action, its strand and its share of that
	// strand's actions. The shares of a strand add up to 1.
	Strands []int
	Shares  []float64
	// Timed says of each strand whether its actions have times of their own: a
	// whole number of them in each step, at its start, or, with clumps, when those
	// of the strand's place are. Nil: of none.
	Timed  []Timing
	Clumps [2][]uint16 // of each step: a bit for each tenth in which there are any
}

// Timing is where the times of a strand's actions come from.
type Timing uint8

// The timings.
const (
	Even      Timing = iota // evenly spaced
	Host                    // Mix.Clumps[0]
	Container               // Mix.Clumps[1]
)

func (m *Mix) timing(strand int) Timing {
	if m.Timed == nil {
		return Even
	}
	return m.Timed[strand]
}

// peak is the highest rate of all strands together, over a tenth of a second.
func (m *Mix) peak() (highest float64) {
	totals := m.totals()
	steps := max(1, int(100*time.Millisecond/m.Each))
	for i := 0; i < len(totals); i += steps {
		sum := 0.0
		part := totals[i:min(i+steps, len(totals))]
		for _, rate := range part {
			sum += rate
		}
		highest = max(highest, sum/float64(len(part)))
	}
	return highest
}

// pacer is the schedule of all strands together.
func (m *Mix) pacer() pace.Series { return m.series(m.timed()) }

// series is the schedule with these actions that have times of their own.
func (m *Mix) series(steps [][]timed) pace.Series {
	even := &Mix{Rates: slices.Clone(m.Rates)}
	for s, rates := range even.Rates {
		if m.timing(s) != Even {
			even.Rates[s] = make([]float64, len(rates))
		}
	}
	timed := make([][]float64, len(m.Rates[0]))
	for step, actions := range steps {
		for _, a := range actions {
			timed[step] = append(timed[step], a.at)
		}
	}
	return pace.NewSeries(even.totals(), timed, m.Each)
}

// timed is one action with a time of its own, in shares of its step.
type timed struct {
	at     float64
	strand int
}

// timed are those of each step, in order: those of each place are spread over its
// clumps.
func (m *Mix) timed() [][]timed {
	steps := make([][]timed, len(m.Rates[0]))
	counts := make([][]int, len(m.Rates))
	for s := range m.Rates {
		counts[s] = m.bursts(s)
	}
	for step := range steps {
		for place := Host; place <= Container; place++ {
			first := len(steps[step])
			for s := range counts {
				if m.timing(s) == place {
					for range counts[s][step] {
						steps[step] = append(steps[step], timed{strand: s})
					}
				}
			}
			spread(steps[step][first:], m.clumps(place, step))
		}
		slices.SortStableFunc(steps[step], func(a, b timed) int { return cmp.Compare(a.at, b.at) })
	}
	return steps
}

// tenths are the parts of a step that clumps tell apart.
const tenths = 10

// clumps are the tenths of a step with clumps: the first if they are not known.
func (m *Mix) clumps(place Timing, step int) (busy []float64) {
	if of := m.Clumps[place-Host]; step < len(of) {
		for i := range tenths {
			if of[step]>>i&1 == 1 {
				busy = append(busy, float64(i)/tenths)
			}
		}
	}
	if busy == nil {
		busy = []float64{0}
	}
	return busy
}

// spread gives the actions their times, as many to each clump.
func spread(actions []timed, clumps []float64) {
	for i := range actions {
		actions[i].at = clumps[i*len(clumps)/len(actions)]
	}
}

// bursts are the numbers of a strand's actions in each step, if they have times of
// their own, else nil. What is cut off of one counts for the next.
func (m *Mix) bursts(strand int) []int {
	if m.timing(strand) == Even {
		return nil
	}
	counts := make([]int, len(m.Rates[strand]))
	carry := 0.0
	for i, rate := range m.Rates[strand] {
		carry += rate * m.Each.Seconds()
		if n := math.Round(carry); n > 0 {
			counts[i] = int(n)
			carry -= n
		}
	}
	return counts
}

func (m *Mix) totals() (totals []float64) {
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
	return totals
}

func (m *Mix) check(actions int) error {
	if len(m.Strands) != actions || len(m.Shares) != actions {
		return fmt.Errorf("mix of %d strands and %d shares for %d actions", len(m.Strands), len(m.Shares), actions)
	}
	if m.Timed != nil && len(m.Timed) != len(m.Rates) {
		return fmt.Errorf("mix of %d strands has the timing of %d", len(m.Rates), len(m.Timed))
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
	part := &Mix{Each: m.Each, Timed: m.Timed, Clumps: m.Clumps}
	for s, rates := range m.Rates {
		part.Rates = append(part.Rates, scaled(rates, sums[s]))
	}
	for _, a := range actions {
		s := m.Strands[a]
		part.Strands = append(part.Strands, s)
		part.Shares = append(part.Shares, m.Shares[a]/max(sums[s], 1e-300))
	}
	return part
}

// runtimeCalls are those per second that the Go runtime makes in a worker
// process that is never idle: its monitor looks every 10 ms.
var runtimeCalls = map[string]float64{"nanosleep": 97, "epoll_pwait": 97}

// leaveOut leaves calls of a process's mix to its Go runtime, which makes them
// anyway. A mix of nothing else stays unchanged.
func (m *Mix) leaveOut(actions []Choice) *Mix {
	kept := make([]float64, len(m.Rates)) // of each strand
	shares := slices.Clone(m.Shares)
	made := map[string]float64{} // by the runtime, instead of an action
	any := false
	for a, c := range actions {
		strand := m.Strands[a]
		rate := m.mean(strand) * m.Shares[a]
		for syscall, n := range runtimeCalls {
			if c.Name == action.Replayed(syscall, false) && rate > 0 {
				by := min(rate, n-made[syscall])
				made[syscall] += by
				shares[a] *= 1 - by/rate
			}
		}
		kept[strand] += shares[a]
		any = any || rate > 0 && shares[a] > 0
	}
	if !any {
		return m
	}
	left := &Mix{Each: m.Each, Strands: m.Strands, Timed: m.Timed, Clumps: m.Clumps} // shared: nobody changes them
	for s, rates := range m.Rates {
		left.Rates = append(left.Rates, scaled(rates, kept[s]))
	}
	for a, s := range m.Strands {
		left.Shares = append(left.Shares, shares[a]/max(kept[s], 1e-300))
	}
	return left
}

// mean is a strand's rate over all steps.
func (m *Mix) mean(strand int) (mean float64) {
	for _, rate := range m.Rates[strand] {
		mean += rate / float64(len(m.Rates[strand]))
	}
	return mean
}

func scaled(rates []float64, by float64) []float64 {
	s := make([]float64, len(rates))
	for i, rate := range rates {
		s[i] = rate * by
	}
	return s
}

// mixPicker gives the places of a mix's schedule to its actions. Those with times
// of their own are listed. Of the evenly spaced ones each strand
// has a part of the step's time, and takes the places in it: calls of one kind
// come together, as those of real programs do, so that a sensor rests between
// those that it has to look at. So that no strand falls between two places in
// every step, the parts are moved by up to one place: by the fraction of the
// step's number times the golden ratio, which gives each strand its share sooner
// than a lot would. Of a strand's places, place n goes to the action whose part
// of the numbers from 0 to 1 holds the fraction of n times the golden ratio.
type mixPicker struct {
	series  pace.Series
	timed   [][]uint16  // of each step: the actions with times of their own
	ends    [][]float64 // of each step: the upper ends of the strands' parts
	counts  []float64   // of each step: the places in it, without those
	strands []mixStrand
}

// mixStrand is the actions of a strand, and the upper ends of their parts of it.
type mixStrand struct {
	actions []uint16
	ends    []float64
	before  []float64 // places before each step, and in all steps
}

const goldenRatio = 0.6180339887498949 // its fraction

func newMixPicker(m *Mix) *mixPicker {
	timed := m.timed()
	p := &mixPicker{series: m.series(timed), strands: make([]mixStrand, len(m.Rates))}
	for a, s := range m.Strands {
		strand := &p.strands[s]
		before := 0.0
		if n := len(strand.ends); n > 0 {
			before = strand.ends[n-1]
		}
		strand.actions = append(strand.actions, uint16(a))
		strand.ends = append(strand.ends, before+m.Shares[a])
	}
	for s, rates := range m.Rates {
		before := make([]float64, 1, len(rates)+1)
		for i, rate := range rates {
			before = append(before, before[i]+rate*m.Each.Seconds())
		}
		p.strands[s].before = before
	}
	for i := range m.Rates[0] {
		ends := make([]float64, len(m.Rates))
		var sum float64
		for s := range m.Rates {
			if m.timing(s) == Even {
				sum += m.Rates[s][i]
			}
			ends[s] = sum
		}
		for s := range ends {
			ends[s] /= max(sum, 1e-300)
		}
		p.counts = append(p.counts, sum*m.Each.Seconds())
		p.ends = append(p.ends, ends)
	}
	p.list(timed)
	return p
}

// list chooses the actions with times of their own.
func (p *mixPicker) list(steps [][]timed) {
	made := make([]float64, len(p.strands))
	p.timed = make([][]uint16, len(steps))
	for i, actions := range steps {
		for _, a := range actions {
			p.timed[i] = append(p.timed[i], p.strands[a.strand].action(made[a.strand]))
			made[a.strand]++
		}
	}
}

// at is the action in place n.
func (p *mixPicker) at(n uint64) uint16 {
	place := p.series.Place(n)
	if place.Timed >= 0 {
		return p.timed[place.Step][place.Timed]
	}
	steps := len(p.ends)
	moved := fraction((place.Round*float64(steps)+float64(place.Step))*goldenRatio) / max(p.counts[place.Step], 1)
	x := fraction(place.Within + moved)
	ends := p.ends[place.Step]
	s := find(ends, x)
	before := 0.0
	if s > 0 {
		before = ends[s-1]
	}
	if width := ends[s] - before; width > 0 {
		x = (x - before) / width
	}
	strand := &p.strands[s]
	from, to := strand.before[place.Step], strand.before[place.Step+1]
	return strand.action(math.Floor(place.Round*strand.before[steps] + from + x*(to-from)))
}

// action is the one in place n of the strand.
func (s *mixStrand) action(n float64) uint16 {
	return s.actions[find(s.ends, fraction(n*goldenRatio)*s.ends[len(s.ends)-1])]
}

func fraction(x float64) float64 { return x - math.Floor(x) }

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
