package filter

import (
	"fmt"
	"strings"
)

func (n *And) String() string { return "(" + join(n.Nodes, " and ") + ")" }

func (n *Or) String() string { return "(" + join(n.Nodes, " or ") + ")" }

func (n *Not) String() string { return "not " + n.Node.String() }

func (n *Macro) String() string { return n.Name }

func (n *Const) String() string {
	if n.Value {
		return "true"
	}
	return "false"
}

func (n *Check) String() string {
	var b strings.Builder
	b.WriteString(n.Left.String())
	b.WriteByte(' ')
	b.WriteString(string(n.Op))
	if n.Op == Exists {
		return b.String()
	}
	if n.Modifier != NoModifier {
		b.WriteByte(' ')
		b.WriteString(string(n.Modifier))
	}
	b.WriteByte(' ')
	switch {
	case n.Right != nil:
		b.WriteString(n.Right.String())
	case n.List:
		b.WriteByte('(')
		for i, v := range n.Values {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(Quote(v.Text))
		}
		b.WriteByte(')')
	case len(n.Values) > 0:
		b.WriteString(Quote(n.Values[0].Text))
	}
	return b.String()
}

func (f *Field) String() string {
	if !f.HasArg {
		return f.Name
	}
	return f.Name + "[" + f.Arg + "]"
}

func (t *Transform) String() string {
	s := t.Name + "(" + join(t.Args, ", ") + ")"
	if t.HasArg {
		s += "[" + t.Arg + "]"
	}
	return s
}

func (l *Literal) String() string {
	if l.Quoted {
		return `"` + escape(l.Text) + `"`
	}
	return l.Text
}

func (t *Tuple) String() string { return "(" + join(t.Items, ", ") + ")" }

func join[T fmt.Stringer](list []T, sep string) string {
	parts := make([]string, len(list))
	for i, x := range list {
		parts[i] = x.String()
	}
	return strings.Join(parts, sep)
}

// Quote returns s as a condition writes it: bare if it can be, else in double
// quotes.
func Quote(s string) string {
	if s != "" && len(s) == bareString(s) && strings.IndexByte(s, '\b') < 0 { // \b is a blank between words
		return s
	}
	return `"` + escape(s) + `"`
}

// escape writes the characters that a double-quoted string cannot hold as
// they are.
func escape(s string) string {
	if start, ok := strings.CutSuffix(s, `\`); ok {
		return escaper.Replace(start) + `\ ` // see Quoted
	}
	return escaper.Replace(s)
}

var escaper = strings.NewReplacer(
	"\b", `\b`, "\f", `\f`, "\n", `\n`, "\r", `\r`, "\t", `\t`, `\`, `\\`, `"`, `\"`,
)
