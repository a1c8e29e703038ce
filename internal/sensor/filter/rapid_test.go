package filter

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

// Values are drawn from few, so that comparisons are often true.
var (
	drawnTexts = []string{"", "a", "b", "ab", "ba", "abc", "A", "aB", "/a", "/a/b", "/a/b/", "//a", "/b", "a*", "[ab]", "caf\xc3\xa9", "open", "openat", "creat"}
	drawnGlobs = []string{"", "*", "a*", "*b", "?", "??", "[ab]*", "[!a]b", "*a*b*", "/a/*", "\\*", "a\\*", "[", "[a", "*/b"}
	drawnRegex = []string{"a", "a|b", "a*", "(a|b)+", "^a$", ".*b", "[[:alpha:]]+", "ab?c?", "/a(/.*)?"}
	drawnInts  = []string{"0", "1", "2", "7", "22", "80"}
	drawnAddrs = []string{"10.0.0.1", "10.0.0.2", "192.168.1.1", "::1", "fe80::1"}
	drawnNets  = []string{"10.0.0.0/8", "10.0.0.1/32", "192.168.0.0/16", "::/0", "fe80::/10"}
	evtNames   = []string{"open", "openat", "creat", "execve", "close", "mount"}
)

// drawRecord draws the values of all fields; each may be missing.
func drawRecord(t *rapid.T) record {
	r := record{}
	for _, name := range slices.Sorted(maps.Keys(fakes)) {
		f := fakes[name]
		if !rapid.Bool().Draw(t, "has "+name) {
			continue
		}
		n := 1
		if f.match != field.One {
			n = rapid.IntRange(1, 3).Draw(t, "values")
		}
		var values []string
		for range n {
			values = append(values, drawValue(t, name, f, Eq, true))
		}
		r[name] = strings.Join(values, ",")
	}
	if v := r["p.name"]; v == "" {
		delete(r, "p.name")
	}
	if v := r["p.exe"]; v == "" {
		delete(r, "p.exe")
	}
	return r
}

func drawValue(t *rapid.T, name string, f fakeField, op Op, left bool) string {
	from := drawnInts
	switch f.typ {
	case field.String, field.Bytes:
		from = drawnTexts
		switch {
		case name == "evt.type" || name == "syscall.type":
			from = evtNames
		case op == Glob || op == IGlob:
			from = drawnGlobs
		case op == Regex:
			from = drawnRegex
		case op == BContains || op == BStartsWith:
			from = []string{"", "61", "6162", "2f"}
		case op == Less || op == LessEq || op == Greater || op == GreaterEq:
			from = drawnInts
		}
	case field.IPAddr:
		from = drawnAddrs
	case field.IPNet:
		from = drawnNets
		if left {
			from = drawnAddrs
		}
	case field.Bool:
		from = []string{"true", "false"}
		if left {
			from = []string{"0", "1"}
		}
	}
	return rapid.SampledFrom(from).Draw(t, "value")
}

// drawNode draws a condition.
func drawNode(t *rapid.T, depth int) Node {
	kind := rapid.IntRange(0, 5).Draw(t, "node")
	if depth == 0 || kind > 3 {
		return drawCheck(t)
	}
	if kind == 0 {
		return &Not{Node: drawNode(t, depth-1)}
	}
	var nodes []Node
	for range rapid.IntRange(2, 4).Draw(t, "parts") {
		nodes = append(nodes, drawNode(t, depth-1))
	}
	if kind == 1 {
		return &And{Nodes: nodes}
	}
	return &Or{Nodes: nodes}
}

var fakeNames = []string{
	"any.i", "any.s", "b.x", "evt.type", "ip.ends", "ip.net", "ip.one", "list.s", "n.bool", "n.d", "n.i", "n.near", "n.port", "n.t",
	"n.u", "net.ends", "p.exe", "p.name", "port.ends", "s.a", "s.b", "syscall.type",
}

// rivals are the fields that may stand on the right of others.
var rivals = map[string]string{"s.a": "s.b", "n.u": "n.u2", "ip.one": "ip.two", "list.s": "list.t", "any.s": "s.a"}

func drawCheck(t *rapid.T) Node {
	name := rapid.SampledFrom(fakeNames).Draw(t, "field")
	f := fakes[name]
	c := &Check{Left: &Field{Name: name, Stage: f.stage}}
	ops := []Op{Eq, EqEq, NotEq, Less, LessEq, Greater, GreaterEq, In, Intersects, Exists}
	switch {
	case f.match == field.List:
		ops = []Op{In, Intersects, Exists}
	case f.typ == field.String:
		ops = append([]Op{Exists}, stringOps...)
	case f.typ == field.Bytes:
		ops = append([]Op{Exists}, bytesOps...)
	case f.typ == field.Bool, f.typ == field.IPAddr, f.typ == field.IPNet:
		ops = append([]Op{Exists}, anyOps...)
	}
	if f.flags&field.Within != 0 {
		ops = []Op{Eq, EqEq}
	}
	if f.isEventName(name) {
		ops = []Op{Exists, Eq, EqEq, NotEq, In, Contains, StartsWith}
	}
	c.Op = rapid.SampledFrom(ops).Draw(t, "op")
	if c.Op == Exists {
		return c
	}
	n := 1
	switch {
	case c.Op.TakesList():
		n, c.List = rapid.IntRange(0, 5).Draw(t, "values"), true
	case f.flags&field.Within == 0 && c.Op != Less && c.Op != LessEq && c.Op != Greater && c.Op != GreaterEq && rapid.IntRange(0, 4).Draw(t, "modified") == 0:
		c.Modifier = rapid.SampledFrom([]Modifier{OneOf, AnyOf, AllOf}).Draw(t, "modifier")
		n, c.List = rapid.IntRange(0, 3).Draw(t, "values"), true
	case rivals[name] != "" && c.Op != Regex && c.Op != PMatch && rapid.IntRange(0, 3).Draw(t, "field right") == 0:
		c.Right = &Transform{Name: "val", Args: []Operand{&Field{Name: rivals[name], Stage: fakes[rivals[name]].stage}}}
		return c
	}
	if rivals[name] != "" && f.match == field.List && rapid.IntRange(0, 3).Draw(t, "list right") == 0 {
		c.Values, c.List = nil, false
		c.Right = &Transform{Name: "val", Args: []Operand{&Field{Name: rivals[name], Stage: field.AtEvent}}}
		return c
	}
	for range n {
		c.Values = append(c.Values, Value{Text: drawValue(t, name, f, c.Op, false)})
	}
	return c
}

func (f fakeField) isEventName(name string) bool { return name == "evt.type" || name == "syscall.type" }

// TestCompiledIsNaive compiles a few conditions together and evaluates each,
// twice, on a few records: the second time from memory.
func TestCompiledIsNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := NewCompiler(fakeLookup)
		var nodes []Node
		var preds []Predicate
		for range rapid.IntRange(1, 4).Draw(t, "conditions") {
			n := drawNode(t, 3)
			p, err := c.Compile(n)
			if err != nil {
				t.Fatalf("compile %s: %v", n, err)
			}
			nodes, preds = append(nodes, n), append(preds, p)
		}
		for range 3 {
			r := drawRecord(t)
			ctx := contextOf(r)
			ctx.Memo = make([]uint64, c.MemoWords())
			ctx.Proc.Memo = make([]uint64, c.ProcMemoWords())
			for pass := range 2 {
				for i, p := range preds {
					if got, want := p(ctx), naive(nodes[i], r); got != want {
						t.Fatalf("pass %d: %s on %q = %v, want %v", pass, nodes[i], r, got, want)
					}
				}
			}
		}
	})
}

// TestPrintedParsesBack prints drawn conditions and parses them again.
func TestPrintedParsesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := drawNode(t, 3)
		text := n.String()
		if strings.Contains(text, "not not") {
			return // the parser folds them
		}
		m, err := Parse(text)
		if err != nil {
			t.Fatalf("parse %s: %v", text, err)
		}
		if m.String() != text {
			t.Fatalf("%s\nparsed and printed: %s", text, m)
		}
	})
}

// TestProjectionIsSound: the projection is true wherever the condition is.
func TestProjectionIsSound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, r := drawNode(t, 4), drawRecord(t)
		if !naive(n, r) {
			return
		}
		for _, stage := range []field.Stage{field.AtLoad, field.AtExec, field.AtEvent} {
			if p := Project(n, stage); !naive(p, r) {
				t.Fatalf("stage %d: %s is true of %q, its projection %s is not", stage, n, r, p)
			}
		}
	})
}

// TestSimplifyKeepsMeaning: folding constants changes no value.
func TestSimplifyKeepsMeaning(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, r := drawNode(t, 4), drawRecord(t)
		constant := rewrite(n, func(c *Check, _ bool) Node {
			if rapid.IntRange(0, 3).Draw(t, "fold") > 0 {
				return c
			}
			return &Const{Value: naive(c, r)}
		})
		if naive(n, r) != naive(constant, r) {
			t.Fatalf("%s and %s differ on %q", n, constant, r)
		}
	})
}

// TestKindsAreSound: for an event of any kind, the specialised condition has
// the value of the whole one, a true condition is in its Kinds, and widening
// loses no match.
func TestKindsAreSound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, r := drawNode(t, 4), drawRecord(t)
		name := rapid.SampledFrom(append([]string{"swapon", "procexit"}, evtNames...)).Draw(t, "event")
		k, ok := event.KindByName(name)
		var id event.ID
		if !ok {
			k = event.KindSyscall
			id, _ = event.SyscallByName(name)
		}
		r["evt.type"], r["evt.dir"] = name, "<"
		delete(r, "syscall.type")
		if k.Info().Origin == event.Syscall {
			r["syscall.type"] = name
		}
		want := naive(n, r)
		if got := Specialise(n, k, id); naive(got, r) != want {
			t.Fatalf("%s, for %s %s, is %v on %q", n, name, got, !want, r)
		}
		if !want {
			return
		}
		if kinds, ids, _ := Kinds(n); !kinds.Has(k) || k == event.KindSyscall && !ids.Has(id) {
			t.Fatalf("%s is true of %s %q, but not about it", n, name, r)
		}
		if !naive(Widen(n), r) {
			t.Fatalf("%s is true of %q, but not widened: %s", n, r, Widen(n))
		}
	})
}
