package state

import "strings"

// interner keeps one copy of each string that processes use, so that a storm
// of alike processes costs no memory. It forgets by generations: strings that
// were not used while a whole generation filled up are dropped, and live only
// in their holders. So its size is bounded, whatever the processes do.
type interner struct {
	young, old map[string]string
	size       int // bytes in young
}

// internBytes bounds a generation: two of them are held.
const internBytes = 2 << 20

// get returns an owned string equal to the borrowed s.
func (in *interner) get(s string) string {
	if s == "" {
		return ""
	}
	if v, ok := in.young[s]; ok {
		return v
	}
	v, ok := in.old[s]
	if !ok {
		v = strings.Clone(s)
	}
	const overhead = 48 // of a map entry
	if in.size += len(v) + overhead; in.size > internBytes || in.young == nil {
		in.old, in.young, in.size = in.young, make(map[string]string), len(v)+overhead
	}
	in.young[v] = v
	return v
}

// same returns prev if it is equal to the borrowed s, else an owned copy of s:
// most values repeat the one that they replace.
func (in *interner) same(prev, s string) string {
	if prev == s {
		return prev
	}
	return in.get(s)
}
