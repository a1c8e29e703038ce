package alert

import (
	"strconv"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

// reader reads one value of an event. Its string is borrowed: it is valid
// until the next event, or the next call.
type reader func(*field.Context) Value

// readerOf returns the reader of an operand, as text shows it.
func readerOf(o field.Operand) reader {
	x := o.Extractor
	switch {
	case x.Match == field.List:
		return listReader(x)
	case o.Field != nil && o.Field.Flags&field.Hex != 0 && x.Int != nil:
		return hexReader(x)
	case x.Type == field.Bytes && x.Str != nil:
		return bytesReader(x)
	case x.Str != nil:
		return func(c *field.Context) Value {
			if s, ok := x.Str(c); ok {
				return Value{Kind: String, Str: s}
			}
			return Value{}
		}
	case x.Int != nil:
		return func(c *field.Context) Value {
			if n, ok := x.Int(c); ok {
				return Value{Kind: Int, Int: n}
			}
			return Value{}
		}
	case x.Uint != nil:
		return uintReader(x)
	case x.Double != nil:
		return func(c *field.Context) Value {
			if d, ok := x.Double(c); ok {
				return Value{Kind: Double, Dbl: d}
			}
			return Value{}
		}
	case x.IP != nil:
		return ipReader(x)
	}
	return func(*field.Context) Value { return Value{} }
}

func uintReader(x field.Extractor) reader {
	kind := Uint
	if x.Type == field.Bool {
		kind = Bool
	}
	return func(c *field.Context) Value {
		if n, ok := x.Uint(c); ok {
			return Value{Kind: kind, Uint: n}
		}
		return Value{}
	}
}

func ipReader(x field.Extractor) reader {
	var text textBuffer
	return func(c *field.Context) Value {
		ip, ok := x.IP(c)
		if !ok {
			return Value{}
		}
		return text.set(ip.AppendTo(text.b[:0]))
	}
}

// hexReader prints 32-bit numbers in upper case, without 0x.
func hexReader(x field.Extractor) reader {
	return func(c *field.Context) Value {
		n, ok := x.Int(c)
		if !ok {
			return Value{}
		}
		return Value{Kind: String, Str: strings.ToUpper(strconv.FormatUint(uint64(uint32(n)), 16))}
	}
}

// bytesReader shows unprintable bytes as dots.
func bytesReader(x field.Extractor) reader {
	var text textBuffer
	return func(c *field.Context) Value {
		s, ok := x.Str(c)
		if !ok {
			return Value{}
		}
		b := text.b[:0]
		for i := range len(s) {
			ch := s[i]
			if ch < ' ' || ch > '~' {
				ch = '.'
			}
			b = append(b, ch)
		}
		return text.set(b)
	}
}

// listReader shows a list as (a,b).
func listReader(x field.Extractor) reader {
	var text textBuffer
	add := func(s string) bool {
		text.b = append(append(text.b, s...), ',')
		return true
	}
	return func(c *field.Context) Value {
		if x.Each == nil {
			return Value{}
		}
		text.b = append(text.b[:0], '(')
		if !x.Each(c, add) {
			return Value{}
		}
		if n := len(text.b); n > 1 {
			text.b = text.b[:n-1]
		}
		return text.set(append(text.b, ')'))
	}
}

// textBuffer is the memory of a reader that builds its text.
type textBuffer struct{ b []byte }

func (t *textBuffer) set(b []byte) Value {
	t.b = b
	return Value{Kind: String, Str: view(b)}
}
