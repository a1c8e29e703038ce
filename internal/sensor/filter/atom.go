package filter

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

// atom is a compiled check.
type atom struct {
	pred  Predicate
	cost  float64 // ns, roughly
	stage field.Stage
}

// operand is the value that a check reads.
type operand struct {
	field.Extractor
	flags field.Flags // of the field itself
	bare  bool        // a field, not a transformer
	text  string
	at    Pos
}

// atom compiles one check.
func (c *Compiler) atom(n *Check) (atom, error) {
	left, err := c.operand(n.Left)
	if err != nil {
		return atom{}, err
	}
	if left.flags&field.Within != 0 {
		if n, err = n.within(); err != nil {
			return atom{}, err
		}
	}
	if left.Match == field.List && n.Op != Exists && n.Op != In && n.Op != Intersects {
		return atom{}, n.unsupported("list")
	}
	a := atom{stage: left.Stage, cost: left.cost() + operatorCost[n.Op]*float64(max(1, len(n.Values)))}
	switch {
	case n.Op == Exists:
		a.pred = existence(left.Extractor)
	case n.Right != nil:
		right, err := c.rightOperand(n)
		if err != nil {
			return atom{}, err
		}
		a.cost += right.cost()
		if right.Stage != left.Stage {
			a.stage = field.AtEvent
		}
		a.pred, err = comparison(n, left, right)
		if err != nil {
			return atom{}, err
		}
	default:
		if err := n.checkEventNames(); err != nil {
			return atom{}, err
		}
		if left.Type == field.String && left.IP != nil {
			a.pred = c.hostCheck(n, left)
		}
		if a.pred == nil {
			a.pred, err = constantCheck(n, left)
		}
		if err != nil {
			return atom{}, err
		}
	}
	return a, nil
}

// within is the check of a distance: its = means "at most".
func (n *Check) within() (*Check, error) {
	if n.Op != Eq && n.Op != EqEq || n.Modifier != NoModifier || n.Right != nil {
		return nil, &Error{Pos: n.At, Msg: fmt.Sprintf("filter error: %s supports only the '=' operator with a number of milliseconds", n.Left)}
	}
	return &Check{At: n.At, Left: n.Left, Op: LessEq, Values: n.Values}, nil
}

// operand looks an operand up.
func (c *Compiler) operand(o Operand) (operand, error) {
	switch o := o.(type) {
	case *Field:
		f, ex, err := c.lookup(o.String())
		if err != nil {
			return operand{}, &Error{Pos: o.At, Msg: err.Error()}
		}
		return operand{Extractor: ex, flags: f.Flags, bare: true, text: o.String(), at: o.At}, nil
	case *Transform:
		return c.transform(o)
	}
	return operand{}, &Error{Pos: o.Pos(), Msg: "filter error: a constant cannot stand on the left of an operator"}
}

// checkEventNames makes sure that evt.type is compared with names that it can
// have.
func (n *Check) checkEventNames() error {
	f, ok := n.Left.(*Field)
	if !ok || !f.isEventType() {
		return nil
	}
	for _, v := range n.Values {
		if !knownEvent(v.Text) {
			return &Error{Pos: v.At, Msg: "filter error: unknown event type " + v.Text}
		}
	}
	return nil
}

// unsupported is the error for an operator that the operand's type has not.
func (n *Check) unsupported(kind string) error {
	return &Error{Pos: n.At, Msg: fmt.Sprintf("filter error: '%s' operator not supported for %s fields such as %s", n.Op, kind, n.Left)}
}

// stringOps and the others list the operators of each type besides = != in
// intersects and exists, which all types have.
var (
	anyOps    = []Op{Eq, EqEq, NotEq, In, Intersects}
	stringOps = append([]Op{Less, LessEq, Greater, GreaterEq, Contains, IContains, StartsWith, EndsWith, Glob, IGlob, Regex, PMatch}, anyOps...)
	bytesOps  = append([]Op{Contains, StartsWith, EndsWith, BContains, BStartsWith}, anyOps...)
)

// constantCheck compiles a check with constants on the right.
func constantCheck(n *Check, left operand) (Predicate, error) {
	switch left.Type {
	case field.String:
		if !slices.Contains(stringOps, n.Op) {
			return nil, n.unsupported("string")
		}
		return textCheck(n, left, stringMatcher)
	case field.Bytes:
		if !slices.Contains(bytesOps, n.Op) {
			return nil, n.unsupported("byte buffer")
		}
		return textCheck(n, left, bytesMatcher)
	case field.Int:
		m, err := numbers(n, parseInt)
		if err != nil {
			return nil, err
		}
		return over(n, left.Match, left.Int, left.EachInt, m), nil
	case field.Double:
		m, err := numbers(n, parseDouble)
		if err != nil {
			return nil, err
		}
		return over(n, field.One, left.Double, nil, m), nil
	case field.IPAddr, field.IPNet:
		m, err := addrMatcher(n, left.Type == field.IPNet)
		if err != nil {
			return nil, err
		}
		return over(n, left.Match, left.IP, left.EachIP, m), nil
	}
	if left.Type == field.Bool && !slices.Contains(anyOps, n.Op) {
		return nil, n.unsupported("boolean")
	}
	m, err := numbers(n, unsignedParser(left.Type))
	if err != nil {
		return nil, err
	}
	return over(n, left.Match, left.Uint, left.EachUint, m), nil
}

// textCheck compiles a check on texts; the commonest have closures of their
// own, which save a call.
func textCheck(n *Check, left operand, matcher func(*Check) (textMatch, error)) (Predicate, error) {
	if left.Match == field.One && n.Modifier == NoModifier {
		if p := plainCheck(n, left.Str); p != nil {
			return p, nil
		}
	}
	m, err := matcher(n)
	if err != nil {
		return nil, err
	}
	return over(n, left.Match, left.Str, left.Each, m), nil
}

// plainCheck is textCheck for the commonest operators; nil for others.
func plainCheck(n *Check, get func(*field.Context) (string, bool)) Predicate {
	switch n.Op {
	case In, Intersects:
		if h, ok := newPerfect(slices.Compact(slices.Sorted(slices.Values(texts(n.Values))))); ok {
			return func(c *field.Context) bool { s, ok := get(c); return ok && h.has(s) }
		}
		return nil
	case Eq, EqEq, NotEq, StartsWith, EndsWith, Contains:
	default:
		return nil
	}
	v := n.Values[0].Text
	switch n.Op {
	case NotEq:
		return func(c *field.Context) bool { s, ok := get(c); return ok && s != v }
	case StartsWith:
		return func(c *field.Context) bool { s, ok := get(c); return ok && strings.HasPrefix(s, v) }
	case EndsWith:
		return func(c *field.Context) bool { s, ok := get(c); return ok && strings.HasSuffix(s, v) }
	case Contains:
		return func(c *field.Context) bool { s, ok := get(c); return ok && strings.Contains(s, v) }
	}
	return func(c *field.Context) bool { s, ok := get(c); return ok && s == v }
}

// over applies m to the value or values of an operand, as its Match says.
func over[T string | int64 | uint64 | float64 | netip.Addr, M ~func(T) bool](
	n *Check, match field.Match,
	get func(*field.Context) (T, bool), each func(*field.Context, func(T) bool) bool, m M,
) Predicate {
	switch {
	case match == field.One:
		return func(c *field.Context) bool { v, ok := get(c); return ok && m(v) }
	case match == field.List && n.Op == In, match == field.Ends && n.Op == NotEq:
		return every(each, m)
	}
	return some(each, m)
}

// some is true if any value satisfies m. The function given to each is made
// once, so that a call allocates nothing.
func some[T string | int64 | uint64 | float64 | netip.Addr, M ~func(T) bool](each func(*field.Context, func(T) bool) bool, m M) Predicate {
	var hit bool
	yield := func(v T) bool {
		hit = m(v)
		return !hit
	}
	return func(c *field.Context) bool {
		hit = false
		return each(c, yield) && hit
	}
}

// every is true if there is a value and all satisfy m, or if there is an empty
// list.
func every[T string | int64 | uint64 | float64 | netip.Addr, M ~func(T) bool](each func(*field.Context, func(T) bool) bool, m M) Predicate {
	var all bool
	yield := func(v T) bool {
		all = m(v)
		return all
	}
	return func(c *field.Context) bool {
		all = true
		return each(c, yield) && all
	}
}

// existence is true if there is a value.
func existence(ex field.Extractor) Predicate {
	if ex.Match == field.One {
		return single(ex)
	}
	switch {
	case ex.Each != nil:
		return func(c *field.Context) bool { return ex.Each(c, func(string) bool { return false }) }
	case ex.EachInt != nil:
		return func(c *field.Context) bool { return ex.EachInt(c, func(int64) bool { return false }) }
	case ex.EachUint != nil:
		return func(c *field.Context) bool { return ex.EachUint(c, func(uint64) bool { return false }) }
	}
	return func(c *field.Context) bool { return ex.EachIP(c, func(netip.Addr) bool { return false }) }
}

// single is existence for operands with one value.
func single(ex field.Extractor) Predicate {
	switch {
	case ex.Str != nil:
		return func(c *field.Context) bool { _, ok := ex.Str(c); return ok }
	case ex.Int != nil:
		return func(c *field.Context) bool { _, ok := ex.Int(c); return ok }
	case ex.Uint != nil:
		return func(c *field.Context) bool { _, ok := ex.Uint(c); return ok }
	case ex.Double != nil:
		return func(c *field.Context) bool { _, ok := ex.Double(c); return ok }
	}
	return func(c *field.Context) bool { _, ok := ex.IP(c); return ok }
}
