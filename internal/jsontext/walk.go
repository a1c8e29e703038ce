package jsontext

import "strconv"

// Cursor goes through the members of an object or the elements of an array.
type Cursor struct {
	Key   Value // of an object's member
	Value Value

	of   Value
	next int // the place of the next member; 0 if there is no next
}

// Parts returns a cursor before the first member or element of v; anything
// else has none.
func (v Value) Parts() Cursor {
	c := Cursor{of: v}
	if k := v.Kind(); k == Object || k == Array {
		c.next = Blank(v, 1)
	}
	return c
}

// Next goes to the next member or element; false at the end.
func (c *Cursor) Next() bool {
	v, i := c.of, c.next
	if i == 0 || v[i] == '}' || v[i] == ']' {
		return false
	}
	if v[0] == '{' {
		end := SkipString(v, i)
		c.Key = v[i:end]
		i = Blank(v, Blank(v, end)+1)
	}
	end := skip(v, i)
	c.Value = v[i:end]
	if c.next = Blank(v, end); v[c.next] == ',' {
		c.next = Blank(v, c.next+1)
	}
	return true
}

// Get returns the member of the object v with the key; nil if absent. Of
// several, the last counts, as for the API server.
func (v Value) Get(key string) Value {
	var found Value
	if v.Kind() == Object {
		for c := v.Parts(); c.Next(); {
			if c.Key.Is(key) {
				found = c.Value
			}
		}
	}
	return found
}

// At returns the n-th element of the array v; nil if absent.
func (v Value) At(n int) Value {
	if v.Kind() == Array {
		for c := v.Parts(); c.Next(); n-- {
			if n == 0 {
				return c.Value
			}
		}
	}
	return nil
}

// AppendText appends v as people read it: a string without quotes, anything
// else as compact JSON.
func (v Value) AppendText(dst []byte) []byte {
	if v.Kind() == String {
		return v.appendString(dst)
	}
	return v.AppendCompact(dst)
}

// AppendCompact appends v without white space, each string in its shortest
// form, so that no escape hides a text from a condition.
func (v Value) AppendCompact(dst []byte) []byte {
	for i := 0; i < len(v); i++ {
		switch v[i] {
		case ' ', '\n', '\t', '\r':
		case '"':
			end := SkipString(v, i)
			dst = v[i:end].appendQuoted(dst)
			i = end - 1
		default:
			dst = append(dst, v[i])
		}
	}
	return dst
}

// appendQuoted appends a string in its shortest form.
func (v Value) appendQuoted(dst []byte) []byte {
	if _, plain := v.Plain(); plain {
		return append(dst, v...)
	}
	dst = append(dst, '"')
	from := len(dst)
	dst = v.appendString(dst)
	escapes := 0
	for _, c := range dst[from:] {
		if c < ' ' || c == '"' || c == '\\' {
			escapes++
		}
	}
	if escapes > 0 {
		text := string(dst[from:])
		dst = dst[:from]
		for i := range len(text) {
			dst = appendEscaped(dst, text[i])
		}
	}
	return append(dst, '"')
}

func appendEscaped(dst []byte, c byte) []byte {
	switch {
	case c == '"' || c == '\\':
		return append(dst, '\\', c)
	case c == '\n':
		return append(dst, '\\', 'n')
	case c == '\t':
		return append(dst, '\\', 't')
	case c == '\r':
		return append(dst, '\\', 'r')
	case c < ' ':
		const digits = "0123456789abcdef"
		return append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
	}
	return append(dst, c)
}

// AppendIndented appends v with each member on a line of its own, indented by
// two blanks a level.
func (v Value) AppendIndented(dst []byte) []byte { return v.indented(dst, 0) }

func (v Value) indented(dst []byte, level int) []byte {
	k := v.Kind()
	if k != Object && k != Array {
		return v.AppendCompact(dst)
	}
	dst = append(dst, v[0])
	empty := true
	for c := v.Parts(); c.Next(); empty = false {
		if !empty {
			dst = append(dst, ',')
		}
		dst = newLine(dst, level+1)
		if k == Object {
			dst = append(c.Key.appendQuoted(dst), ": "...)
		}
		dst = c.Value.indented(dst, level+1)
	}
	if !empty {
		dst = newLine(dst, level)
	}
	return append(dst, v[len(v)-1])
}

func newLine(dst []byte, level int) []byte {
	dst = append(dst, '\n')
	for range level {
		dst = append(dst, "  "...)
	}
	return dst
}

// Pointer is a JSON pointer (RFC 6901), ready to be followed.
type Pointer []Token

// Token is a step of a Pointer.
type Token struct {
	Key   string
	index int // of an array; -1 if the key is no number
}

// ParsePointer reads a JSON pointer. The slash at its start may be left out.
func ParsePointer(text string) Pointer {
	if text == "" {
		return nil
	}
	if text[0] == '/' {
		text = text[1:]
	}
	var p Pointer
	for {
		part, rest, more := cut(text)
		index, err := strconv.Atoi(part)
		if err != nil || part != strconv.Itoa(index) {
			index = -1
		}
		p = append(p, Token{part, index})
		if !more {
			return p
		}
		text = rest
	}
}

// cut takes the first part of a pointer: ~1 stands for a slash, ~0 for a tilde.
func cut(text string) (part, rest string, more bool) {
	var b []byte
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '/':
			return string(b), text[i+1:], true
		case text[i] == '~' && i+1 < len(text) && (text[i+1] == '0' || text[i+1] == '1'):
			b = append(b, "~/"[text[i+1]-'0'])
			i++
		default:
			b = append(b, text[i])
		}
	}
	return string(b), "", false
}

// Follow returns the value at the pointer from v; nil if absent.
func (v Value) Follow(p Pointer) Value {
	for _, t := range p {
		switch v.Kind() {
		case Object:
			v = v.Get(t.Key)
		case Array:
			if t.index < 0 {
				return nil
			}
			v = v.At(t.index)
		default:
			return nil
		}
	}
	return v
}
