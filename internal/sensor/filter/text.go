package filter

import (
	"encoding/hex"
	"slices"
	"strings"
)

// textMatch says whether a text satisfies an operator with its constants.
type textMatch func(string) bool

// stringMatcher compiles operator and constants of a check on a field of type
// String.
func stringMatcher(c *Check) (textMatch, error) {
	values := texts(c.Values)
	if c.Modifier != NoModifier {
		return modified(c, values)
	}
	switch c.Op {
	case In, Intersects:
		return oneOfTexts(values), nil
	case PMatch:
		return pathMatcher(values), nil
	}
	return oneText(c, values[0])
}

// bytesMatcher is stringMatcher for fields of type Bytes.
func bytesMatcher(c *Check) (textMatch, error) {
	if c.Op != BContains && c.Op != BStartsWith {
		return stringMatcher(c)
	}
	decoded := *c
	decoded.Op = Contains
	if c.Op == BStartsWith {
		decoded.Op = StartsWith
	}
	decoded.Values = slices.Clone(c.Values)
	for i, v := range c.Values {
		b, err := hex.DecodeString(v.Text)
		if err != nil {
			return nil, &Error{Pos: v.At, Msg: "filter error: bcontains and bstartswith operator support hex strings only: " + v.Text}
		}
		decoded.Values[i].Text = string(b)
	}
	return stringMatcher(&decoded)
}

func texts(values []Value) []string {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = v.Text
	}
	return list
}

// oneText compiles an operator with one constant.
func oneText(c *Check, v string) (textMatch, error) {
	switch c.Op {
	case Eq, EqEq:
		return func(s string) bool { return s == v }, nil
	case NotEq:
		return func(s string) bool { return s != v }, nil
	case Less:
		return func(s string) bool { return s < v }, nil
	case LessEq:
		return func(s string) bool { return s <= v }, nil
	case Greater:
		return func(s string) bool { return s > v }, nil
	case GreaterEq:
		return func(s string) bool { return s >= v }, nil
	case Contains:
		return func(s string) bool { return strings.Contains(s, v) }, nil
	case IContains:
		return func(s string) bool { return containsFold(s, v) }, nil
	case StartsWith:
		return func(s string) bool { return strings.HasPrefix(s, v) }, nil
	case EndsWith:
		return func(s string) bool { return strings.HasSuffix(s, v) }, nil
	case Glob:
		return globMatcher(v, false), nil
	case IGlob:
		return globMatcher(v, true), nil
	case Regex:
		return regexMatcher(c, v)
	}
	return nil, c.unsupported("string")
}

// modified compiles an operator with oneof, anyof or allof.
func modified(c *Check, values []string) (textMatch, error) {
	if c.Modifier == AnyOf && len(values) > 0 {
		switch c.Op {
		case Eq, EqEq:
			return oneOfTexts(values), nil
		case StartsWith:
			return prefixMatcher(values), nil
		}
	}
	single := make([]textMatch, len(values))
	for i, v := range values {
		m, err := oneText(c, v)
		if err != nil {
			return nil, err
		}
		single[i] = m
	}
	return combined(c.Modifier, single), nil
}

// combined applies a modifier to the matchers of the single values. An empty
// list is never satisfied.
func combined[T comparable, M ~func(T) bool](mod Modifier, single []M) M {
	switch mod {
	case AnyOf:
		return func(v T) bool {
			for _, m := range single {
				if m(v) {
					return true
				}
			}
			return false
		}
	case AllOf:
		return func(v T) bool {
			for _, m := range single {
				if !m(v) {
					return false
				}
			}
			return len(single) > 0
		}
	}
	return func(v T) bool {
		n := 0
		for _, m := range single {
			if m(v) {
				n++
			}
		}
		return n == 1
	}
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// containsFold is strings.Contains without regard to the case of ASCII
// letters.
func containsFold(s, sub string) bool {
	for i := 0; i+len(sub) <= len(s); i++ {
		j := 0
		for j < len(sub) && lower(s[i+j]) == lower(sub[j]) {
			j++
		}
		if j == len(sub) {
			return true
		}
	}
	return false
}

// prefixMatcher says whether a text starts with any of the prefixes. Without
// those that a shorter one makes needless, at most one can match: the last
// that is not greater than the text.
func prefixMatcher(prefixes []string) textMatch {
	sorted := slices.Sorted(slices.Values(prefixes))
	kept := sorted[:0]
	for _, p := range sorted {
		if len(kept) == 0 || !strings.HasPrefix(p, kept[len(kept)-1]) {
			kept = append(kept, p)
		}
	}
	if kept[0] == "" {
		return func(string) bool { return true }
	}
	if len(kept) <= 8 {
		return func(s string) bool {
			for _, p := range kept {
				if strings.HasPrefix(s, p) {
					return true
				}
			}
			return false
		}
	}
	var firsts [256]bool
	for _, p := range kept {
		firsts[p[0]] = true
	}
	return func(s string) bool {
		if s == "" || !firsts[s[0]] {
			return false
		}
		i, listed := slices.BinarySearch(kept, s)
		return listed || i > 0 && strings.HasPrefix(s, kept[i-1])
	}
}
