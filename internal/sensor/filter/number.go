package filter

import (
	"net"
	"slices"
	"strconv"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

// ordered compiles an operator on numbers with one constant.
func ordered[T int64 | uint64 | float64](c *Check, v T) (func(T) bool, error) {
	switch c.Op {
	case Eq, EqEq, In, Intersects:
		return func(n T) bool { return n == v }, nil
	case NotEq:
		return func(n T) bool { return n != v }, nil
	case Less:
		return func(n T) bool { return n < v }, nil
	case LessEq:
		return func(n T) bool { return n <= v }, nil
	case Greater:
		return func(n T) bool { return n > v }, nil
	case GreaterEq:
		return func(n T) bool { return n >= v }, nil
	}
	return nil, c.unsupported("numeric")
}

// numbers compiles operator and constants of a check on a numeric field; parse
// returns the numbers that a constant stands for, mostly one.
func numbers[T int64 | uint64 | float64](c *Check, parse func(Value) ([]T, error)) (func(T) bool, error) {
	if _, err := ordered[T](c, 0); err != nil {
		return nil, err
	}
	var single []func(T) bool
	var all []T
	for _, v := range c.Values {
		meant, err := parse(v)
		if err != nil {
			return nil, err
		}
		all = append(all, meant...)
		m, err := ordered(c, meant[0])
		if err != nil {
			return nil, err
		}
		if len(meant) == 2 && (c.Op == Eq || c.Op == EqEq || c.Op == NotEq) {
			m = either(meant, c.Op == NotEq)
		}
		single = append(single, m)
	}
	switch {
	case c.Modifier != NoModifier:
		return combined[T](c.Modifier, single), nil
	case c.Op == In || c.Op == Intersects:
		return among(all), nil
	}
	return single[0], nil
}

func either[T comparable](meant []T, negate bool) func(T) bool {
	a, b := meant[0], meant[1]
	return func(n T) bool { return (n == a || n == b) != negate }
}

// among says whether a number is in the list.
func among[T comparable](list []T) func(T) bool {
	if len(list) <= 8 {
		return func(n T) bool { return slices.Contains(list, n) }
	}
	set := make(map[T]struct{}, len(list))
	for _, n := range list {
		set[n] = struct{}{}
	}
	return func(n T) bool { _, ok := set[n]; return ok }
}

func parseInt(v Value) ([]int64, error) {
	n, err := strconv.ParseInt(v.Text, 10, 64)
	if err != nil {
		return nil, notNumber(v)
	}
	return []int64{n}, nil
}

// parseUint reads an unsigned number. A negative one wraps, as in C: -1 stands
// for both its 32-bit (user ids) and its 64-bit value.
func parseUint(v Value) ([]uint64, error) {
	if n, err := strconv.ParseUint(v.Text, 10, 64); err == nil {
		return []uint64{n}, nil
	}
	n, err := strconv.ParseInt(v.Text, 10, 64)
	if err != nil {
		return nil, notNumber(v)
	}
	return []uint64{uint64(n), uint64(uint32(n))}, nil
}

func parseDouble(v Value) ([]float64, error) {
	n, err := strconv.ParseInt(v.Text, 10, 64)
	if err != nil {
		return nil, notNumber(v)
	}
	return []float64{float64(n)}, nil
}

func parseBool(v Value) ([]uint64, error) {
	switch v.Text {
	case "true":
		return []uint64{1}, nil
	case "false":
		return []uint64{0}, nil
	}
	return nil, &Error{Pos: v.At, Msg: "filter error: unrecognized boolean value " + v.Text}
}

// parsePort reads a port or the name of a service.
func parsePort(v Value) ([]uint64, error) {
	if v.Text != "" && span(v.Text, isDigit) == len(v.Text) {
		n, err := strconv.ParseUint(v.Text, 10, 16)
		if err != nil {
			return nil, notNumber(v)
		}
		return []uint64{n}, nil
	}
	for _, protocol := range []string{"tcp", "udp"} {
		if n, err := net.LookupPort(protocol, v.Text); err == nil {
			return []uint64{uint64(n)}, nil
		}
	}
	return nil, &Error{Pos: v.At, Msg: "unrecognized protocol " + v.Text}
}

func notNumber(v Value) error {
	return &Error{Pos: v.At, Msg: "filter error: " + v.Text + " is not a valid number"}
}

// unsignedParser is how the constants of a field of the type are read.
func unsignedParser(t field.Type) func(Value) ([]uint64, error) {
	switch t {
	case field.Bool:
		return parseBool
	case field.Port:
		return parsePort
	}
	return parseUint
}
