// Package pathset makes one automaton out of all path patterns of a rule set:
// a single pass over a path tells which of them occur. It is small enough for
// the probe to run on every open (probe/bpf/filter.h reads the same tables).
//
// It is Aho and Corasick's construction over two tries: one for patterns that
// begin where the path begins, one for those that may begin anywhere, which
// is also where the first one falls back to; see builder.go. In an entry of
// a directory that a pattern names, the second trie is another one, with the same
// states: so that the automaton does not forget the directory before the next slash.
package pathset

import (
	"errors"
	"strings"
)

// Kind says where in a path a pattern has to occur.
type Kind uint8

const (
	Exact    Kind = iota // the whole path
	Prefix               // at its start
	Suffix               // at its end
	Contains             // anywhere
	Within               // a directory, of which the path is an entry; ends with a slash
)

// NumClauses is the number of clauses that a need can have.
const NumClauses = 4

// Clauses says what texts mean for needs, which have a bit each: the needs of
// which they meet clause 0, 1, ..., and those that they exclude.
type Clauses struct {
	Met      [NumClauses]uint64
	Excluded uint64
}

// add adds what another text says of the same path.
func (c *Clauses) add(other *Clauses) {
	for i := range c.Met {
		c.Met[i] |= other.Met[i]
	}
	c.Excluded |= other.Excluded
}

// Also adds another path of the same call: it is enough that one of them meets a
// clause, and all must exclude a need.
func (c *Clauses) Also(other Clauses) {
	excluded := c.Excluded & other.Excluded
	c.add(&other)
	c.Excluded = excluded
}

// Pattern is a text, the place where it must occur, and what that means.
type Pattern struct {
	Text string
	Kind Kind
	Mask Clauses
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
	// Next is the following state, at state*MaxClasses + class; with Output if
	// patterns have occurred there, which is rare.
	Next []uint16
	// Seen is the mask of the patterns that have occurred when a state is
	// reached, End of those that have when the path ends there.
	Seen, End []Clauses
}

// Output marks a state that has something in Seen.
const Output = 1 << 15

// Match says what path means: the masks of all patterns that occur in it. A
// slash at its end is in its text, but not in the name that it stands for: so
// the patterns also meet clauses that end before it, and none excludes.
func (s *Set) Match(path string) Clauses {
	mask := s.Seen[0]
	return s.finish(0, path, mask)
}

// MatchJoined is Match of name behind dir and a slash.
func (s *Set) MatchJoined(dir, name string) Clauses {
	var state uint16
	mask := s.Seen[0]
	if dir != "/" {
		state = s.feed(state, dir, &mask)
	}
	state = s.feed(state, "/", &mask)
	return s.finish(state, name, mask)
}

// MatchText is Match of the parts of a text that is no path: a slash at its end is
// one like the others.
func (s *Set) MatchText(parts ...string) Clauses {
	mask, state := s.Seen[0], uint16(0)
	for _, part := range parts {
		state = s.feed(state, part, &mask)
	}
	mask.add(&s.End[state])
	return mask
}

// feed reads text from a state on: the following state, and what has occurred.
func (s *Set) feed(state uint16, text string, mask *Clauses) uint16 {
	for i := range len(text) {
		next := s.Next[int(state)*MaxClasses+int(s.Classes[text[i]])]
		state = next &^ Output
		if next&Output != 0 {
			mask.add(&s.Seen[state])
		}
	}
	return state
}

// finish reads the last text of a path.
func (s *Set) finish(state uint16, text string, mask Clauses) Clauses {
	rest := strings.TrimSuffix(text, "/")
	state = s.feed(state, rest, &mask)
	mask.add(&s.End[state])
	if rest != text {
		state = s.feed(state, "/", &mask)
		mask.add(&s.End[state])
		mask.Excluded = 0
	}
	return mask
}
