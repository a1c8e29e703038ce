package filter

// simplify returns n with constants folded and double negations dropped.
// Nested conjunctions stay: most come from macros, which other rules use too,
// and are evaluated once for all of them.
func simplify(n Node) Node {
	return rewrite(n, func(c *Check, _ bool) Node { return c })
}

// Unshare returns n simplified, with a check of its own in every place:
// conditions of macros are shared between the places that name them.
func Unshare(n Node) Node {
	return rewrite(n, func(c *Check, _ bool) Node {
		own := *c
		return &own
	})
}

// rewrite replaces each check by f(check, negated), where negated means an odd
// number of enclosing nots, and simplifies the result. Unchanged nodes are
// shared with n.
func rewrite(n Node, f func(c *Check, negated bool) Node) Node {
	return rewritten(n, false, f)
}

func rewritten(n Node, negated bool, f func(*Check, bool) Node) Node {
	switch n := n.(type) {
	case *And:
		return rewriteList(n, n.Nodes, negated, true, f, func(nodes []Node) Node { return &And{At: n.At, Nodes: nodes} })
	case *Or:
		return rewriteList(n, n.Nodes, negated, false, f, func(nodes []Node) Node { return &Or{At: n.At, Nodes: nodes} })
	case *Not:
		return negate(n, rewritten(n.Node, !negated, f))
	case *Check:
		return f(n, negated)
	}
	return n
}

// negate returns the negation of inner, which replaces n.Node.
func negate(n *Not, inner Node) Node {
	switch inner := inner.(type) {
	case *Const:
		return &Const{At: n.At, Value: !inner.Value}
	case *Not:
		return inner.Node
	}
	if inner == n.Node {
		return n
	}
	return &Not{At: n.At, Node: inner}
}

// rewriteList rewrites a conjunction or disjunction of parts; whole makes one of
// new parts.
func rewriteList(n Node, parts []Node, negated, and bool, f func(*Check, bool) Node, whole func([]Node) Node) Node {
	out := make([]Node, 0, len(parts))
	changed := false
	for _, part := range parts {
		m := rewritten(part, negated, f)
		changed = changed || m != part
		if c, ok := m.(*Const); !ok {
			out = append(out, m)
		} else if c.Value != and { // which settles the whole
			return &Const{At: n.Pos(), Value: !and}
		}
	}
	switch {
	case len(out) == 0:
		return &Const{At: n.Pos(), Value: and}
	case len(out) == 1:
		return out[0]
	case changed || len(out) < len(parts):
		return whole(out)
	}
	return n
}
