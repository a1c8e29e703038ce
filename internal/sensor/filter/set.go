package filter

import (
	"math/bits"
	"slices"
)

// oneOfTexts says whether a text is in the list.
func oneOfTexts(values []string) textMatch {
	list := slices.Compact(slices.Sorted(slices.Values(values)))
	switch len(list) {
	case 0:
		return func(string) bool { return false }
	case 1:
		v := list[0]
		return func(s string) bool { return s == v }
	case 2:
		v, w := list[0], list[1]
		return func(s string) bool { return s == v || s == w }
	}
	if h, ok := newPerfect(list); ok {
		return h.has
	}
	set := make(map[string]struct{}, len(list))
	for _, v := range list {
		set[v] = struct{}{}
	}
	return func(s string) bool { _, ok := set[s]; return ok }
}

// perfect is a hash table without collisions, found by trying multipliers: a
// lookup is one multiplication and one comparison, a few times faster than a
// map for the short names that rules list. Most slots are empty, so they are
// bytes.
type perfect struct {
	list  []string
	slots []uint8 // index of list, from 1; 0 for none
	mul   uint64
	shift uint8
}

// digest mixes length and a few bytes of s; names in a list mostly differ in
// those.
func digest(s string) uint64 {
	n := len(s)
	if n == 0 {
		return 0
	}
	return uint64(n) | uint64(s[0])<<8 | uint64(s[n-1])<<16 | uint64(s[n/2])<<24 |
		uint64(s[n/4])<<32 | uint64(s[3*n/4])<<40 | uint64(s[n-1-n/8])<<48
}

// newPerfect finds a table for list, which has no duplicates; false if every
// table would be too large, e.g. because two texts have the same digest.
// For the shortest lists comparing is as fast; for long ones there is hardly
// ever a table without collisions.
func newPerfect(list []string) (*perfect, bool) {
	if len(list) < 3 || len(list) > 128 {
		return nil, false
	}
	seen := make(map[uint64]bool, len(list))
	for _, s := range list {
		d := digest(s)
		if seen[d] {
			return nil, false
		}
		seen[d] = true
	}
	// Two to the power of twice the logarithm makes a collision-free
	// multiplier likely; 4096 slots bound the memory.
	for size := bits.Len(uint(len(list) * 2)); size <= 12; size++ {
		h := &perfect{list: list, slots: make([]uint8, 1<<size), shift: uint8(64 - size)}
		for mul, tries := uint64(0x9E3779B97F4A7C15), 0; tries < 32; tries++ {
			if h.fill(mul) {
				return h, true
			}
			mul = mul*6364136223846793005 + 1442695040888963407 | 1
		}
	}
	return nil, false
}

func (h *perfect) fill(mul uint64) bool {
	clear(h.slots)
	h.mul = mul
	for n, s := range h.list {
		i := digest(s) * mul >> h.shift
		if h.slots[i] != 0 {
			return false
		}
		h.slots[i] = uint8(n + 1)
	}
	return true
}

func (h *perfect) has(s string) bool {
	n := h.slots[digest(s)*h.mul>>h.shift]
	return n != 0 && h.list[n-1] == s
}
