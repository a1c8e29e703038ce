package filter

import (
	"slices"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

// sample is one left value and, by operator, right values with the expected
// results.
type sample struct {
	field, left string
	right       map[Op][]string // "x" is true, "!x" is false
}

var samples = []sample{
	{"s.a", "/etc/shadow", map[Op][]string{
		Exists: {""},
		Eq:     {"/etc/shadow", "!/etc/shado", "!/etc/SHADOW", `!""`},
		EqEq:   {"/etc/shadow", "!/etc/passwd"},
		NotEq:  {"!/etc/shadow", "/etc/SHADOW"},
		Less:   {"5", "1"}, LessEq: {"5"}, Greater: {"!5", "-99"}, GreaterEq: {"!5"},
		Contains:   {"shadow", "/etc", `""`, "!Shadow"},
		IContains:  {"SHADOW", "sHaD", `""`, "!shadows"},
		StartsWith: {"/etc", "/etc/shadow", `""`, "!etc", "!/etc/shadowy"},
		EndsWith:   {"shadow", "/etc/shadow", `""`, "!/etc"},
		Glob:       {"/etc/*", "*", "/*/shado?", "/etc/[a-t]hadow", "!/etc/[!s]*", "!shadow", "!/ETC/*", "*shadow"},
		IGlob:      {"/ETC/*", "*SHADOW", "!/var/*"},
		Regex:      {"/etc/.*", "'/(etc|var)/[a-z]+'", "!/etc", "!shadow", "!/ETC/.*"},
		In:         {"(/etc/shadow)", "(a, /etc/shadow, b)", "!(a, b)", "!()"},
		Intersects: {"(a, /etc/shadow)", "!(a)"},
		PMatch:     {"(/etc)", "(/var, /etc/shadow)", "(/e*)", "(/)", "(etc)", "!(/etc/shadow/x)", "!(/et)", "!()"},
	}},
	{"s.a", "7", map[Op][]string{Less: {"8", "!7", "!10"}, LessEq: {"7", "!6"}, Greater: {"6", "10"}, GreaterEq: {"7", "!8"}}},
	{"s.a", `""`, map[Op][]string{Exists: {""}, Eq: {`""`, "!a"}, NotEq: {"a"}, Contains: {`""`, "!a"}, Glob: {"*", `""`, "!?"}, Regex: {"a*", "!a"}, In: {`("")`}}},
	{"b.x", "GET /x", map[Op][]string{
		Exists: {""}, Eq: {"'GET /x'", "!GET"}, EqEq: {"'GET /x'"}, NotEq: {"GET"}, In: {"('GET /x')", "!(GET)"}, Intersects: {"('GET /x')"},
		Contains: {"'T /'", "!POST"}, StartsWith: {"GET", "!ET"}, EndsWith: {"/x", "!/"},
		BContains: {"5420", "!aa", "2F78"}, BStartsWith: {"474554", "!4554"},
	}},
	{"n.i", "-2", map[Op][]string{
		Exists: {""}, Eq: {"-2", "!2"}, EqEq: {"-2"}, NotEq: {"2", "!-2"}, Less: {"-1", "!-2"}, LessEq: {"-2", "!-3"},
		Greater: {"-3", "!-2"}, GreaterEq: {"-2", "!0"}, In: {"(1, -2)", "!(1, 2)", "(1,2,3,4,5,6,7,8,9,-2)"}, Intersects: {"(-2)"},
	}},
	{"n.u", "4294967295", map[Op][]string{
		Exists: {""}, Eq: {"4294967295", "-1", "!0"}, EqEq: {"-1"}, NotEq: {"0", "!-1"}, Less: {"4294967296"}, LessEq: {"4294967295"},
		Greater: {"5"}, GreaterEq: {"5"}, In: {"(-1)", "!(1)"}, Intersects: {"(4294967295)"},
	}},
	{"n.near", "500", map[Op][]string{Eq: {"500", "501", "!499"}, EqEq: {"1000", "!0"}}},
	{"n.d", "5", map[Op][]string{
		Exists: {""}, Eq: {"5"}, EqEq: {"5"}, NotEq: {"6"}, Less: {"6"}, LessEq: {"5"}, Greater: {"4"}, GreaterEq: {"5"}, In: {"(5)"}, Intersects: {"(4, 5)"},
	}},
	{"n.t", "500", map[Op][]string{
		Exists: {""}, Eq: {"500"}, EqEq: {"500"}, NotEq: {"1"}, Less: {"501"}, LessEq: {"500"}, Greater: {"499"}, GreaterEq: {"500"}, In: {"(500)"}, Intersects: {"(500)"},
	}},
	{"n.bool", "1", map[Op][]string{Exists: {""}, Eq: {"true", "!false"}, EqEq: {"true"}, NotEq: {"false", "!true"}, In: {"(true)", "(true, false)"}, Intersects: {"(true)"}}},
	{"n.port", "22", map[Op][]string{
		Exists: {""}, Eq: {"22", "ssh", "!80"}, EqEq: {"ssh"}, NotEq: {"http", "!ssh"}, Less: {"23"}, LessEq: {"22"}, Greater: {"21"}, GreaterEq: {"22"},
		In: {"(ssh, http)", "!(http)"}, Intersects: {"(22)"},
	}},
	{"ip.one", "10.0.0.1", map[Op][]string{
		Exists: {""}, Eq: {"10.0.0.1", "!10.0.0.2", "!::1"}, EqEq: {"10.0.0.1"}, NotEq: {"10.0.0.2", "::1", "!10.0.0.1"},
		In: {"(10.0.0.1, ::1)", "!(::1)"}, Intersects: {"(10.0.0.1)"},
	}},
	{"ip.one", "::ffff:10.0.0.1", map[Op][]string{Eq: {"10.0.0.1"}, NotEq: {"!10.0.0.1"}}},
	{"ip.net", "10.1.2.3", map[Op][]string{
		Exists: {""}, Eq: {"10.0.0.0/8", "10.9.9.9/8", "!11.0.0.0/8", "!::/0"}, EqEq: {"10.0.0.0/8"}, NotEq: {"11.0.0.0/8", "::/0", "!10.0.0.0/8"},
		In: {"(11.0.0.0/8, 10.0.0.0/8)", "!(11.0.0.0/8)"}, Intersects: {"(10.0.0.0/8)"},
	}},
	{"ip.ends", "10.0.0.1,10.0.0.2", map[Op][]string{
		Exists: {""}, Eq: {"10.0.0.1", "10.0.0.2", "!10.0.0.3"}, EqEq: {"10.0.0.2"}, NotEq: {"10.0.0.3", "!10.0.0.1", "!10.0.0.2"}, In: {"(::1, 10.0.0.2)"}, Intersects: {"(10.0.0.2)"},
	}},
	{"net.ends", "10.0.0.1,192.168.0.1", map[Op][]string{
		Exists: {""}, Eq: {"10.0.0.0/8", "192.168.0.0/16", "!127.0.0.0/8"}, EqEq: {"10.0.0.0/8"}, NotEq: {"127.0.0.0/8", "!10.0.0.0/8"}, In: {"(127.0.0.0/8, 192.168.0.0/16)"}, Intersects: {"(10.0.0.0/8)"},
	}},
	{"port.ends", "1024,22", map[Op][]string{
		Exists: {""}, Eq: {"22", "1024", "!80"}, EqEq: {"ssh"}, NotEq: {"80", "!22"}, Less: {"100", "!22"}, LessEq: {"22"}, Greater: {"1000"}, GreaterEq: {"1024"}, In: {"(80, 22)"}, Intersects: {"(22)"},
	}},
	{"any.s", "sshd,bash", map[Op][]string{
		Exists: {""}, Eq: {"sshd", "bash", "!sh"}, EqEq: {"bash"}, NotEq: {"sshd", "x"}, Contains: {"ash", "!q"}, IContains: {"SSH"}, StartsWith: {"ssh"}, EndsWith: {"sh"},
		Glob: {"b*"}, IGlob: {"B*"}, Regex: {"ba.*"}, In: {"(x, bash)", "!(x)"}, Intersects: {"(bash)"}, PMatch: {"(bash)"}, Less: {"!1"}, LessEq: {"!1"}, Greater: {"1"}, GreaterEq: {"1"},
	}},
	{"any.i", "1,2", map[Op][]string{
		Exists: {""}, Eq: {"1", "2", "!3"}, EqEq: {"1"}, NotEq: {"1"}, Less: {"2"}, LessEq: {"1"}, Greater: {"1", "!2"}, GreaterEq: {"2"}, In: {"(2)"}, Intersects: {"(2)"},
	}},
	{"list.s", "file,ipv4", map[Op][]string{Exists: {""}, In: {"(file, ipv4, pipe)", "!(file)", "!(pipe)"}, Intersects: {"(file)", "!(pipe)", "!()"}}},
	{"list.s", `""`, map[Op][]string{Exists: {""}, In: {"(file)", "()"}, Intersects: {"!(file)"}}},
}

// TestOperators tries every operator on every type, with a value and without,
// and that it allocates nothing.
func TestOperators(t *testing.T) {
	for _, s := range samples {
		left := strings.Trim(s.left, `"`)
		for op, rights := range s.right {
			for _, right := range rights {
				right, isFalse := strings.CutPrefix(right, "!")
				text := s.field + " " + string(op) + " " + right
				p := mustCompile(t, NewCompiler(fakeLookup), mustParse(t, text))
				ctx := contextOf(record{s.field: left})
				if got := p(ctx); got == isFalse {
					t.Errorf("%s of %q = %v", text, left, got)
				}
				if n := testing.AllocsPerRun(20, func() { p(ctx) }); n > 0 {
					t.Errorf("%s allocates %v times", text, n)
				}
				if p(contextOf(record{})) {
					t.Errorf("%s is true of a missing value", text)
				}
			}
		}
	}
}

// TestOperatorsOfTypes makes sure that samples has every operator that a type
// takes, and that no type takes another.
func TestOperatorsOfTypes(t *testing.T) {
	seen := map[string][]Op{}
	for _, s := range samples {
		for op := range s.right {
			seen[s.field] = append(seen[s.field], op)
		}
	}
	for name, ops := range seen {
		for _, op := range Operators() {
			right := map[field.Type]string{field.Bool: "true", field.IPAddr: "::1", field.IPNet: "::/0"}[fakes[name].typ]
			if right == "" {
				right = "5"
			}
			values := []Value{{Text: right}}
			check := &Check{Left: &Field{Name: name}, Op: op, Values: values, List: op.TakesList()}
			_, err := NewCompiler(fakeLookup).Compile(check)
			if supported := slices.Contains(ops, op); supported != (err == nil) && !(err != nil && strings.Contains(err.Error(), "hex")) {
				t.Errorf("%s: sampled %v, but error %v", check, supported, err)
			}
		}
	}
}

// TestWithin tests the transformations of the = of a distance on its way to the
// compiled form.
func TestWithin(t *testing.T) {
	for text, want := range map[string]bool{
		"n.near = 100 or n.near = 600":                         true, // not joined to "in"
		"n.near = 100 or n.near = 200":                         false,
		"not n.near = 100":                                     true,
		"not n.near = 500":                                     false,
		"n.u = 1 or n.near = 500 or n.near = 1 and s.a exists": true,
	} {
		p := mustCompile(t, NewCompiler(fakeLookup), mustParse(t, text))
		if got := p(contextOf(record{"n.near": "500", "n.u": "0"})); got != want {
			t.Errorf("%s = %v", text, got)
		}
	}
	for _, text := range []string{"n.near <= 5", "n.near in (5)", "n.near = anyof (5, 6)", "n.near = val(n.u)", "n.near exists"} {
		n, err := Parse(text)
		if err == nil {
			_, err = NewCompiler(fakeLookup).Compile(n)
		}
		if err == nil || !strings.Contains(err.Error(), "n.near supports only the '=' operator") {
			t.Errorf("%s: error %v", text, err)
		}
	}
}

func TestModifiers(t *testing.T) {
	tests := []struct {
		text string
		want bool
	}{
		{"s.a contains anyof (x, shadow)", true},
		{"s.a contains anyof (x, y)", false},
		{"s.a contains allof (etc, shadow)", true},
		{"s.a contains allof (etc, x)", false},
		{"s.a contains oneof (etc, x)", true},
		{"s.a contains oneof (etc, shadow)", false},
		{"s.a startswith anyof (/var, /etc)", true},
		{"s.a = anyof (/etc/shadow, x)", true},
		{"s.a != allof (x, y)", true},
		{"s.a != anyof (x, /etc/shadow)", true},
		{"s.a endswith anyof ()", false},
		{"s.a endswith allof ()", false},
		{"s.a endswith oneof ()", false},
		{"net.ends != anyof (127.0.0.0/8)", true},
		{"not s.b contains anyof (x)", true}, // missing
	}
	ctx := contextOf(record{"s.a": "/etc/shadow", "net.ends": "10.0.0.1"})
	for _, tt := range tests {
		p := mustCompile(t, NewCompiler(fakeLookup), mustParse(t, tt.text))
		if p(ctx) != tt.want {
			t.Errorf("%s = %v", tt.text, !tt.want)
		}
		if n := testing.AllocsPerRun(20, func() { p(ctx) }); n > 0 {
			t.Errorf("%s allocates %v times", tt.text, n)
		}
	}
}

func TestCompileErrors(t *testing.T) {
	tests := []struct{ text, want string }{
		{"no.such = a", "filter_check called with nonexistent field no.such"},
		{"n.i contains a", "filter error: 'contains' operator not supported for numeric fields such as n.i"},
		{"n.i pmatch (1)", "filter error: 'pmatch' operator not supported for numeric fields such as n.i"},
		{"n.bool < 5", "filter error: '<' operator not supported for boolean fields such as n.bool"},
		{"s.a bcontains 61", "filter error: 'bcontains' operator not supported for string fields such as s.a"},
		{"b.x glob a", "filter error: 'glob' operator not supported for byte buffer fields such as b.x"},
		{"ip.one contains 10.0.0.1", "filter error: 'contains' operator not supported for IP address fields such as ip.one"},
		{"net.ends contains anyof (10.0.0.0/8)", "filter error: 'contains' operator not supported for IP address fields such as net.ends"},
		{"list.s = a", "filter error: '=' operator not supported for list fields such as list.s"},
		{"n.i = x", "filter error: x is not a valid number"},
		{"n.u = 0x10", "filter error: 0x10 is not a valid number"},
		{"n.u = 99999999999999999999", "filter error: 99999999999999999999 is not a valid number"},
		{"n.d = 1.5", "filter error: 1.5 is not a valid number"},
		{"n.bool = True", "filter error: unrecognized boolean value True"},
		{"n.port = nosuchservice", "unrecognized protocol nosuchservice"},
		{"n.port = 70000", "filter error: 70000 is not a valid number"},
		{"ip.one = 10.0.0", "unrecognized IP address 10.0.0"},
		{"ip.one = zz::1", "unrecognized IP address zz::1"},
		{"ip.net = 10.0.0.1", "unrecognized IP network 10.0.0.1"},
		{"ip.net = 10.0.0.0/33", "unrecognized IP network 10.0.0.0/33"},
		{"b.x bcontains xyz", "filter error: bcontains and bstartswith operator support hex strings only: xyz"},
		{"s.a regex '('", "filter error: invalid regex '(': missing closing ): `(`"},
		{"evt.type = nosuchevent", "filter error: unknown event type nosuchevent"},
		{"evt.type in (open, nosuch)", "filter error: unknown event type nosuch"},
		{"s.a = val(n.u)", "filter error: s.a and n.u are of different types"},
		{"s.a = val(list.s)", "filter error: s.a and list.s are of different types"},
		{"s.a regex val(s.b)", "filter error: 'regex' of s.a cannot have a field on the right-hand side"},
		{"any.i = val(any.i)", "filter error: 'any.i' cannot be used on the right-hand side of an operator"},
		{"s.a = a and undefined_macro", "Undefined macro 'undefined_macro' used in filter."},
	}
	for _, tt := range tests {
		n, err := Parse(tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		for stage, err := range map[string]error{"resolve": Resolve(n, fakeLookup), "compile": compileError(n)} {
			if err == nil || err.Error() != tt.want {
				t.Errorf("%s %s: error %v, want %s", stage, tt.text, err, tt.want)
			}
		}
	}
}

func compileError(n Node) error {
	_, err := NewCompiler(fakeLookup).Compile(n)
	return err
}

func TestMemory(t *testing.T) {
	c := NewCompiler(fakeLookup)
	costly := "s.a contains x and s.b icontains y"
	p := mustCompile(t, c, mustParse(t, "("+costly+") and n.i = 1"))
	q := mustCompile(t, c, mustParse(t, "("+costly+") and n.i = 2"))
	ofProcess := mustCompile(t, c, mustParse(t, "p.name contains z and s.a exists"))
	if c.MemoWords() != 1 || c.ProcMemoWords() != 1 {
		t.Fatalf("%d words for events, %d for processes", c.MemoWords(), c.ProcMemoWords())
	}
	r := record{"s.a": "x", "s.b": "y", "n.i": "2", "p.name": "z"}
	ctx := contextOf(r)
	ctx.Memo, ctx.Proc.Memo = make([]uint64, 1), make([]uint64, 1)
	if p(ctx) || !q(ctx) || !ofProcess(ctx) {
		t.Fatal("wrong values")
	}
	// Remembered values are not computed again.
	r["s.a"], ctx.Proc.Comm = "other", "other"
	if !q(ctx) || !ofProcess(ctx) {
		t.Error("evaluated again")
	}
	ctx.Memo[0], ctx.Proc.Memo[0] = 0, 0
	if q(ctx) || ofProcess(ctx) {
		t.Error("remembered after the memo was cleared")
	}
	ctx.Memo, ctx.Proc.Memo = nil, nil
	if q(ctx) || ofProcess(ctx) {
		t.Error("wrong values without a memo")
	}
}

func TestMerge(t *testing.T) {
	tests := []struct{ text, want string }{
		{"s.a = x or s.a = y or s.b = z", "(s.a in (x, y) or s.b = z)"},
		{"s.a = x or s.a in (y, z)", "s.a in (x, y, z)"},
		{"s.a startswith /a or s.a startswith /b", "s.a startswith anyof (/a, /b)"},
		{"s.a contains a or s.a contains anyof (b, c)", "s.a contains anyof (a, b, c)"},
		{"s.a = x or s.a != y", "(s.a = x or s.a != y)"},
		{"s.a = x and s.a = y", "(s.a = x and s.a = y)"},
		{"any.s[1] = x or any.s[2] = x", "(any.s[1] = x or any.s[2] = x)"},
		{"list.s in (a) or list.s in (b)", "(list.s in (a) or list.s in (b))"},
		{"not (n.i = 1 or n.i = 2)", "not n.i in (1, 2)"},
		{"s.a = x or s.a = val(s.b)", "(s.a = x or s.a = val(s.b))"},
	}
	for _, tt := range tests {
		if got := NewCompiler(fakeLookup).merge(mustParse(t, tt.text)).String(); got != tt.want {
			t.Errorf("merge(%s) = %s, want %s", tt.text, got, tt.want)
		}
	}
}

func TestSets(t *testing.T) {
	for n := range 300 {
		var list []string
		for i := range n {
			list = append(list, strings.Repeat("ab", i%7)+string(rune('a'+i%26))+strings.Repeat("c", i/26))
		}
		has, prefixed := oneOfTexts(list), textMatch(nil)
		if n > 0 {
			prefixed = prefixMatcher(list)
		}
		for _, s := range list {
			for _, v := range []string{s, s + "x", strings.TrimSuffix(s, "c"), "", "zzz"} {
				if has(v) != slices.Contains(list, v) {
					t.Fatalf("%d: %q in %q = %v", n, v, list, has(v))
				}
				if want := slices.ContainsFunc(list, func(p string) bool { return strings.HasPrefix(v, p) }); prefixed(v) != want {
					t.Fatalf("%d: %q has a prefix in %q = %v", n, v, list, !want)
				}
			}
		}
	}
}

// Classes and ranges, at their edges, as fnmatch(3) has them.
func TestGlobClasses(t *testing.T) {
	for _, tt := range []struct {
		pattern, yes, no string // characters
		fold             bool
	}{
		{"[b-d]", "bcd", "aeBCD", false}, {"[b-d]", "bcdBCD", "aeAE", true}, {"[B-D]", "bcdBCD", "aeAE", true}, {"[!b-d]", "aeB", "bcd", false},
		{"[[:upper:]]", "AMZ", "@[amz", false}, {"[[:lower:]]", "amz", "`{AMZ", false}, {"[[:upper:]]", "AZaz", "@[`{", true},
		{"[[:alpha:]]", "AZaz", "@[`{0", false}, {"[[:digit:]]", "09", "/:a", false}, {"[[:alnum:]]", "AZaz09", "@[`{/:", false},
		{"[[:space:]]", " \t\n", "a", false}, {"[[:blank:]]", " \t", "\na", false}, {"[[:punct:]]", "!/:@[`{~", " aZ0\x7f", false},
		{"[[:xdigit:]]", "09afAF", "/:gG@`", false}, {"[[:cntrl:]]", "\x01\x1f\x7f", " ~", false},
		{"[[:print:]]", " ~a", "\x1f\x7f", false}, {"[[:graph:]]", "!~a", " \x7f", false}, {"[[:none:]]", "", "anone:", false},
	} {
		for text, want := range map[string]bool{tt.yes: true, tt.no: false} {
			for i := range len(text) {
				if got := glob(tt.pattern, text[i:i+1], tt.fold); got != want {
					t.Errorf("%q on %q, fold %v: %v", tt.pattern, text[i:i+1], tt.fold, got)
				}
			}
		}
	}
}
