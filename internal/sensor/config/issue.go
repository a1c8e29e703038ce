package config

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/peregrine-sec/peregrine/internal/nearest"
)

// Severity is the effect of an Issue on the start.
type Severity uint8

// An Error stops the start (or the reload); a Warning is very likely a
// mistake; a Note is about a key that is accepted but does nothing here.
const (
	Note Severity = iota
	Warning
	Error
)

func (s Severity) String() string { return [...]string{"note", "warning", "error"}[s] }

// Level is its level in a log.
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
	text := i.Text
	if i.Key != "" && i.Place != "-o "+i.Key {
		text = i.Key + ": " + text
	}
	if i.Place != "" {
		text = i.Place + ": " + text
	}
	return text
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

// hint is ", did you mean X?" or nothing.
func hint(name string, candidates []string) string {
	if c, ok := nearest.Name(name, candidates); ok {
		return fmt.Sprintf(", did you mean %s?", c)
	}
	return ""
}
