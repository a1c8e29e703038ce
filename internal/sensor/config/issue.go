package config

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// Severity says what an Issue means for the start.
type Severity uint8

// An Error stops the start (or the reload); a Warning is very likely a
// mistake; a Note is about a key that is accepted but does nothing here.
const (
	Note Severity = iota
	Warning
	Error
)

func (s Severity) String() string { return [...]string{"note", "warning", "error"}[s] }

// Level is where a log has it.
func (s Severity) Level() slog.Level {
	return [...]slog.Level{slog.LevelInfo, slog.LevelWarn, slog.LevelError}[s]
}

// Issue is one remark about a place in the configuration.
type Issue struct {
	Severity Severity
	Place    string // "file:line:col", or "-o key"
	Key      string // dotted path, empty for the file as a whole
	Text     string
}

func (i Issue) String() string {
	var b strings.Builder
	if i.Place != "" {
		b.WriteString(i.Place + ": ")
	}
	if i.Key != "" && i.Place != "-o "+i.Key {
		b.WriteString(i.Key + ": ")
	}
	b.WriteString(i.Text)
	return b.String()
}

func (i Issue) Error() string { return i.String() }

// split returns the issues as notes or, if one of them is an error, all but
// mere notes as an error: a mistyped key may be the reason for the others.
func split(issues []Issue) (notes []Issue, err error) {
	if !slices.ContainsFunc(issues, func(i Issue) bool { return i.Severity == Error }) {
		return issues, nil
	}
	var errs []error
	for _, issue := range issues {
		if issue.Severity != Note {
			errs = append(errs, issue)
		}
	}
	return nil, errors.Join(errs...)
}

// nearest returns the candidate that differs least from name, and whether it
// is near enough to be what was meant: a third of the letters, or only its
// end is missing.
func nearest(name string, candidates []string) (string, bool) {
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

// hint is ", did you mean X?" or nothing.
func hint(name string, candidates []string) string {
	if c, ok := nearest(name, candidates); ok {
		return fmt.Sprintf(", did you mean %s?", c)
	}
	return ""
}
