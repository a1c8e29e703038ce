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
		nodes, changed, decided := rewriteList(n.Nodes, negated, true, f)
		if decided || len(nodes) == 0 {
			return &Const{At: n.At, Value: !decided}
		}
		if len(nodes) == 1 {
			return nodes[0]
		}
		if changed {
			return &And{At: n.At, Nodes: nodes}
		}
	case *Or:
		nodes, changed, decided := rewriteList(n.Nodes, negated, false, f)
		if decided || len(nodes) == 0 {
			return &Const{At: n.At, Value: decided}
		}
		if len(nodes) == 1 {
			return nodes[0]
		}
		if changed {
			return &Or{At: n.At, Nodes: nodes}
		}
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

// rewriteList rewrites the parts of a conjunction or disjunction. decided says
// that one of them settles the whole.
func rewriteList(nodes []Node, negated, and bool, f func(*Check, bool) Node) (out []Node, changed, decided bool) {
	out = make([]Node, 0, len(nodes))
	for _, n := range nodes {
		m := rewritten(n, negated, f)
		changed = changed || m != n
		if c, ok := m.(*Const); ok {
			if c.Value != and {
				return nil, true, true
			}
			changed = true
			continue
		}
		out = append(out, m)
	}
	return out, changed, false
}
