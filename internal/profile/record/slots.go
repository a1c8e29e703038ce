package record

import (
	"iter"
	"math"
	"time"

	"github.com/peregrine-sec/peregrine/internal/profile"
)

const slot = profile.Window / profile.Slots

// reading is the counts at some time after the start of the window.
type reading struct {
	at time.Duration
	counts
}

// slots are the calls of one kind in each slot of the window. Those between two
// readings are taken to be evenly spaced; the last one is at the window's end.
func (r *recording) slots(of func(*counts) uint64, scale float64) *[profile.Slots]float64 {
	slots := new([profile.Slots]float64)
	for c := range r.between(of) {
		for s := int(c.from); c.calls > 0 && s < profile.Slots && float64(s) < c.to; s++ {
			overlap := math.Min(c.to, float64(s+1)) - math.Max(c.from, float64(s))
			slots[s] += scale * c.calls * overlap / max(c.to-c.from, 1e-9)
		}
	}
	return slots
}

// whole is like slots, but keeps the calls between two readings together, in the
// slot in which most of that time is: those of a few milliseconds are seldom
// spread evenly.
func (r *recording) whole(of func(*counts) uint64, scale float64) *[profile.Slots]float64 {
	slots := new([profile.Slots]float64)
	for c := range r.between(of) {
		slots[min(int((c.from+c.to)/2), profile.Slots-1)] += scale * c.calls
	}
	return slots
}

// counted is the calls between two readings, whose times are in slots.
type counted struct{ from, to, calls float64 }

// between are those of one kind in the window.
func (r *recording) between(of func(*counts) uint64) iter.Seq[counted] {
	return func(yield func(counted) bool) {
		length := float64(r.readings[len(r.readings)-1].at) / profile.Slots
		from, before := 0.0, of(&r.before)
		for i := range r.readings {
			to, now := float64(r.readings[i].at)/length, of(&r.readings[i].counts)
			if !yield(counted{from, to, float64(now - before)}) {
				return
			}
			from, before = to, now
		}
	}
}

// milliseconds are those of a window that have a bit. One that is longer is made
// one of the nominal length.
func milliseconds(bits [2]uint64, length time.Duration) (list []int) {
	nominal := float64(profile.Window) / float64(max(length, profile.Window))
	last := -1
	for i := range 128 {
		if ms := min(int(float64(i)*nominal), int(profile.Window/time.Millisecond)-1); bits[i/64]>>(i%64)&1 == 1 && ms != last {
			list = append(list, ms)
			last = ms
		}
	}
	return list
}
