package profile

import "slices"

// clumpsPerSecond is how many such milliseconds a recording may have, so that a
// minute of them takes less than 30 kB. With more, there is hardly rest between.
// A recording of more than ten minutes loses them as soon as there are too many.
const clumpsPerSecond = 200

// Clumps takes the milliseconds of the next window, in order, before it is added.
func (b *Builder) Clumps(container bool, milliseconds []int) {
	place := index(container)
	if len(b.clumps[place]) > clumpsPerSecond*undecided/perSecond && len(b.clumps[place]) > clumpsPerSecond*b.windows/perSecond {
		b.dense[place] = true
		b.clumps[place] = nil
	}
	for _, ms := range milliseconds {
		if !b.dense[place] {
			b.clumps[place] = append(b.clumps[place], Busy{uint32(b.windows*Slots*Slots + ms), 1})
		}
	}
}

// clumped are those of all windows. The host or the containers lack them if they
// have too many.
func (b *Builder) clumped() (all []Clumps) {
	for i, busy := range b.clumps {
		if n := len(busy); n > 0 && float64(n) <= clumpsPerSecond*b.Elapsed().Seconds() {
			all = append(all, Clumps{i == 1, &Exact{b.windows * Slots, busy}})
		}
	}
	return all
}

// In are the milliseconds of the host's or the containers' clumps, from the start
// of the shape; none if they are not known.
func (s *Shape) In(container bool) []Busy {
	for _, c := range s.Clumps {
		if c.Container == container {
			return c.Milliseconds.Busy
		}
	}
	return nil
}

// clumpsBetween are the clumps of some windows.
func (s *Shape) clumpsBetween(from, to int) (part []Clumps) {
	for _, c := range s.Clumps {
		part = append(part, Clumps{c.Container, c.Milliseconds.windows(from*Slots, to*Slots)})
	}
	return part
}

// followClumps appends clumps after silence up to a number of windows.
func (s *Shape) followClumps(clumps []Clumps, windows int) {
	for _, c := range clumps {
		i := slices.IndexFunc(s.Clumps, func(o Clumps) bool { return o.Container == c.Container })
		if i < 0 {
			i = len(s.Clumps)
			s.Clumps = append(s.Clumps, Clumps{c.Container, &Exact{}})
		}
		to := &s.Clumps[i]
		to.Milliseconds = to.Milliseconds.follow(&Exact{Windows: windows*Slots - to.Milliseconds.Windows}).follow(c.Milliseconds)
	}
}
