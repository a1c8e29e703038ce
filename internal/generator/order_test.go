package generator

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// In every pass each action comes as often as its weight says, whatever the
// order, except when places are drawn.
func TestPasses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(0, 7), 1, 6).Draw(t, "weights")
		order := rapid.SampledFrom([]Order{"", Shuffle, Listed}).Draw(t, "order")
		seed := rapid.Uint64().Draw(t, "seed")
		p := newPicker(weights, order, seed)
		length := uint64(len(p.pass))
		divisor := 0
		for _, w := range weights {
			divisor = gcd(max(w, 1), divisor)
		}
		for pass := range uint64(shuffles + 1) {
			counts := make([]int, len(weights))
			for i := range length {
				counts[p.at(pass*length+i)] += divisor
			}
			for i, w := range weights {
				if counts[i] != max(w, 1) {
					t.Fatalf("pass %d: action %d came %d times, its weight is %d", pass, i, counts[i], w)
				}
			}
		}
	})
}

func TestOrderIsOfTheSeed(t *testing.T) {
	take := func(order Order, seed uint64) (list []uint16) {
		p := newPicker([]int{1, 1, 1, 1, 1, 1, 1, 1}, order, seed)
		for n := range uint64(40) {
			list = append(list, p.at(n))
		}
		return list
	}
	for _, order := range []Order{Shuffle, Random} {
		if cmp.Equal(take(order, 1), take(order, 2)) {
			t.Errorf("%s: two seeds give one order", order)
		}
		if diff := cmp.Diff(take(order, 1), take(order, 1)); diff != "" {
			t.Errorf("%s: one seed gives two orders: %s", order, diff)
		}
	}
	if list := take(Listed, 1); list[0] != 0 || list[9] != 1 {
		t.Errorf("listed: %v", list)
	}
}

func TestRandomFollowsTheWeights(t *testing.T) {
	p := newPicker([]int{3, 1}, Random, 42)
	var first int
	const n = 100_000
	for i := range uint64(n) {
		if p.at(i) == 0 {
			first++
		}
	}
	if first < n*74/100 || first > n*76/100 {
		t.Errorf("%d of %d, expected three quarters", first, n)
	}
}
