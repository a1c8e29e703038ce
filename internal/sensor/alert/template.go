package alert

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

// Template is the compiled output of a rule: text with fields, as in
// "file opened (user=%user.name command=%proc.cmdline)". Values are read from
// the event while it is borrowed. A Template belongs to one goroutine.
type Template struct {
	segments []segment
	values   []*templateValue // each distinct operand once
	scratch  []Value
	safe     []byte
}

// segment is literal text, then a value.
type segment struct {
	text  string
	value int // index of values; -1 for none
	width int // pad or cut to this many characters; 0 for neither
}

// metadata says whether a value comes from a container's runtime.
func (t *Template) metadata() bool {
	return slices.ContainsFunc(t.values, func(v *templateValue) bool { return v.metadata })
}

// TemplateError tells where a template is wrong.
type TemplateError struct {
	Pos int // byte offset in the template
	Msg string
}

func (e *TemplateError) Error() string {
	return fmt.Sprintf("%s (at position %d of the output)", e.Msg, e.Pos)
}

// CompileTemplate reads an output format: %field, %field[argument],
// %transformer(field), %20field for text cut or padded to 20 characters, and
// %% for a percent sign. A * at the start, "print also when values are
// missing", is accepted, since that is always done. The fields are those of the
// events' source.
func CompileTemplate(text string, fields *field.Catalogue) (*Template, error) {
	return compile(text, fields, new(Scratch))
}

func compile(text string, fields *field.Catalogue, shared *Scratch) (*Template, error) {
	n := strings.Count(text, "%")
	t := &Template{segments: make([]segment, 0, n+1), values: make([]*templateValue, 0, n)}
	pos := 0
	if strings.HasPrefix(text, "*") {
		pos = 1
	}
	var literal strings.Builder
	for pos < len(text) {
		i := strings.IndexByte(text[pos:], '%')
		if i < 0 {
			literal.WriteString(text[pos:])
			break
		}
		literal.WriteString(text[pos : pos+i])
		pos += i
		rest := text[pos+1:]
		switch {
		case rest == "":
			return nil, &TemplateError{pos, "formatting cannot end with a %"}
		case rest[0] == '%':
			literal.WriteByte('%')
			pos += 2
			continue
		}
		width, digits := leadingNumber(rest)
		o, err := fields.ParseOperand(rest[digits:])
		if err != nil {
			return nil, &TemplateError{pos, "invalid formatting token " + firstWord(rest[digits:]) + ": " + err.Error()}
		}
		if o.Field != nil && o.Field.Flags&field.FilterOnly != 0 {
			return nil, &TemplateError{pos, "invalid formatting token " + o.Text + ": field is filter only: it can be used in conditions, not in outputs"}
		}
		t.segments = append(t.segments, segment{oneLine(literal.String()), t.value(shared.value(o, fields)), width})
		literal.Reset()
		pos += 1 + digits + len(o.Text)
	}
	if literal.Len() > 0 {
		t.segments = append(t.segments, segment{text: oneLine(literal.String()), value: -1})
	}
	return t, nil
}

// value returns the index of v among the template's values.
func (t *Template) value(v *templateValue) int {
	if i := slices.Index(t.values, v); i >= 0 {
		return i
	}
	t.values = append(t.values, v)
	return len(t.values) - 1
}

// maxWidth bounds %NNfield.
const maxWidth = 1 << 12

func leadingNumber(s string) (n, digits int) {
	for digits < len(s) && '0' <= s[digits] && s[digits] <= '9' {
		digits++
	}
	n, err := strconv.Atoi(s[:digits])
	if err != nil && digits > 0 {
		n = maxWidth
	}
	return min(n, maxWidth), digits
}

func firstWord(s string) string {
	if i := strings.IndexAny(s, " \t\r\n"); i >= 0 {
		s = s[:i]
	}
	return s
}

// oneLine makes the template's own text fit on one line.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' || r == '\t' {
			return ' '
		}
		return r
	}, s)
	return string(appendSafe(nil, s))
}

// Append appends the text for the event of c.
func (t *Template) Append(dst []byte, c *field.Context) []byte {
	t.scratch = t.scratch[:0]
	for _, v := range t.values {
		t.scratch = append(t.scratch, v.read(c))
	}
	for _, s := range t.segments {
		dst = append(dst, s.text...)
		if s.value < 0 {
			continue
		}
		v := t.scratch[s.value]
		if v.Kind == String {
			t.safe = appendSafe(t.safe[:0], v.Str)
			v.Str = view(t.safe)
		}
		dst = s.append(dst, v)
	}
	return dst
}

// append appends the segment's value, whose string appendSafe has made.
func (s *segment) append(dst []byte, v Value) []byte {
	start := len(dst)
	dst = v.appendText(dst)
	if s.width == 0 {
		return dst
	}
	n := utf8.RuneCount(dst[start:])
	for ; n < s.width; n++ {
		dst = append(dst, ' ')
	}
	for ; n > s.width; n-- {
		_, size := utf8.DecodeLastRune(dst)
		dst = dst[:len(dst)-size]
	}
	return dst
}

func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
