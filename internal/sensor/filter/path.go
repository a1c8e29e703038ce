package filter

import "strings"

// pathMatcher is pmatch: it says whether one of the listed paths is a prefix
// of the value, component by component. A component of a listed path that has
// any of ? * [ is a glob pattern.
func pathMatcher(paths []string) textMatch {
	root := &pathNode{}
	for _, p := range paths {
		root.add(p)
	}
	return root.match
}

// pathNode is a node of a trie of path components.
type pathNode struct {
	end      bool // a listed path ends here: longer ones are needless
	children map[string]*pathNode
	globs    []pathGlob
}

type pathGlob struct {
	match textMatch
	text  string
	node  *pathNode
}

func (n *pathNode) add(path string) {
	for n != nil && !n.end {
		component, rest := nextComponent(path)
		if component == "" {
			*n = pathNode{end: true}
			return
		}
		n, path = n.child(component), rest
	}
}

func (n *pathNode) child(component string) *pathNode {
	if strings.ContainsAny(component, "?*[") {
		for _, g := range n.globs {
			if g.text == component {
				return g.node
			}
		}
		node := &pathNode{}
		n.globs = append(n.globs, pathGlob{globMatcher(component, false), component, node})
		return node
	}
	if n.children == nil {
		n.children = map[string]*pathNode{}
	}
	node := n.children[component]
	if node == nil {
		node = &pathNode{}
		n.children[component] = node
	}
	return node
}

func (n *pathNode) match(path string) bool {
	if n.end {
		return true
	}
	component, rest := nextComponent(path)
	if component == "" {
		return false
	}
	if c := n.children[component]; c != nil && c.match(rest) {
		return true
	}
	for _, g := range n.globs {
		if g.match(component) && g.node.match(rest) {
			return true
		}
	}
	return false
}

// nextComponent splits the first component that is not empty off path.
func nextComponent(path string) (component, rest string) {
	path = strings.TrimLeft(path, "/")
	if i := strings.IndexByte(path, '/'); i >= 0 {
		return path[:i], path[i:]
	}
	return path, ""
}
