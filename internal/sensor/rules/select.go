package rules

import (
	"slices"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
)

// Switch enables or disables the rules that its one given member selects: by
// a name with * for any text, by a part of the name, or by a tag. A Switch
// without any selects all.
type Switch struct {
	Enable bool
	Name   string
	Part   string
	Tag    string
}

func (w Switch) selects(r *Rule) bool {
	switch {
	case w.Name != "":
		return wildcard(w.Name, r.Name)
	case w.Part != "":
		return strings.Contains(r.Name, w.Part)
	case w.Tag != "":
		return slices.Contains(r.Tags, w.Tag)
	}
	return true
}

// OldFlags returns the switches that Falco's flags of old stand for: -D
// disables rules by a part of their name, -T by tag; -t leaves only those with
// one of its tags enabled, whatever the files say.
func OldFlags(disableParts, disableTags, onlyTags []string) []Switch {
	var list []Switch
	if len(onlyTags) > 0 {
		list = append(list, Switch{Enable: false})
	}
	for _, tag := range onlyTags {
		list = append(list, Switch{Enable: true, Tag: tag})
	}
	for _, part := range disableParts {
		list = append(list, Switch{Part: part})
	}
	for _, tag := range disableTags {
		list = append(list, Switch{Tag: tag})
	}
	return list
}

// Select applies the switches in order.
func (s *Set) Select(switches []Switch) {
	for _, w := range switches {
		for _, r := range s.Rules {
			if w.selects(r) {
				r.Enabled = w.Enable
			}
		}
	}
}

// Enabled returns the rules to evaluate: those that are enabled and at least
// as urgent as min.
func (s *Set) Enabled(min alert.Priority) []*Rule {
	return slices.DeleteFunc(slices.Clone(s.Rules), func(r *Rule) bool { return !r.Enabled || r.Priority > min })
}

// OfSource returns those of the rules that are about events of the source.
func OfSource(source string, list []*Rule) []*Rule {
	return slices.DeleteFunc(slices.Clone(list), func(r *Rule) bool { return r.Source != source })
}

// Tagged returns the Set with only those of its rules that have the tag.
func (s *Set) Tagged(tag string) *Set {
	only := *s
	only.Rules = slices.DeleteFunc(slices.Clone(s.Rules), func(r *Rule) bool { return !slices.Contains(r.Tags, tag) })
	return &only
}

// wildcard matches s against a pattern with * for any text.
func wildcard(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return s == pattern
	}
	s, ok := strings.CutPrefix(s, parts[0])
	if !ok {
		return false
	}
	last := len(parts) - 1
	for _, part := range parts[1:last] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return strings.HasSuffix(s, parts[last])
}
