package profile

import (
	"cmp"
	"math"
	"slices"
)

// maxWindows is the length of a shape: a minute of a recording.
const maxWindows = 60 * perSecond

// Sample keeps at most that many windows, in whole seconds and in their order:
// evenly from the quietest second to the busiest, and the one with the highest
// window among them. Windows within a second keep their neighbours, so that
// bursts stay as they are.
func (s *Shape) Sample(windows int) Shape {
	n := s.Windows()
	if n <= windows {
		return *s
	}
	var kept Shape
	keep := chosen(s.Totals(), windows/perSecond)
	for _, strand := range s.Strands {
		k := Strand{Group: strand.Group, Syscall: strand.Syscall, Container: strand.Container}
		for _, second := range keep {
			k.follow(strand.windows(second*perSecond, (second+1)*perSecond), len(k.Counts))
		}
		kept.Strands = append(kept.Strands, k)
	}
	for i, second := range keep {
		kept.followClumps(s.clumpsBetween(second*perSecond, (second+1)*perSecond), i*perSecond)
	}
	return kept
}

// Groups is the shape with one strand for each group, on the host and in
// containers: for pictures.
func (s *Shape) Groups() Shape {
	var g Shape
	for _, strand := range s.Strands {
		i := slices.IndexFunc(g.Strands, func(o Strand) bool { return o.Group == strand.Group && o.Container == strand.Container })
		if i < 0 {
			g.Strands = append(g.Strands, Strand{Group: strand.Group, Container: strand.Container, Counts: slices.Clone(strand.Counts)})
			continue
		}
		for w, n := range strand.Counts {
			g.Strands[i].Counts[w] += min(n, math.MaxUint32-g.Strands[i].Counts[w])
		}
	}
	return g
}

// Flat is the same load without its course: only rates are left.
func (p *Profile) Flat() *Profile {
	flat := *p
	flat.Shape = Shape{}
	return &flat
}

// chosen picks k of the seconds that windows make, in their order.
func chosen(windows []float64, k int) []int {
	n := len(windows) / perSecond
	sums := make([]float64, n)
	highest := 0 // the second of the highest window
	peak := -1.0
	for i, x := range windows[:n*perSecond] {
		sums[i/perSecond] += x
		if x > peak {
			peak, highest = x, i/perSecond
		}
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(sums[a], sums[b]) })
	var keep []int
	for i := range k {
		keep = append(keep, order[(2*i+1)*n/(2*k)]) // the middle of each of k equal parts
	}
	if !slices.Contains(keep, highest) {
		keep[k-1] = highest
	}
	slices.Sort(keep)
	return keep
}
