package event

import "strings"

// Views are the names of one file in one text, each after a NUL: its path in
// the mount namespace; then, where it is another, how a task whose root is
// some directory sees it, and how a mount sees it that is mounted nowhere. The
// path of a file behind such a mount is that inside its filesystem.
type Views string

// At is the nth name, the last one if there are fewer.
func (v Views) At(n int) string {
	s := string(v)
	for {
		name, rest, more := strings.Cut(s, "\x00")
		if n == 0 || !more {
			return name
		}
		s, n = rest, n-1
	}
}

// Len is the number of names: 0 for an empty text.
func (v Views) Len() int {
	if v == "" {
		return 0
	}
	return 1 + strings.Count(string(v), "\x00")
}
