package generator

import "math/rand/v2"

// picker says which action has place n of the schedule. It is a pure function
// of the options, so that a run repeats whatever its workers do.
type picker struct {
	pass  []uint16 // action indices, each as often as its weight
	perms []uint16 // permutations of pass, one after another; nil if listed
	draw  bool
	seed  uint64
}

// shuffles is how many different orders of a pass there are.
const shuffles = 16

// newPicker builds the tables for the given weights (0 stands for 1).
func newPicker(weights []int, order Order, seed uint64) *picker {
	p := &picker{draw: order == Random, seed: seed}
	divisor := 0
	for _, w := range weights {
		divisor = gcd(max(w, 1), divisor)
	}
	for i, w := range weights {
		for range max(w, 1) / divisor {
			p.pass = append(p.pass, uint16(i))
		}
	}
	if order == Listed || p.draw {
		return p
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	for range shuffles {
		for _, i := range rng.Perm(len(p.pass)) {
			p.perms = append(p.perms, p.pass[i])
		}
	}
	return p
}

// at returns the index of the action in place n.
func (p *picker) at(n uint64) uint16 {
	switch {
	case p.draw:
		return p.pass[splitmix(p.seed+n)%uint64(len(p.pass))]
	case p.perms != nil:
		return p.perms[n%uint64(len(p.perms))]
	}
	return p.pass[n%uint64(len(p.pass))]
}

// splitmix is the finaliser of SplitMix64 (Steele, Lea, Flood 2014): a random
// number for each n without a state to share.
func splitmix(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
