package filter

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestTrace(t *testing.T) {
	n := mustParse(t, "s.a = x and not (n.i > 5 or any.s = z) and (p.name in (a, b) or s.b exists)")
	ctx := contextOf(record{"s.a": "x", "n.i": "7", "any.s": "y,w", "p.name": "a"})
	steps, err := Trace(n, fakeLookup, ctx)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, s := range steps {
		mark := " "
		if s.Decisive {
			mark = "*"
		}
		got := s.Got
		if s.Missing {
			got = "missing"
		}
		lines = append(lines, fmt.Sprintf("%s %-5v %s%s [%v] %s", mark, s.Value, strings.Repeat("  ", s.Depth), s.Text, s.Stage, got))
	}
	want := []string{
		"* false and [event] ",
		`  true    s.a = x [event] "x"`,
		"* false   not [event] ",
		"* true      or [event] ",
		"* true        n.i > 5 [event] 7",
		`  false       any.s = z [event] "y", "w"`,
		"  true    or [event] ",
		`  true      p.name in (a, b) [exec] "a"`,
		"  false     s.b exists [event] missing",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
}

// TestTraceIsNaive: the values of all parts are those of the naive evaluator,
// and the decisive ones alone fix the value of the whole.
func TestTraceIsNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, r := drawNode(t, 3), drawRecord(t)
		steps, err := Trace(n, fakeLookup, contextOf(r))
		if err != nil {
			t.Fatal(err)
		}
		i := 0
		for _, s := range steps {
			if want := naive(s.Node, r); s.Value != want {
				t.Fatalf("%s on %q = %v", s.Node, r, s.Value)
			}
		}
		// With every check that did not decide turned around, the value of
		// the whole stays.
		turned := rewriteInOrder(n, func(c *Check) Node {
			for steps[i].Node != Node(c) {
				i++
			}
			s := steps[i]
			i++
			return &Const{Value: s.Value == s.Decisive}
		})
		if naive(turned, r) != steps[0].Value {
			t.Fatalf("%s on %q: %v is decided by other parts than %s", n, r, steps[0].Value, turned)
		}
	})
}

// rewriteInOrder replaces checks without simplifying anything.
func rewriteInOrder(n Node, f func(*Check) Node) Node {
	list := func(nodes []Node) []Node {
		out := make([]Node, len(nodes))
		for i, m := range nodes {
			out[i] = rewriteInOrder(m, f)
		}
		return out
	}
	switch n := n.(type) {
	case *And:
		return &And{Nodes: list(n.Nodes)}
	case *Or:
		return &Or{Nodes: list(n.Nodes)}
	case *Not:
		return &Not{Node: rewriteInOrder(n.Node, f)}
	case *Check:
		return f(n)
	}
	return n
}

func TestTransformers(t *testing.T) {
	ctx := contextOf(record{"s.a": "/Usr/Bin/Cat", "s.b": "cat", "list.s": "-a,-b,x", "b.x": "Y2F0"})
	for text, want := range map[string]bool{
		"tolower(s.a) = /usr/bin/cat":               true,
		"toupper(s.b) = CAT":                        true,
		"basename(tolower(s.a)) = val(s.b)":         true,
		"s.b = basename(tolower(s.a))":              true,
		"s.b in (cat) and len(s.b) = 3":             true,
		"len(list.s) >= 3":                          true,
		"b64(b.x) = cat":                            true,
		`concat(s.b, "-", s.b) = cat-cat`:           true,
		`join(",", (s.b, s.b)) = "cat,cat"`:         true,
		`join(" ", list.s) = "-a -b x"`:             true,
		`getopt(list.s, "ab:")[b] = x`:              true,
		"tolower(evt.arg.none) = x":                 false,
		"not tolower(evt.arg.none) exists":          true,
		"basename(s.a) startswith anyof (Cat, Dog)": true,
	} {
		p := mustCompile(t, NewCompiler(fakeLookup), mustParse(t, text))
		if got := p(ctx); got != want {
			t.Errorf("%s = %v", text, got)
		}
		ctx.Reset()
		p(ctx)
		if n := testing.AllocsPerRun(20, func() { ctx.Reset(); p(ctx) }); n > 0 {
			t.Errorf("%s allocates %v times", text, n)
		}
	}
	for text, want := range map[string]string{
		"tolower(n.i) = x":                   "filter error: transformer tolower applies to texts",
		"concat(s.a) = x":                    "filter error: transformer concat takes two or more texts, and no lists",
		"tolower(no.such) = x":               "filter_check called with nonexistent field no.such",
		"tolower(any.i) = x":                 "filter error: transformer tolower applies to texts",
		"s.a = tolower(n.i)":                 "filter error: transformer tolower applies to texts",
		"join(n.i, list.s) = x":              "filter error: transformer join takes a separator and a list",
		"tolower(s.a)[x] = y":                "filter error: transformer tolower takes no argument in brackets",
		`join(",", (s.a, n.d)) startswith a`: "filter error: item 2 of the list is neither a text nor a number",
	} {
		n, err := Parse(text)
		if err == nil {
			err = Resolve(n, fakeLookup)
		}
		if err == nil || err.Error() != want {
			t.Errorf("%s: error %v, want %s", text, err, want)
		}
	}
}
