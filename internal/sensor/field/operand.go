package field

import (
	"errors"
	"fmt"
	"strings"
)

// Operand is a field, or transformers of fields, as output templates write
// them.
type Operand struct {
	Text  string // as written
	Field *Field // nil for a transformer
	// Metadata says that a container's runtime tells a value in it, which may
	// come later than the event.
	Metadata bool
	Extractor
}

// maxNesting bounds transformers in transformers.
const maxNesting = 100

// ParseOperand reads the field or transformer at the start of text, as long as
// it gets: "proc.aname[2]", "toupper(proc.name)". The rest of text is ignored.
func (c *Catalogue) ParseOperand(text string) (Operand, error) {
	p := operandParser{catalogue: c, text: text}
	o, err := p.operand(0)
	o.Text, o.Metadata = text[:p.pos], p.metadata
	return o, err
}

type operandParser struct {
	catalogue *Catalogue
	text      string
	pos       int
	metadata  bool // a field so far has the flag
}

func (p *operandParser) rest() string { return p.text[p.pos:] }

func (p *operandParser) skip(s string) bool {
	if !strings.HasPrefix(p.rest(), s) {
		return false
	}
	p.pos += len(s)
	return true
}

func (p *operandParser) blanks() {
	p.pos += len(p.rest()) - len(strings.TrimLeft(p.rest(), " \t\r\n"))
}

func (p *operandParser) operand(depth int) (Operand, error) {
	for _, name := range transformers {
		if p.skip(name + "(") {
			return p.transformer(name, depth)
		}
	}
	return p.field()
}

// field takes the longest name that the catalogue knows; a dot or a word may
// follow it in running text.
func (p *operandParser) field() (Operand, error) {
	text := p.rest()
	n := 0
	for n < len(text) && isNameByte(text[n]) {
		n++
	}
	for n > 0 && text[n-1] == '.' { // the end of a sentence
		n--
	}
	first := error(&NotFoundError{text[:n]})
	for end := n; end > 0; end-- {
		if end == n && strings.HasPrefix(text[end:], "[") {
			if i := closing(text[end:]); i > 0 {
				if o, err := p.take(end + i + 1); err == nil || p.catalogue.byName[text[:end]] != nil {
					return o, err
				}
			}
		}
		o, err := p.take(end)
		if err == nil {
			return o, nil
		}
		if end == n {
			first = err
		}
	}
	return Operand{}, first
}

func (p *operandParser) take(n int) (Operand, error) {
	text := p.rest()[:n]
	f, x, err := p.catalogue.Lookup(text)
	if err == nil {
		p.pos += n
		p.metadata = p.metadata || f.Flags&Metadata != 0
	}
	return Operand{Text: text, Field: f, Extractor: x}, err
}

// closing is the place of the bracket that closes the argument at the start of
// text; -1 if it is not closed.
func closing(text string) int {
	if len(text) > 1 && (text[1] == '"' || text[1] == '\'') {
		if i := strings.IndexByte(text[2:], text[1]); i >= 0 && strings.HasPrefix(text[i+3:], "]") {
			return i + 3
		}
	}
	return strings.IndexByte(text, ']')
}

func isNameByte(b byte) bool {
	return b == '.' || b == '_' || '0' <= b && b <= '9' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z'
}

func (p *operandParser) transformer(name string, depth int) (Operand, error) {
	if depth >= maxNesting {
		return Operand{}, fmt.Errorf("transformers nested more than %d deep", maxNesting)
	}
	args, err := p.list(depth, true)
	if err != nil {
		return Operand{}, fmt.Errorf("%s: %w", name, err)
	}
	index := ""
	if name == "getopt" && strings.HasPrefix(p.rest(), "[") {
		i := closing(p.rest())
		if i < 0 {
			return Operand{}, errors.New("getopt: expected a ']'")
		}
		index = unquote(p.rest()[1:i])
		p.pos += i + 1
	}
	x, err := Transform(name, args, index)
	return Operand{Extractor: x}, err
}

// list reads arguments up to the closing parenthesis; some of them may be
// lists themselves.
func (p *operandParser) list(depth int, nested bool) (args []Extractor, err error) {
	for {
		p.blanks()
		x, err := p.argument(depth, nested)
		if err != nil {
			return nil, err
		}
		args = append(args, x)
		p.blanks()
		switch {
		case p.skip(","):
		case p.skip(")"):
			return args, nil
		default:
			return nil, errors.New("expected a ',' or ')'")
		}
	}
}

func (p *operandParser) argument(depth int, nested bool) (Extractor, error) {
	rest := p.rest()
	switch {
	case rest == "":
		return Extractor{}, errors.New("expected an argument")
	case nested && p.skip("("):
		items, err := p.list(depth+1, false)
		if err != nil {
			return Extractor{}, err
		}
		return Tuple(items)
	case rest[0] == '"' || rest[0] == '\'':
		i := strings.IndexByte(rest[1:], rest[0])
		if i < 0 {
			return Extractor{}, errors.New("expected a closing quote")
		}
		p.pos += i + 2
		return Literal(rest[1 : i+1]), nil
	case '0' <= rest[0] && rest[0] <= '9':
		n := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		p.pos += n
		return Literal(rest[:n]), nil
	}
	o, err := p.operand(depth + 1)
	if err == nil && o.Field != nil && o.Field.Flags&NoTransformer != 0 {
		err = fmt.Errorf("field %s cannot be used with a transformer", o.Field.Name)
	}
	return o.Extractor, err
}
