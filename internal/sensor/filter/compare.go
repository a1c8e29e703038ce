package filter

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

// rightOperand looks up the operand on the right of n.
func (c *Compiler) rightOperand(n *Check) (operand, error) {
	o := n.Right
	if t, ok := o.(*Transform); ok && t.Name == "val" {
		o = t.Args[0]
	}
	right, err := c.operand(o)
	if err != nil {
		return operand{}, err
	}
	if right.flags&field.NoRHS != 0 {
		return operand{}, &Error{Pos: right.at, Msg: fmt.Sprintf("filter error: '%s' cannot be used on the right-hand side of an operator", right.text)}
	}
	return right, nil
}

// comparison compiles a check of two operands.
func comparison(n *Check, left, right operand) (Predicate, error) {
	if left.Type != right.Type || (left.Match == field.List) != (right.Match == field.List) {
		return nil, &Error{Pos: n.At, Msg: fmt.Sprintf("filter error: %s and %s are of different types", left.text, right.text)}
	}
	if n.Op == PMatch || n.Op == Regex || left.Type == field.IPNet {
		return nil, &Error{Pos: n.At, Msg: fmt.Sprintf("filter error: '%s' of %s cannot have a field on the right-hand side", n.Op, left.text)}
	}
	if left.Match == field.List {
		return lists(n, left, right)
	}
	switch left.Type {
	case field.String, field.Bytes:
		ops := stringOps
		if left.Type == field.Bytes {
			ops = bytesOps
		}
		match := textOperator(n.Op)
		if match == nil || !slices.Contains(ops, n.Op) {
			return nil, n.unsupported("such")
		}
		return both(n, left.Match, left.Str, left.Each, right.Str, match), nil
	case field.Int:
		return orderedFields(n, left.Match, left.Int, left.EachInt, right.Int)
	case field.Double:
		return orderedFields(n, field.One, left.Double, nil, right.Double)
	case field.IPAddr:
		switch n.Op {
		case Eq, EqEq, In, Intersects:
			return both(n, left.Match, left.IP, left.EachIP, right.IP, func(a, b netip.Addr) bool { return a.Unmap() == b.Unmap() }), nil
		case NotEq:
			return both(n, left.Match, left.IP, left.EachIP, right.IP, func(a, b netip.Addr) bool { return a.Unmap() != b.Unmap() }), nil
		}
		return nil, n.unsupported("IP address")
	}
	if left.Type == field.Bool && !slices.Contains(anyOps, n.Op) {
		return nil, n.unsupported("boolean")
	}
	return orderedFields(n, left.Match, left.Uint, left.EachUint, right.Uint)
}

func orderedFields[T int64 | uint64 | float64](
	n *Check, match field.Match,
	get func(*field.Context) (T, bool), each func(*field.Context, func(T) bool) bool, right func(*field.Context) (T, bool),
) (Predicate, error) {
	f := orderOperator[T](n.Op)
	if f == nil {
		return nil, n.unsupported("numeric")
	}
	return both(n, match, get, each, right, f), nil
}

// orderOperator is the operator on two values that have an order; nil for
// other operators.
func orderOperator[T cmp.Ordered](op Op) func(a, b T) bool {
	switch op {
	case Eq, EqEq, In, Intersects:
		return func(a, b T) bool { return a == b }
	case NotEq:
		return func(a, b T) bool { return a != b }
	case Less:
		return func(a, b T) bool { return a < b }
	case LessEq:
		return func(a, b T) bool { return a <= b }
	case Greater:
		return func(a, b T) bool { return a > b }
	case GreaterEq:
		return func(a, b T) bool { return a >= b }
	}
	return nil
}

// both applies f to the values of two operands, of which only the left may
// have several.
func both[T string | int64 | uint64 | float64 | netip.Addr](
	n *Check, match field.Match,
	get func(*field.Context) (T, bool), each func(*field.Context, func(T) bool) bool, right func(*field.Context) (T, bool),
	f func(a, b T) bool,
) Predicate {
	if match == field.One {
		return func(c *field.Context) bool {
			a, ok := get(c)
			if !ok {
				return false
			}
			b, ok := right(c)
			return ok && f(a, b)
		}
	}
	var constant T
	values := over(n, match, get, each, func(a T) bool { return f(a, constant) })
	return func(c *field.Context) bool {
		var ok bool
		constant, ok = right(c)
		return ok && values(c)
	}
}

// textOperator is the operator on two texts; nil if it has to be compiled.
func textOperator(op Op) func(a, b string) bool {
	switch op {
	case Contains:
		return strings.Contains
	case IContains:
		return containsFold
	case StartsWith:
		return strings.HasPrefix
	case EndsWith:
		return strings.HasSuffix
	case Glob:
		return func(a, b string) bool { return glob(b, a, false) }
	case IGlob:
		return func(a, b string) bool { return glob(b, a, true) }
	}
	return orderOperator[string](op)
}

// lists compiles "in" (all of the left are on the right) and "intersects" of
// two lists of texts.
func lists(n *Check, left, right operand) (Predicate, error) {
	if n.Op != In && n.Op != Intersects {
		return nil, n.unsupported("list")
	}
	if left.Each == nil || right.Each == nil {
		return nil, &Error{Pos: n.At, Msg: fmt.Sprintf("filter error: %s cannot be compared with another list", left.text)}
	}
	var items []string // of the right list; reused, never kept
	collect := func(s string) bool { items = append(items, s); return true }
	values := over(n, field.List, left.Str, left.Each, func(s string) bool { return slices.Contains(items, s) })
	return func(c *field.Context) bool {
		items = items[:0]
		return right.Each(c, collect) && values(c)
	}, nil
}
