package filter

import (
	"fmt"
	"slices"
	"strings"
)

// MaxDepth limits how deep parentheses and transformers nest.
const MaxDepth = 1000

// Parse reads a condition. Its error is an *Error in Falco's words.
//
//	expr     = and_list { "or" and_list }
//	and_list = not_term { "and" not_term }
//	not_term = { "not" } ( "(" expr ")" | check | macro )
func Parse(text string) (Node, error) {
	p := &parser{in: text, line: 1}
	if text == "" {
		return nil, p.fail("filter input string is empty")
	}
	n, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.off != len(text) {
		return nil, p.fail("unexpected token after '%s', expecting 'or', 'and'", p.last)
	}
	return n, nil
}

// The words of the language.
var (
	symbolOps    = []string{"==", "=", "!="}
	wordOps      = []string{"glob", "iglob", "contains", "icontains", "bcontains", "startswith", "bstartswith", "endswith", "regex"}
	orderOps     = []string{"<=", "<", ">=", ">"}
	listOps      = []string{"intersects", "in", "pmatch"}
	modifiers    = []string{"oneof", "anyof", "allof"}
	transformers = []string{"tolower", "toupper", "b64", "basename", "len", "join", "concat", "getopt"}
)

// Operators returns all operators, those that take a list last.
func Operators() []Op {
	var ops []Op
	for _, list := range [][]string{{string(Exists)}, orderOps, symbolOps, wordOps, listOps} {
		for _, op := range list {
			ops = append(ops, Op(op))
		}
	}
	return ops
}

// TakesList says whether the operator takes a list on its right.
func (op Op) TakesList() bool { return slices.Contains(listOps, string(op)) }

// parser reads a condition from left to right; it never goes back.
type parser struct {
	in        string
	off       int
	line      int
	lineStart int
	last      string // the last token, for messages
	depth     int
}

func (p *parser) here() Pos {
	return Pos{Offset: p.off, Line: p.line, Col: p.off - p.lineStart + 1, Text: p.in}
}

func (p *parser) fail(format string, args ...any) error {
	return &Error{Pos: p.here(), Msg: fmt.Sprintf(format, args...)}
}

func (p *parser) rest() string { return p.in[p.off:] }

// advance moves over the next n bytes.
func (p *parser) advance(n int) string {
	token := p.in[p.off : p.off+n]
	if i := strings.LastIndexByte(token, '\n'); i >= 0 {
		p.line += strings.Count(token, "\n")
		p.lineStart = p.off + i + 1
	}
	p.off += n
	return token
}

// take moves over a token of n bytes and remembers it.
func (p *parser) take(n int) bool {
	if n > 0 {
		p.last = p.advance(n)
	}
	return n > 0
}

// word moves over s if it comes next.
func (p *parser) word(s string) bool {
	return strings.HasPrefix(p.rest(), s) && p.take(len(s))
}

func (p *parser) blank() bool {
	n := span(p.rest(), isBlank)
	p.advance(n)
	return n > 0
}

// deeper counts a level of nesting; the caller calls the result to leave it.
func (p *parser) deeper() (leave func(), err error) {
	if p.depth++; p.depth > MaxDepth {
		return nil, p.fail("exceeded max depth limit of %d", MaxDepth)
	}
	return func() { p.depth-- }, nil
}

func (p *parser) or() (Node, error) {
	return p.list("or", p.and, func(at Pos, nodes []Node) Node { return &Or{At: at, Nodes: nodes} })
}

func (p *parser) and() (Node, error) {
	return p.list("and", p.not, func(at Pos, nodes []Node) Node { return &And{At: at, Nodes: nodes} })
}

// list reads one or more operands of the given conjunction. Several are one
// node, which whole makes.
func (p *parser) list(conjunction string, operand func() (Node, error), whole func(Pos, []Node) Node) (Node, error) {
	p.blank()
	at := p.here()
	var nodes []Node
	for {
		n, err := operand()
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
		p.blank()
		for {
			if !p.word(conjunction) {
				if len(nodes) == 1 {
					return nodes[0], nil
				}
				return whole(at, nodes), nil
			}
			if p.blank() {
				break
			}
			if !p.word("(") {
				return nil, p.fail("expected blank or '(' after '%s'", conjunction)
			}
			if n, err = p.embedded(); err != nil {
				return nil, err
			}
			nodes = append(nodes, n)
			p.blank()
		}
	}
}

func (p *parser) not() (Node, error) {
	p.blank()
	at := p.here()
	negate := false
	for strings.HasPrefix(p.rest(), "not") {
		n := span(p.rest()[3:], isSpace)
		if n == 0 {
			break
		}
		p.advance(3 + n)
		p.last = "not"
		negate = !negate
	}
	var n Node
	var err error
	if p.word("not(") {
		negate = !negate
		n, err = p.embedded()
	} else {
		n, err = p.check()
	}
	if err != nil || !negate {
		return n, err
	}
	return &Not{At: at, Node: n}, nil
}

// embedded reads the rest of a condition in parentheses.
func (p *parser) embedded() (Node, error) {
	leave, err := p.deeper()
	if err != nil {
		return nil, err
	}
	defer leave()
	n, err := p.or()
	if err != nil {
		return nil, err
	}
	p.blank()
	if !p.word(")") {
		return nil, p.fail("expected a ')' token")
	}
	return n, nil
}

func (p *parser) check() (Node, error) {
	p.blank()
	at := p.here()
	if p.word("(") {
		return p.embedded()
	}
	left, err := p.operand()
	if err != nil {
		return nil, err
	}
	if left != nil {
		return p.condition(&Check{At: at, Left: left})
	}
	if p.take(identifier(p.rest())) {
		return &Macro{At: at, Name: p.last}, nil
	}
	return nil, p.fail("expected a '(' token, a field check, or an identifier")
}

// condition reads the operator and values after an operand.
func (p *parser) condition(c *Check) (Node, error) {
	p.blank()
	var err error
	switch {
	case p.word(string(Exists)):
		c.Op = Exists
		return c, nil
	case p.operator(orderOps, false):
		c.Op = Op(p.last)
		err = p.numberValue(c)
	case p.operator(symbolOps, false), p.operator(wordOps, true):
		c.Op = Op(p.last)
		err = p.stringValue(c)
	case p.operator(listOps, false):
		c.Op = Op(p.last)
		err = p.listValue(c, true)
	default:
		return nil, p.fail("expected a valid check operator: one of %s", quotedOps())
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (p *parser) operator(ops []string, needsBlank bool) bool {
	for _, op := range ops {
		rest := p.rest()
		if !strings.HasPrefix(rest, op) {
			continue
		}
		if needsBlank && (len(rest) == len(op) || !isBlank(rest[len(op)])) {
			continue
		}
		return p.take(len(op))
	}
	return false
}

func (p *parser) numberValue(c *Check) error {
	p.blank()
	if ok, err := p.right(c); ok || err != nil {
		return err
	}
	at := p.here()
	if !p.take(number(p.rest())) {
		return p.fail("expected a number value or a field with a valid transformer: %s", quotedTransformers())
	}
	c.Values = []Value{{At: at, Text: p.last}}
	return nil
}

func (p *parser) stringValue(c *Check) error {
	apart := p.blank()
	if ok, err := p.right(c); ok || err != nil {
		return err
	}
	if apart {
		if c.Modifier = p.modifier(); c.Modifier != NoModifier {
			return p.listValue(c, false)
		}
	}
	v, ok, err := p.str()
	if err != nil {
		return err
	}
	if !ok {
		return p.fail("expected a string value or a field with a valid transformer: %s", quotedTransformers())
	}
	c.Values = []Value{v}
	return nil
}

// modifier reads oneof, anyof or allof, which are plain strings unless a blank
// and a list follow.
func (p *parser) modifier() Modifier {
	rest := p.rest()
	for _, m := range modifiers {
		after, ok := strings.CutPrefix(rest, m)
		if !ok {
			continue
		}
		n := span(after, isBlank)
		next := after[n:]
		id := next[:identifier(next)]
		list := strings.HasPrefix(next, "(") || id != "" && id != "and" && id != "or" && id != "not"
		if n == 0 || !list {
			continue
		}
		p.take(len(m))
		return Modifier(m)
	}
	return NoModifier
}

// str reads a quoted or bare string. It returns false if neither follows.
func (p *parser) str() (Value, bool, error) {
	at := p.here()
	if n := Quoted(p.rest()); n > 0 {
		s, err := unescape(p.rest()[:n])
		if err == nil && strings.IndexByte(s, 0) >= 0 {
			err = fmt.Errorf("a string value cannot hold a NUL character")
		}
		if err != nil {
			return Value{}, false, p.fail("%s", err.Error())
		}
		p.advance(n)
		p.last = s
		return Value{At: at, Text: s}, true, nil
	}
	if p.take(bareString(p.rest())) {
		return Value{At: at, Text: p.last}, true, nil
	}
	return Value{}, false, nil
}

func (p *parser) listValue(c *Check, transformer bool) error {
	p.blank()
	if p.word("(") {
		return p.parenthesised(c)
	}
	if transformer {
		if ok, err := p.right(c); ok || err != nil {
			return err
		}
	}
	at := p.here()
	if !p.take(identifier(p.rest())) {
		return p.fail("expected a list, an identifier, or a field with a valid transformer: %s", quotedTransformers())
	}
	c.Values = []Value{{At: at, Text: p.last}}
	return nil
}

// parenthesised reads the rest of a list of strings.
func (p *parser) parenthesised(c *Check) error {
	c.List = true
	p.blank()
	v, ok, err := p.str()
	for ok {
		c.Values = append(c.Values, v)
		p.blank()
		if !p.word(",") {
			break
		}
		p.blank()
		if v, ok, err = p.str(); !ok && err == nil {
			return p.fail("expected a string value")
		}
	}
	if err != nil {
		return err
	}
	if !p.word(")") {
		return p.fail("expected a ')' token")
	}
	return nil
}

func quotedOps() string {
	var names []string
	for _, op := range Operators() {
		names = append(names, "'"+string(op)+"'")
	}
	return strings.Join(names, ", ")
}

func quotedTransformers() string {
	return "'val', '" + strings.Join(transformers, "', '") + "'"
}
