package config

import (
	"fmt"
	"os"

	"go.yaml.in/yaml/v3"
)

// include merges the files that config_files names into the tree and returns
// their names. An included file cannot include others.
func (t *tree) include(mainFile string) ([]string, error) {
	list := resolve(lookup(t.root, "config_files"))
	if list == nil {
		return nil, nil
	}
	if list.Kind != yaml.SequenceNode && !isNull(list) { // a single path, or {path, strategy}
		list = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: []*yaml.Node{list}, Line: list.Line, Column: list.Column}
		set(t.root, keyNode(t.root, "config_files"), list)
	}
	var entries []Include
	d := decoder{tree: t}
	d.list(list, "config_files", func(n *yaml.Node, path string) {
		var e Include
		e.decodeNode(&d, n, path)
		entries = append(entries, e)
	})
	var read []string
	for _, e := range entries {
		files, err := t.files.Below(e.Path)
		if err != nil {
			return nil, fmt.Errorf("config_files: %w", err)
		}
		for _, file := range files {
			if same(file, mainFile) {
				return nil, fmt.Errorf("config_files: %s includes itself", mainFile)
			}
			if err := t.merge(file, e.Strategy); err != nil {
				return nil, fmt.Errorf("config_files: %w", err)
			}
			read = append(read, file)
		}
	}
	return read, nil
}

func same(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

func (t *tree) merge(file, strategy string) error {
	extra, err := t.readFile(file)
	if err != nil {
		return err
	}
	for i := 0; i+1 < len(extra.Content); i += 2 {
		key, value := extra.Content[i], extra.Content[i+1]
		if key.Value == "config_files" {
			t.report(Warning, key, "config_files", "an included file cannot include others; ignored")
			continue
		}
		switch {
		case strategy == "add-only" && lookup(t.root, key.Value) != nil:
		case strategy == "append":
			t.combine(t.root, key, value)
		default:
			set(t.root, key, value)
		}
	}
	return nil
}

// combine puts key: value into m; lists are appended to, and maps merged with,
// the existing value.
func (t *tree) combine(m, key, value *yaml.Node) {
	old, value := resolve(lookup(m, key.Value)), resolve(value)
	switch {
	case old == nil || value == nil || old.Kind != value.Kind || old.Kind == yaml.ScalarNode:
		set(m, key, value)
	case old.Kind == yaml.SequenceNode:
		old.Content = append(old.Content, value.Content...)
	default:
		for i := 0; i+1 < len(value.Content); i += 2 {
			t.combine(old, value.Content[i], value.Content[i+1])
		}
	}
}

// set sets key to value in m, replacing any other value.
func set(m, key, value *yaml.Node) {
	if i := index(m, key.Value); i >= 0 {
		m.Content[i], m.Content[i+1] = key, value
	} else {
		m.Content = append(m.Content, key, value)
	}
}
