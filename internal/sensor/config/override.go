package config

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// step is one part of an option's path: a key, an index of a list, or the
// place behind a list's end.
type step struct {
	key    string
	index  int
	isList bool // [N] or []
	append bool // []
}

// override sets one "-o PATH=VALUE". A path is keys with dots between them,
// [N] for an element of a list, [] for a new one at its end; a backslash
// takes a dot, bracket or = literally. A value in {} or [] is YAML.
func (t *tree) override(option string) error {
	steps, value, err := parseOption(option)
	if err != nil {
		return fmt.Errorf("Error parsing config option %q. Must be of the form key=val or key.subkey=val: %w", option, err)
	}
	leaf := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value}
	if wrapped(value, '{', '}') || wrapped(value, '[', ']') {
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(value), &doc); err != nil {
			return fmt.Errorf("option %q: value: %s", option, strings.TrimPrefix(err.Error(), "yaml: "))
		}
		leaf = doc.Content[0]
	}
	origin := "-o " + option[:min(len(option), strings.IndexByte(option, '='))]
	t.adopt(leaf, origin)
	if err := t.insert(t.root, steps, leaf, origin); err != nil {
		return fmt.Errorf("option %q: %w", option, err)
	}
	return nil
}

func wrapped(s string, open, end byte) bool {
	return len(s) >= 2 && s[0] == open && s[len(s)-1] == end
}

// insert walks from n along steps, making maps and lists on the way, and puts
// leaf at the end.
func (t *tree) insert(n *yaml.Node, steps []step, leaf *yaml.Node, origin string) error {
	for i, s := range steps {
		next := leaf
		if i+1 < len(steps) {
			next = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
			if steps[i+1].isList {
				next = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
			}
			t.origin[next] = origin
		}
		child, err := t.descend(n, s, next, i+1 == len(steps), origin)
		if err != nil {
			return err
		}
		n = child
	}
	return nil
}

// descend returns the node at s in n; next is put there if nothing usable is,
// or in any case if last.
func (t *tree) descend(n *yaml.Node, s step, next *yaml.Node, last bool, origin string) (*yaml.Node, error) {
	if !s.isList {
		if old := resolve(lookup(n, s.key)); old != nil && !last && old.Kind == next.Kind {
			return old, nil
		}
		key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s.key}
		t.origin[key] = origin
		set(n, key, next)
		return next, nil
	}
	switch {
	case s.append || s.index == len(n.Content):
		n.Content = append(n.Content, next)
	case s.index > len(n.Content):
		return nil, fmt.Errorf("index %d is beyond the end of the list (%d elements)", s.index, len(n.Content))
	case last || n.Content[s.index].Kind != next.Kind:
		n.Content[s.index] = next
	default:
		return n.Content[s.index], nil
	}
	return next, nil
}

// parseOption splits PATH=VALUE.
func parseOption(option string) ([]step, string, error) {
	var steps []step
	var key strings.Builder
	flush := func(afterList bool) error {
		if key.Len() == 0 && !afterList {
			return fmt.Errorf("a key is missing")
		}
		if key.Len() > 0 {
			steps = append(steps, step{key: key.String()})
			key.Reset()
		}
		return nil
	}
	afterList := false
	for i := 0; i < len(option); i++ {
		switch c := option[i]; {
		case c == '\\' && i+1 < len(option):
			i++
			key.WriteByte(option[i])
		case c == '=' || c == '.':
			if err := flush(afterList); err != nil {
				return nil, "", err
			}
			if c == '=' {
				return steps, strings.TrimSpace(option[i+1:]), nil
			}
			afterList = false
			continue
		case c == '[':
			if err := flush(afterList); err != nil {
				return nil, "", err
			}
			end := strings.IndexByte(option[i:], ']')
			if end < 0 {
				return nil, "", fmt.Errorf("[ without ]")
			}
			s, err := listStep(option[i+1 : i+end])
			if err != nil {
				return nil, "", err
			}
			steps, afterList, i = append(steps, s), true, i+end
		case afterList:
			return nil, "", fmt.Errorf("expected . or = after ]")
		default:
			key.WriteByte(c)
		}
	}
	return nil, "", fmt.Errorf("no = found")
}

func listStep(inside string) (step, error) {
	if inside == "" {
		return step{isList: true, append: true}, nil
	}
	n, err := strconv.Atoi(inside)
	if err != nil || n < 0 {
		return step{}, fmt.Errorf("[%s] is not the index of a list", inside)
	}
	return step{isList: true, index: n}, nil
}
