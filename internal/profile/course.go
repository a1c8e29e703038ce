package profile

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

// Slots is how many parts a window has: calls of a few milliseconds come
// together, and a sensor rests between them.
const Slots = 10

const (
	// ownStrands is how many syscalls have strands of their own.
	ownStrands = 16
	// undecided is after how many windows they are chosen: until then, all
	// syscalls have one.
	undecided = 600 * perSecond
)

// course is a strand on its way: the calls of each window, and their slots.
type course struct {
	counts []uint32
	slots  []uint16 // a bit for each slot
	exact  *tracked // nil for a strand without
}

func newCourse(windows int, exactly bool) *course {
	c := &course{counts: make([]uint32, windows), slots: make([]uint16, windows)}
	if exactly {
		c.exact = &tracked{}
	}
	return c
}

// add takes the next window; nil for one without calls.
func (c *course) add(slots *[Slots]float64) {
	var sum float64
	if slots != nil {
		for _, n := range slots {
			sum += n
		}
	}
	if c.exact != nil {
		if slots == nil {
			slots = new([Slots]float64)
		}
		sum = float64(c.exact.add(len(c.counts), slots))
	}
	c.counts = append(c.counts, uint32(math.Round(min(sum, math.MaxUint32))))
	c.slots = append(c.slots, busySlots(slots, sum))
}

// busySlots are those with at least half as many calls as on average.
func busySlots(slots *[Slots]float64, sum float64) (busy uint16) {
	for i := range Slots {
		if slots != nil && slots[i] > 0 && slots[i] >= sum/Slots/2 {
			busy |= 1 << i
		}
	}
	return busy
}

// join makes one course of two.
func (c *course) join(o *course) {
	for i := range c.counts {
		c.counts[i] += min(o.counts[i], math.MaxUint32-c.counts[i])
		c.slots[i] |= o.slots[i]
	}
}

func (c *course) strand(key strandKey) Strand {
	s := Strand{Group: key.group, Syscall: key.syscall, Container: key.container, Counts: c.counts}
	if c.exact != nil {
		s.Exact = &Exact{len(c.counts), c.exact.busy}
	} else {
		s.Slots = encodeSlots(c.slots)
	}
	return s
}

// key is the strand of a syscall.
func (b *Builder) key(syscall string, container bool) strandKey {
	own := strandKey{GroupOf(syscall), syscall, container}
	if b.chosen != nil && !b.chosen[own] {
		own.syscall = ""
	}
	return own
}

// own leaves their strands to the most frequent syscalls and to those that
// sensors look at, and makes one strand of the others in each group.
func (b *Builder) own() (strands map[strandKey]*course, chosen map[strandKey]bool) {
	strands, chosen = map[strandKey]*course{}, b.exactKeys()
	sums := map[strandKey]float64{}
	for key, c := range b.strands {
		for _, n := range c.counts {
			sums[key] += float64(n)
		}
	}
	keys := slices.SortedFunc(maps.Keys(b.strands), func(x, y strandKey) int {
		return cmp.Or(cmp.Compare(sums[y], sums[x]), cmp.Compare(x.syscall, y.syscall), index(x.container)-index(y.container))
	})
	frequent := 0
	for _, key := range keys {
		to := key
		switch {
		case chosen[key]:
			strands[key] = b.strands[key]
			continue
		case frequent < ownStrands && key.syscall != "":
			chosen[key] = true
			frequent++
		default:
			to.syscall = ""
		}
		if strands[to] == nil {
			strands[to] = newCourse(b.windows, false)
		}
		strands[to].join(b.strands[key])
	}
	return strands, chosen
}

// addTo adds the calls to a strand's slots.
func (c *Count) addTo(slots *[Slots]float64) {
	for i := range slots {
		if c.Slots == nil {
			slots[i] += c.Calls / Slots
		} else {
			slots[i] += c.Slots[i]
		}
	}
}
