package filter

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	tests := []struct{ text, want string }{
		{"s.a = b", "s.a = b"},
		{"s.a=b", "s.a = b"},
		{"  s.a\n=\tb ", "s.a = b"},
		{"s.a == b or s.a != c and s.b exists", "(s.a == b or (s.a != c and s.b exists))"},
		{"(s.a = b or s.a = c)and(s.b exists)or(s.b = d)", "(((s.a = b or s.a = c) and s.b exists) or s.b = d)"},
		{"not s.a = b and s.b = c", "(not s.a = b and s.b = c)"},
		{"not not s.a = b", "s.a = b"},
		{"not not(s.a = b)", "s.a = b"},
		{"not(s.a = b or s.b = c)", "not (s.a = b or s.b = c)"},
		{"macro and not other_1", "(macro and not other_1)"},
		{"s.a in (a, 'b c', \"d\")", `s.a in (a, "b c", d)`},
		{"s.a in ()", "s.a in ()"},
		{"s.a in(a,b)", "s.a in (a, b)"},
		{"s.a in name", "s.a in name"},
		{"s.a intersects (x) or s.a pmatch (/a, /b)", "(s.a intersects (x) or s.a pmatch (/a, /b))"},
		{"n.i >= -5 and n.i < 0x1F and n.d <= 1.5e+3", "(n.i >= -5 and n.i < 0x1F and n.d <= 1.5e+3)"},
		{"s.a startswith /etc/", "s.a startswith /etc/"},
		{`s.a contains "a\tb\"c\ "`, `s.a contains "a\tb\"c\ "`},
		{`s.a = "a\\" or b"`, `s.a = "a\\\" or b"`}, // the first quote does not close
		{`s.a = 'it\'s'`, `s.a = "it's"`},
		{`s.a = "\x41\/"`, "s.a = A/"},
		{`s.a = "C:\ x"`, `s.a = C:\x`},
		{"s.a = oneof", "s.a = oneof"},
		{"s.a = oneof and s.b = c", "(s.a = oneof and s.b = c)"},
		{"s.a contains anyof (x, y)", "s.a contains anyof (x, y)"},
		{"s.a = allof (x)", "s.a = allof (x)"},
		{"s.a =allof", "s.a = allof"},
		{"s.a = oneof name", "s.a = oneof name"},
		{"proc.aname[2] = sshd", "proc.aname[2] = sshd"},
		{"evt.arg['a b'] exists", "evt.arg[a b] exists"},
		{"container.mount.dest[/proc*] exists", "container.mount.dest[/proc*] exists"},
		{"evt.arg.flags contains O_TRUNC", "evt.arg.flags contains O_TRUNC"},
		{"tolower(s.a) = x", "tolower(s.a) = x"},
		{"toupper( tolower(s.a) ) = val( s.b )", "toupper(tolower(s.a)) = val(s.b)"},
		{"len(s.a) > 3", "len(s.a) > 3"},
		{"s.a = concat(s.b, \"-\", 5)", `s.a = concat(s.b, "-", 5)`},
		{`join(",", (s.a, s.b)) = x`, `join(",", (s.a, s.b)) = x`},
		{`getopt(proc.args, "ab:")[b] = x`, `getopt(proc.args, "ab:")[b] = x`},
		{"s.a in tolower(s.b)", "s.a in tolower(s.b)"},
		{"n.i <= val(n.u)", "n.i <= val(n.u)"},
		{"s.a glob *.so", "s.a glob *.so"},
		{"s.a regex '^a|b$'", "s.a regex ^a|b$"},
	}
	for _, tt := range tests {
		n, err := Parse(tt.text)
		if err != nil {
			t.Errorf("Parse(%q): %v", tt.text, err)
			continue
		}
		if got := n.String(); got != tt.want {
			t.Errorf("Parse(%q) = %s, want %s", tt.text, got, tt.want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	const ops = "'exists', '<=', '<', '>=', '>', '==', '=', '!=', 'glob', 'iglob', 'contains', 'icontains', 'bcontains', " +
		"'startswith', 'bstartswith', 'endswith', 'regex', 'intersects', 'in', 'pmatch'"
	const functions = "'val', 'tolower', 'toupper', 'b64', 'basename', 'len', 'join', 'concat', 'getopt'"
	tests := []struct {
		text, want string
		line, col  int
	}{
		{"", "filter input string is empty", 1, 1},
		{" ", "expected a '(' token, a field check, or an identifier", 1, 2},
		{"s.a = b c", "unexpected token after 'b', expecting 'or', 'and'", 1, 9},
		{"(s.a = b", "expected a ')' token", 1, 9},
		{"s.a = b)", "unexpected token after 'b', expecting 'or', 'and'", 1, 8},
		{"s.a", "expected a valid check operator: one of " + ops, 1, 4},
		{"s.a like b", "expected a valid check operator: one of " + ops, 1, 5},
		{"s.a startswith", "expected a valid check operator: one of " + ops, 1, 5},
		{"s.a =", "expected a string value or a field with a valid transformer: " + functions, 1, 6},
		{"s.a = b or", "expected blank or '(' after 'or'", 1, 11},
		{"s.a = b\n  and=", "expected blank or '(' after 'and'", 2, 6},
		{"s.a = b and", "expected blank or '(' after 'and'", 1, 12},
		{"n.i > x", "expected a number value or a field with a valid transformer: " + functions, 1, 7},
		{"s.a in 5", "expected a list, an identifier, or a field with a valid transformer: " + functions, 1, 8},
		{"s.a in (a b)", "expected a ')' token", 1, 11},
		{"s.a in (a,)", "expected a string value", 1, 11},
		{"proc.aname[", "expected a valid field argument: a quoted string or a bare string", 1, 12},
		{"proc.aname[1 = a", "expected a ']' token", 1, 13},
		{`s.a = "a\qb"`, `unsupported string escape sequence: \q`, 1, 7},
		{`proc.env["a\qb"] exists`, `unsupported string escape sequence: \q`, 1, 10},
		{`s.a = "a\'b"`, `invalid \' escape in "-quoted string`, 1, 7},
		{`s.a = "\x4"`, `unsupported string escape sequence: \x needs two hex digits`, 1, 7},
		{`s.a = "\x00"`, "a string value cannot hold a NUL character", 1, 7},
		{"s.a startswith allof(x)", "unexpected token after 'allof', expecting 'or', 'and'", 1, 21},
		{"s.a =allof (x)", "unexpected token after 'allof', expecting 'or', 'and'", 1, 12},
		{`s.a = "a\\"`, "expected a string value or a field with a valid transformer: " + functions, 1, 7},
		{`s.a = "open`, "expected a string value or a field with a valid transformer: " + functions, 1, 7},
		{"s.a = val(x)", "expected a field within 'val' transformer", 1, 11},
		{"s.a = val(s.b", "expected a ')' token closing the transformer", 1, 14},
		{"tolower() = a", "expected a field or a nested valid transformer: " + functions, 1, 9},
		{strings.Repeat("(", 1001), "exceeded max depth limit of 1000", 1, 1002},
		{strings.Repeat("tolower(", 1001), "exceeded max depth limit of 1000", 1, 8009},
	}
	for _, tt := range tests {
		_, err := Parse(tt.text)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("Parse(%.30q) = %v, want an error", tt.text, err)
			continue
		}
		got, want := fmt.Sprintf("%d:%d %s", e.Pos.Line, e.Pos.Col, e.Msg), fmt.Sprintf("%d:%d %s", tt.line, tt.col, tt.want)
		if got != want {
			t.Errorf("Parse(%.30q):\n got %s\nwant %s", tt.text, got, want)
		}
	}
}

func TestPositions(t *testing.T) {
	n := mustParse(t, "s.a = b\n  or not (n.i > 5)")
	or := n.(*Or)
	check := or.Nodes[1].(*Not).Node.(*Check)
	for _, tt := range []struct {
		at        Pos
		line, col int
	}{{or.At, 1, 1}, {or.Nodes[1].Pos(), 2, 6}, {check.At, 2, 11}, {check.Values[0].At, 2, 17}} {
		if tt.at.Line != tt.line || tt.at.Col != tt.col {
			t.Errorf("position %d:%d, want %d:%d", tt.at.Line, tt.at.Col, tt.line, tt.col)
		}
	}
}

func TestDeepNesting(t *testing.T) {
	n := mustParse(t, strings.Repeat("not(", MaxDepth)+"s.a = b"+strings.Repeat(")", MaxDepth))
	if !naive(n, record{"s.a": "b"}) {
		t.Errorf("%d nots turn true to false", MaxDepth)
	}
	if p := mustCompile(t, NewCompiler(fakeLookup), n); !p(contextOf(record{"s.a": "b"})) {
		t.Errorf("compiled: %d nots turn true to false", MaxDepth)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"s.a = b", "not (s.a in (a, 'b')) or n.i >= 5", `s.a contains "\x41\"" and tolower(s.b) = val(s.a)`,
		`join(",", (s.a, s.b))[x] exists`, "s.a = anyof (a) or macro", "ip.one = 10.0.0.1 and net.ends in (10.0.0.0/8)", "s.a regex '(a|b)*'",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := Parse(text)
		if err != nil {
			return
		}
		printed := n.String()
		m, err := Parse(printed)
		if err == nil && m.String() != printed && !strings.Contains(printed, "not not") {
			t.Fatalf("%q printed as %q, which printed as %q", text, printed, m.String())
		}
		Kinds(n)
		Walk(Specialise(Project(Widen(n), unresolved), 1, 0), func(Node) {})
		if Resolve(n, fakeLookup) != nil {
			return
		}
		c := NewCompiler(fakeLookup)
		p, err := c.Compile(n)
		if err != nil {
			t.Fatalf("%q resolves but does not compile: %v", text, err)
		}
		p(contextOf(record{"s.a": "b", "n.i": "5", "ip.one": "10.0.0.1", "list.s": "a,b"}))
	})
}
