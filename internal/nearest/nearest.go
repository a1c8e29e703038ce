// Package nearest suggests the intended name for a mistyped one.
package nearest

import "strings"

// Name returns the candidate that differs least from name, and whether it is
// near enough to suggest: at most a third of the letters differ, or only its
// end is missing.
func Name(name string, candidates []string) (string, bool) {
	best, least := "", len(name)/3+1
	if len(name) <= 3 {
		least = 1
	}
	for _, c := range candidates {
		if d := distance(strings.ToLower(name), strings.ToLower(c)); d <= least {
			if best == "" || d < least {
				best, least = c, d
			}
		}
	}
	for _, c := range candidates {
		if best == "" && len(name) > 2 && strings.HasPrefix(c, strings.ToLower(name)) {
			best = c
		}
	}
	return best, best != ""
}

// distance is the number of letters to insert, delete, replace or swap with
// their neighbour (optimal string alignment) to get from a to b.
func distance(a, b string) int {
	before, prev, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, prev, row = prev, row, before
	}
	return prev[len(b)]
}
