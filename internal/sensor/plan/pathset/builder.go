package pathset

import "slices"

// node is a state under construction; edges are by class, 0 means none (no
// edge leads back to state 0).
type node struct {
	edges     [MaxClasses]uint16
	fail      uint16
	seen, end Clauses
	within    *Clauses // of an entry of a directory, before the next slash
}

const (
	start  = 0 // trie of patterns that begin with the path
	middle = 1 // trie of patterns that may begin anywhere
)

type builder struct {
	set   Set
	nodes []node
	// entries are the states of the second trie in entries of directories.
	entries map[entry]uint16
	slash   int // the class of '/'
}

// entry is a state of the second trie in an entry of a directory.
type entry struct {
	within *Clauses
	state  uint16
}

// New builds the automaton for patterns.
func New(patterns []Pattern) (*Set, error) {
	b := builder{nodes: make([]node, 2, 256), entries: map[entry]uint16{}}
	b.nodes[start].fail, b.nodes[middle].fail = middle, middle
	if err := b.classify(patterns); err != nil {
		return nil, err
	}
	for _, p := range patterns {
		if err := b.insert(p); err != nil {
			return nil, err
		}
	}
	if err := b.link(); err != nil {
		return nil, err
	}
	return b.tables(), nil
}

// classify gives each byte that occurs in a pattern a class of its own, from 1.
func (b *builder) classify(patterns []Pattern) error {
	used := []byte{'/'}
	for _, p := range patterns {
		used = append(used, p.Text...)
	}
	slices.Sort(used)
	used = slices.Compact(used)
	if len(used) >= MaxClasses {
		return ErrTooLarge
	}
	for i, c := range used {
		b.set.Classes[c] = uint8(i + 1)
	}
	b.slash = int(b.set.Classes['/'])
	return nil
}

func (b *builder) insert(p Pattern) error {
	at := uint16(middle)
	if p.Kind == Exact || p.Kind == Prefix || p.Kind == Within {
		at = start
	}
	for i := range len(p.Text) {
		class := b.set.Classes[p.Text[i]]
		next := b.nodes[at].edges[class]
		if next == 0 {
			if len(b.nodes) == MaxStates {
				return ErrTooLarge
			}
			next = uint16(len(b.nodes))
			b.nodes = append(b.nodes, node{})
			b.nodes[at].edges[class] = next
		}
		at = next
	}
	switch p.Kind {
	case Exact, Suffix:
		b.nodes[at].end.add(&p.Mask)
	case Within:
		if b.nodes[at].within == nil {
			b.nodes[at].within = &Clauses{}
		}
		b.nodes[at].within.add(&p.Mask)
	default:
		b.nodes[at].seen.add(&p.Mask)
	}
	return nil
}

// link completes the edges breadth first: where a state has none, it goes
// where the longest proper suffix that is itself a state goes.
func (b *builder) link() error {
	if err := b.complete(middle); err != nil {
		return err
	}
	b.nodes[start].seen.add(&b.nodes[middle].seen)
	b.nodes[start].end.add(&b.nodes[middle].end)
	return b.complete(start)
}

func (b *builder) complete(root uint16) error {
	queue := []uint16{root}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for class := range MaxClasses {
			back := b.fall(at, class)
			next := b.nodes[at].edges[class]
			within := b.nodes[at].within
			if class == b.slash {
				within = nil
			}
			if next == 0 {
				back, err := b.entry(within, back)
				if err != nil {
					return err
				}
				b.nodes[at].edges[class] = back
				continue
			}
			n := &b.nodes[next]
			n.fail = back
			n.seen.add(&b.nodes[back].seen)
			n.end.add(&b.nodes[back].end)
			if within != nil {
				n.within = within
				n.end.add(within)
			}
			queue = append(queue, next)
		}
	}
	return nil
}

// entry is the state of the second trie in an entry of a directory: like the one
// of the trie itself, but it is left only by a slash.
func (b *builder) entry(within *Clauses, state uint16) (uint16, error) {
	if within == nil {
		return state, nil
	}
	if known, ok := b.entries[entry{within, state}]; ok {
		return known, nil
	}
	if len(b.nodes) == MaxStates {
		return 0, ErrTooLarge
	}
	made := uint16(len(b.nodes))
	b.entries[entry{within, state}] = made
	n := b.nodes[state]
	n.end.add(within)
	b.nodes = append(b.nodes, n)
	for class := range MaxClasses {
		if class == b.slash {
			continue
		}
		next, err := b.entry(within, n.edges[class])
		if err != nil {
			return 0, err
		}
		b.nodes[made].edges[class] = next
	}
	return made, nil
}

// fall is the state that state at falls back to on class.
func (b *builder) fall(at uint16, class int) uint16 {
	if at == middle {
		return middle
	}
	return b.nodes[b.nodes[at].fail].edges[class]
}

func (b *builder) tables() *Set {
	s := b.set // a copy: the builder is larger, and goes
	s.Next = make([]uint16, len(b.nodes)*MaxClasses)
	s.Seen = make([]Clauses, len(b.nodes))
	s.End = make([]Clauses, len(b.nodes))
	for i := range b.nodes {
		for class, next := range b.nodes[i].edges {
			if b.nodes[next].seen != (Clauses{}) {
				next |= Output
			}
			s.Next[i*MaxClasses+class] = next
		}
		s.Seen[i], s.End[i] = b.nodes[i].seen, b.nodes[i].end
	}
	return &s
}
