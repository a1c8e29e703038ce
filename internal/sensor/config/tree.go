package config

import (
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/peregrine-sec/peregrine/internal/sensor/document"
)

// maxFileSize keeps a wrong path (a log, a device) from filling the memory.
const maxFileSize = 4 << 20

// tree is a configuration before decoding: one mapping node made of all
// files and options, and the origin of every node in it.
type tree struct {
	root   *yaml.Node
	origin map[*yaml.Node]string // file name, or "-o key"
	issues []Issue
	env    func(string) string
	files  *Files
	sums   map[string]string // of the files that were read
	nodes  int               // read, or repeated by an alias
}

// maxNodes bounds a configuration: aliases make much of few bytes, and keys
// are searched one by one. The longest that people write have a tenth.
const maxNodes = 20_000

// spend counts nodes, and says whether that many may still come.
func (t *tree) spend(n int) bool {
	t.nodes += n
	return t.nodes <= maxNodes
}

var errTooMany = fmt.Errorf("more than %d values, including those that aliases repeat: too many for a configuration", maxNodes)

func newTree(env func(string) string, files *Files) *tree {
	return &tree{root: mapping(), origin: map[*yaml.Node]string{}, env: env, files: files, sums: map[string]string{}}
}

func mapping() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"} }

// parse reads one file's text into a mapping and records its nodes' origin.
func (t *tree) parse(file string, text []byte) (*yaml.Node, error) {
	docs, err := document.Read(text)
	if err != nil {
		return nil, fmt.Errorf("%s:%w", file, err)
	}
	if len(docs) == 0 { // an empty file is a valid one
		return mapping(), nil
	}
	root := docs[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return mapping(), nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s:%d:%d: expected keys and values at the top, found a %s", file, root.Line, root.Column, kindName(root))
	}
	if t.adopt(root, file); !t.spend(0) {
		return nil, fmt.Errorf("%s: %w", file, errTooMany)
	}
	return root, nil
}

func (t *tree) readFile(file string) (*yaml.Node, error) {
	text, err := t.files.Read(file, maxFileSize)
	if err != nil {
		return nil, err
	}
	t.sums[file] = Sum(text)
	return t.parse(file, text)
}

// adopt records the origin of n and all below it, expands ${VARIABLES} in
// values, merges "<<" and reports keys that are given twice.
func (t *tree) adopt(n *yaml.Node, origin string) {
	if !t.spend(1) {
		return
	}
	t.origin[n] = origin
	switch n.Kind {
	case yaml.ScalarNode:
		t.expand(n)
	case yaml.MappingNode:
		t.mergeAnchors(n)
		first := map[string]*yaml.Node{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			t.origin[key] = origin
			if before, twice := first[key.Value]; twice {
				t.report(Error, key, key.Value, fmt.Sprintf("given twice, before in line %d; keep one", before.Line))
			}
			first[key.Value] = key
			t.adopt(n.Content[i+1], origin)
		}
	case yaml.SequenceNode:
		for _, c := range n.Content {
			t.adopt(c, origin)
		}
	}
}

// mergeAnchors replaces "<<: *anchor" by the anchor's keys, as far as they
// are not given beside it.
func (t *tree) mergeAnchors(n *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Tag != "!!merge" {
			continue
		}
		source := resolve(n.Content[i+1])
		n.Content = append(n.Content[:i:i], n.Content[i+2:]...)
		i -= 2
		if source == nil || source.Kind != yaml.MappingNode || source == n || !t.spend(len(source.Content)) {
			continue
		}
		for j := 0; j+1 < len(source.Content); j += 2 {
			if lookup(n, source.Content[j].Value) == nil {
				n.Content = append(n.Content, source.Content[j], source.Content[j+1])
			}
		}
	}
}

var variable = regexp.MustCompile(`\$?\$\{[^}]*\}`)

// expand replaces ${NAME} by the environment's value; $${NAME} stays as ${NAME}.
func (t *tree) expand(n *yaml.Node) {
	n.Value = variable.ReplaceAllStringFunc(n.Value, func(text string) string {
		if strings.HasPrefix(text, "$$") {
			return text[1:]
		}
		name := text[2 : len(text)-1]
		value := t.env(name)
		if value == "" {
			t.report(Warning, n, "", fmt.Sprintf("environment variable %s is empty or not set", name))
		}
		return value
	})
}

func (t *tree) report(s Severity, n *yaml.Node, key, text string) {
	t.issues = append(t.issues, Issue{Severity: s, Place: t.place(n), Key: key, Text: text})
}

// place is where n was written.
func (t *tree) place(n *yaml.Node) string {
	origin := t.origin[n]
	if n.Line == 0 || strings.HasPrefix(origin, "-o ") {
		return origin
	}
	return fmt.Sprintf("%s:%d:%d", origin, n.Line, n.Column)
}

// index is the place of key in the content of mapping m, which is not an alias;
// -1 if absent.
func index(m *yaml.Node, key string) int {
	if m != nil && m.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(m.Content); i += 2 {
			if m.Content[i].Value == key {
				return i
			}
		}
	}
	return -1
}

// lookup returns the value of key in mapping m, or nil.
func lookup(m *yaml.Node, key string) *yaml.Node {
	m = resolve(m)
	if i := index(m, key); i >= 0 {
		return m.Content[i+1]
	}
	return nil
}

// find follows a dotted path of keys.
func find(m *yaml.Node, path string) *yaml.Node {
	for key := range strings.SplitSeq(path, ".") {
		if m = lookup(m, key); m == nil {
			return nil
		}
	}
	return m
}

// resolve follows an alias to its anchor.
func resolve(n *yaml.Node) *yaml.Node {
	for hops := 0; n != nil && n.Kind == yaml.AliasNode; hops++ {
		if hops > 8 {
			return nil
		}
		n = n.Alias
	}
	return n
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "map"
	case yaml.SequenceNode:
		return "list"
	case yaml.ScalarNode:
		return fmt.Sprintf("value %q", abbreviate(n.Value))
	}
	return "alias"
}

func abbreviate(s string) string {
	if len(s) > 40 {
		return s[:37] + "..."
	}
	return s
}
