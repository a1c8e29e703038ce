package plan

import "testing"

// Every rule has a bit, few rules have one of their own, and no bit has more
// rules than its share.
func TestBitOf(t *testing.T) {
	for _, rules := range []int{1, 64, NumBits, NumBits + 1, 200, 10_000} {
		shared := make([]int, NumBits)
		for i := range rules {
			shared[BitOf(i, rules)]++
		}
		most := (rules + NumBits - 1) / NumBits
		for bit, n := range shared {
			if n > most {
				t.Errorf("%d rules: %d of them have bit %d, want %d at most", rules, n, bit, most)
			}
		}
	}
}

// A mask that becomes bits loses no rule, and gains only those that share one.
func TestBitsOfMask(t *testing.T) {
	const rules = 300
	for i := range rules {
		m := make(Mask, (rules+63)/64)
		m.Set(i)
		bits := m.Bits(rules)
		for j := range rules {
			if want := BitOf(i, rules) == BitOf(j, rules); bits.Has(BitOf(j, rules)) != want {
				t.Errorf("a mask of rule %d has the bit of rule %d: %v, want %v", i, j, !want, want)
			}
		}
	}
}

func TestBits(t *testing.T) {
	var a, b Bits
	a.Set(3)
	a.Set(70)
	b.Set(70)
	b.Set(127)
	both, either := a.And(b), a.Or(b)
	for _, bit := range []int{3, 70, 127, 0} {
		if got, want := both.Has(bit), bit == 70; got != want {
			t.Errorf("bit %d is in both: %v, want %v", bit, got, want)
		}
		if got, want := either.Has(bit), bit != 0; got != want {
			t.Errorf("bit %d is in one: %v, want %v", bit, got, want)
		}
	}
	if !(Bits{}).Empty() || both.Empty() || a.And(AllBits) != a {
		t.Error("the empty set, or that of all rules, is not")
	}
}
