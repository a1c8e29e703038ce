package filter

import (
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

// Pos is a place in the text of a condition. Text is that text: a condition
// with its macros expanded has parts from several texts.
type Pos struct {
	Offset    int // in bytes, from 0
	Line, Col int // from 1; Col in bytes
	Text      string
}

// Error is an error in a condition, with its place.
type Error struct {
	Pos Pos
	Msg string
}

func (e *Error) Error() string { return e.Msg }

// Node is a condition or a part of one: *And, *Or, *Not, *Macro, *Check or
// *Const.
type Node interface {
	Pos() Pos
	// String is the condition in canonical form, as Falco prints it.
	String() string
}

// And is true if all of its two or more parts are.
type And struct {
	At    Pos
	Nodes []Node
}

// Or is true if any of its two or more parts is.
type Or struct {
	At    Pos
	Nodes []Node
}

// Not inverts a condition.
type Not struct {
	At   Pos
	Node Node
}

// Macro is the name of a macro that has not been expanded yet.
type Macro struct {
	At   Pos
	Name string
}

// Const is a condition whose value is known.
type Const struct {
	At    Pos
	Value bool
}

// Check compares an operand with constants or with another operand.
type Check struct {
	At       Pos
	Left     Operand
	Op       Op
	Modifier Modifier
	// Values are the constants on the right, List says that they were written
	// in parentheses. Right is the operand on the right, if it is not a
	// constant.
	Values []Value
	List   bool
	Right  Operand
}

// Value is a constant.
type Value struct {
	At   Pos
	Text string
}

// Op is an operator, as written.
type Op string

const (
	Exists      Op = "exists"
	Less        Op = "<"
	LessEq      Op = "<="
	Greater     Op = ">"
	GreaterEq   Op = ">="
	Eq          Op = "="
	EqEq        Op = "=="
	NotEq       Op = "!="
	Glob        Op = "glob"
	IGlob       Op = "iglob"
	Contains    Op = "contains"
	IContains   Op = "icontains"
	BContains   Op = "bcontains"
	StartsWith  Op = "startswith"
	BStartsWith Op = "bstartswith"
	EndsWith    Op = "endswith"
	Regex       Op = "regex"
	Intersects  Op = "intersects"
	In          Op = "in"
	PMatch      Op = "pmatch"
)

// Modifier says how many of the values on the right have to satisfy the
// operator.
type Modifier string

const (
	NoModifier Modifier = ""
	OneOf      Modifier = "oneof"
	AnyOf      Modifier = "anyof"
	AllOf      Modifier = "allof"
)

// Operand is a value that a Check compares: *Field, *Transform, or, as an
// argument of a transformer, *Literal or *Tuple.
type Operand interface {
	Pos() Pos
	String() string
}

// Field is a field with its argument.
type Field struct {
	At     Pos
	Name   string // with dotted arguments: evt.arg.flags
	Arg    string // in brackets
	HasArg bool
	// Stage says when the value becomes known; AtEvent until Resolve.
	Stage field.Stage
	// Metadata says that a container's runtime tells the value, which may come
	// later than the event; false until Resolve.
	Metadata bool
	// NeverSet says that no event has a value; false until Resolve.
	NeverSet bool
}

// Param is the parameter of the field, by name or number; false if it is
// another field.
func (f *Field) Param() (string, bool) {
	for _, name := range []string{"evt.arg", "evt.rawarg"} {
		if f.Name == name {
			return f.Arg, f.HasArg
		}
		if arg, ok := strings.CutPrefix(f.Name, name+"."); ok {
			return arg, true
		}
	}
	return "", false
}

// Transform is a function of operands. Name "val" marks a bare field on the
// right of an operator.
type Transform struct {
	At     Pos
	Name   string
	Args   []Operand
	Arg    string // in brackets behind it
	HasArg bool
}

// Literal is a constant argument of a transformer.
type Literal struct {
	At     Pos
	Text   string
	Quoted bool
}

// Tuple is a parenthesised list of arguments.
type Tuple struct {
	At    Pos
	Items []Operand
}

// Pos is where the node or operand begins.
func (n *And) Pos() Pos       { return n.At }
func (n *Or) Pos() Pos        { return n.At }
func (n *Not) Pos() Pos       { return n.At }
func (n *Macro) Pos() Pos     { return n.At }
func (n *Const) Pos() Pos     { return n.At }
func (n *Check) Pos() Pos     { return n.At }
func (f *Field) Pos() Pos     { return f.At }
func (t *Transform) Pos() Pos { return t.At }
func (l *Literal) Pos() Pos   { return l.At }
func (t *Tuple) Pos() Pos     { return t.At }

// IsTrue says whether n is the constant true.
func IsTrue(n Node) bool { c, ok := n.(*Const); return ok && c.Value }

// IsFalse says whether n is the constant false.
func IsFalse(n Node) bool { c, ok := n.(*Const); return ok && !c.Value }
