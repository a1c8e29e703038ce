package plan

// NumBits is how many rules the probe can tell apart.
const NumBits = 127

// NoRule is the bit of what is needed for no rule's sake: by the process table,
// or because users asked for it.
const NoRule = NumBits

// Bits is a set of rules in the form that the probe keeps. Every enabled rule has
// one of its bits. Where there are more rules than bits, neighbours, which tend
// to be about the same events, share one: it is set where any of them could
// match.
type Bits [2]uint64

// AllBits has every rule, and NoRule.
var AllBits = Bits{^uint64(0), ^uint64(0)}

// BitOf is the bit of the given rule among so many.
func BitOf(rule, rules int) int {
	if rules <= NumBits {
		return rule
	}
	return rule * NumBits / rules
}

// Set puts a bit into the set.
func (b *Bits) Set(bit int) { b[bit/64] |= 1 << (bit % 64) }

// Has says whether a bit is in the set.
func (b Bits) Has(bit int) bool { return b[bit/64]&(1<<(bit%64)) != 0 }

// Or is the union of two sets.
func (b Bits) Or(c Bits) Bits { return Bits{b[0] | c[0], b[1] | c[1]} }

// And is what two sets have in common.
func (b Bits) And(c Bits) Bits { return Bits{b[0] & c[0], b[1] & c[1]} }

// Empty says whether no rule is in the set.
func (b Bits) Empty() bool { return b == Bits{} }

// Bits is the mask in the probe's form.
func (m Mask) Bits(rules int) (b Bits) {
	for i := range rules {
		if m.Has(i) {
			b.Set(BitOf(i, rules))
		}
	}
	return b
}
