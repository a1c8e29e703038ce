// Package pathset makes one automaton out of all path patterns of a rule set:
// a single pass over a path tells which of them occur. It is small enough for
// the probe to run on every open (probe/bpf/pathset.h reads the same tables).
//
// It is Aho and Corasick's construction over two tries: one for patterns that
// begin where the path begins, one for those that may begin anywhere, which
// is also where the first one falls back to.
package pathset

import (
	"errors"
	"slices"
)

// Kind says where in a path a pattern has to occur.
type Kind uint8

// The kinds of patterns.
const (
	Exact    Kind = iota // the whole path
	Prefix               // at its start
	Suffix               // at its end
	Contains             // anywhere
)

// Pattern is a text, the place where it must occur, and the bits it sets.
type Pattern struct {
	Text string
	Kind Kind
	Mask uint64 // OR-ed into the result when it occurs
}

// Limits of the tables in the probe.
const (
	MaxStates  = 4096
	MaxClasses = 64
)

// ErrTooLarge says that the patterns do not fit into the tables.
var ErrTooLarge = errors.New("path patterns need more than 4096 states or 64 classes of bytes")

// Set is the automaton. State 0 is where a path begins.
type Set struct {
	// Classes maps a byte to its class; bytes that no pattern has share one.
	Classes [256]uint8
	// Next is the following state, at state*MaxClasses + class.
	Next []uint16
	// Seen is the mask of the patterns that have occurred when a state is
	// reached, End of those that have when the path ends there.
	Seen, End []uint64
}

// Match returns the masks of all patterns that occur in path.
func (s *Set) Match(path string) uint64 {
	return s.end(s.feed(s.begin(), path))
}

// MatchJoined is Match of name behind dir and a slash.
func (s *Set) MatchJoined(dir, name string) uint64 {
	at := s.begin()
	if dir != "/" {
		at = s.feed(at, dir)
	}
	return s.end(s.feed(s.feed(at, "/"), name))
}

// position is the state of reading a path: the automaton's state and the bits
// found.
type position struct {
	state uint16
	mask  uint64
}

func (s *Set) begin() position { return position{mask: s.Seen[0]} }

func (s *Set) feed(at position, text string) position {
	for i := range len(text) {
		at.state = s.Next[int(at.state)*MaxClasses+int(s.Classes[text[i]])]
		at.mask |= s.Seen[at.state]
	}
	return at
}

func (s *Set) end(at position) uint64 { return at.mask | s.End[at.state] }

// node is a state under construction; edges are by class, 0 means none (no
// edge leads back to state 0).
type node struct {
	edges     [MaxClasses]uint16
	fail      uint16
	seen, end uint64
}

const (
	start  = 0 // trie of patterns that begin with the path
	middle = 1 // trie of patterns that may begin anywhere
)

type builder struct {
	set   Set
	nodes []node
}

// New builds the automaton for patterns.
func New(patterns []Pattern) (*Set, error) {
	b := builder{nodes: make([]node, 2, 256)}
	b.nodes[start].fail, b.nodes[middle].fail = middle, middle
	if err := b.classify(patterns); err != nil {
		return nil, err
	}
	for _, p := range patterns {
		if err := b.insert(p); err != nil {
			return nil, err
		}
	}
	b.link()
	return b.tables(), nil
}

// classify gives each byte that occurs in a pattern a class of its own, from 1.
func (b *builder) classify(patterns []Pattern) error {
	var used []byte
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
	return nil
}

func (b *builder) insert(p Pattern) error {
	at := uint16(middle)
	if p.Kind == Exact || p.Kind == Prefix {
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
	if p.Kind == Exact || p.Kind == Suffix {
		b.nodes[at].end |= p.Mask
	} else {
		b.nodes[at].seen |= p.Mask
	}
	return nil
}

// link completes the edges breadth first: where a state has none, it goes
// where the longest proper suffix that is itself a state goes.
func (b *builder) link() {
	b.complete(middle)
	b.nodes[start].seen |= b.nodes[middle].seen
	b.nodes[start].end |= b.nodes[middle].end
	b.complete(start)
}

func (b *builder) complete(root uint16) {
	queue := []uint16{root}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for class := range MaxClasses {
			back := b.fall(at, class)
			next := b.nodes[at].edges[class]
			if next == 0 {
				b.nodes[at].edges[class] = back
				continue
			}
			n := &b.nodes[next]
			n.fail = back
			n.seen |= b.nodes[back].seen
			n.end |= b.nodes[back].end
			queue = append(queue, next)
		}
	}
}

// fall is the state that state at falls back to on class.
func (b *builder) fall(at uint16, class int) uint16 {
	if at == middle {
		return middle
	}
	return b.nodes[b.nodes[at].fail].edges[class]
}

func (b *builder) tables() *Set {
	s := &b.set
	s.Next = make([]uint16, len(b.nodes)*MaxClasses)
	s.Seen = make([]uint64, len(b.nodes))
	s.End = make([]uint64, len(b.nodes))
	for i := range b.nodes {
		copy(s.Next[i*MaxClasses:], b.nodes[i].edges[:])
		s.Seen[i], s.End[i] = b.nodes[i].seen, b.nodes[i].end
	}
	return s
}
