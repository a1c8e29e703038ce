package filter

import (
	"slices"
	"strconv"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

// merge joins the checks of each disjunction that test one operand with = or
// in, or with one prefix, suffix or substring operator, to one check with a
// list: a lookup instead of a chain of comparisons.
//
// It must not touch list fields, where "in" asks for all elements, nor
// distances, which have no "in".
func (c *Compiler) merge(n Node) Node {
	switch n := n.(type) {
	case *And:
		return &And{At: n.At, Nodes: c.mergeAll(n.Nodes)}
	case *Not:
		return &Not{At: n.At, Node: c.merge(n.Node)}
	case *Or:
		nodes := c.mergeChecks(c.mergeAll(n.Nodes))
		if len(nodes) == 1 {
			return nodes[0]
		}
		return &Or{At: n.At, Nodes: nodes}
	}
	return n
}

func (c *Compiler) mergeAll(nodes []Node) []Node {
	out := make([]Node, len(nodes))
	for i, n := range nodes {
		out[i] = c.merge(n)
	}
	return out
}

// mergeChecks joins checks where possible, each at the place of its first part.
func (c *Compiler) mergeChecks(nodes []Node) []Node {
	out := make([]Node, 0, len(nodes))
	place := map[string]int{}
	for _, n := range nodes {
		check, ok := n.(*Check)
		if !ok || c.keepsApart(check.Left) {
			out = append(out, n)
			continue
		}
		key, joined := check.joinable()
		i, ok := place[key]
		if key == "" || !ok {
			if key != "" {
				place[key] = len(out)
			}
			out = append(out, n)
			continue
		}
		first := out[i].(*Check)
		joined.At = first.At
		joined.Values = append(slices.Clone(first.Values), check.Values...)
		out[i] = &joined
	}
	return out
}

// keepsApart says whether checks of o cannot be joined, or o is not known.
func (c *Compiler) keepsApart(o Operand) bool {
	left, err := c.operand(o)
	return err != nil || left.Match == field.List || left.flags&field.Within != 0
}

// joinable returns a key that two checks share if "a or b" is one check, and
// that check's form.
func (c *Check) joinable() (key string, joined Check) {
	if c.Right != nil {
		return "", Check{}
	}
	joined = Check{Left: c.Left, List: true}
	switch {
	case (c.Op == Eq || c.Op == EqEq || c.Op == In) && (c.Modifier == NoModifier || c.Op != In && c.Modifier == AnyOf):
		joined.Op = In
	case (c.Op == StartsWith || c.Op == EndsWith || c.Op == Contains) && (c.Modifier == NoModifier || c.Modifier == AnyOf):
		joined.Op, joined.Modifier = c.Op, AnyOf
	default:
		return "", Check{}
	}
	return string(joined.Op) + " " + operandKey(c.Left), joined
}

// key is a text that two checks share only if they mean the same.
func (c *Check) key() string {
	var b strings.Builder
	b.WriteString(operandKey(c.Left))
	b.WriteByte(' ')
	b.WriteString(string(c.Op))
	b.WriteByte(' ')
	b.WriteString(string(c.Modifier))
	if c.Right != nil {
		b.WriteString(operandKey(c.Right))
		return b.String()
	}
	for _, v := range c.Values {
		b.WriteByte(' ')
		b.WriteString(strconv.Quote(v.Text))
	}
	return b.String()
}

func operandKey(o Operand) string {
	switch o := o.(type) {
	case *Field:
		if o.HasArg {
			return o.Name + "[" + strconv.Quote(o.Arg) + "]"
		}
		return o.Name
	case *Transform:
		key := o.Name + operandKeys(o.Args)
		if o.HasArg {
			key += "[" + strconv.Quote(o.Arg) + "]"
		}
		return key
	case *Tuple:
		return operandKeys(o.Items)
	case *Literal:
		return strconv.Quote(o.Text)
	}
	return ""
}

func operandKeys(list []Operand) string {
	var b strings.Builder
	b.WriteByte('(')
	for _, o := range list {
		b.WriteString(operandKey(o))
		b.WriteByte(',')
	}
	b.WriteByte(')')
	return b.String()
}
