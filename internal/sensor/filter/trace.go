package filter

import (
	"context"
	"net/netip"
	"strconv"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

// Line is a part of a condition, for people to read: one check, or the "and",
// "or" or "not" above others.
type Line struct {
	Node  Node
	Depth int
	Text  string
	// Stage is when the value of the part is known, the latest of its fields.
	Stage field.Stage
}

// Outline lists the parts of a condition, each before its own parts. Checks of
// the event that the kernel evaluates are in kernel.
func Outline(n Node, kernel map[*Check]bool) []Line {
	var lines []Line
	outline(n, 0, kernel, &lines)
	return lines
}

func outline(n Node, depth int, kernel map[*Check]bool, lines *[]Line) field.Stage {
	i := len(*lines)
	*lines = append(*lines, Line{Node: n, Depth: depth})
	stage := field.AtLoad
	inner := func(m Node) { stage = max(stage, outline(m, depth+1, kernel, lines)) }
	text := n.String()
	switch n := n.(type) {
	case *And:
		text = "and"
		for _, m := range n.Nodes {
			inner(m)
		}
	case *Or:
		text = "or"
		for _, m := range n.Nodes {
			inner(m)
		}
	case *Not:
		text = "not"
		inner(n.Node)
	case *Check:
		n.fields(func(f *Field) { stage = max(stage, f.Stage) })
		if stage == field.AtEvent && kernel[n] {
			stage = field.AtKernel
		}
	}
	(*lines)[i].Text, (*lines)[i].Stage = text, stage
	return stage
}

// Step is a part of a condition with its value for one event.
type Step struct {
	Line
	Value bool
	// Got is the value of the operand on the left of a check; Missing says
	// that it has none.
	Got     string
	Missing bool
	// Decisive parts are why the condition has its value: of a false "and"
	// those that are false, of a true one all, and so on.
	Decisive bool
}

// Trace evaluates every part of a condition, also those that evaluation would
// skip, and tells which decided. It allocates: for explanations only.
func Trace(n Node, lookup Lookup, c *field.Context) ([]Step, error) {
	t := tracer{c: NewCompiler(lookup), ctx: *c, lines: Outline(n, nil)}
	t.ctx.Memo = nil // values as they are now
	t.steps = make([]Step, len(t.lines))
	if _, err := t.value(n); err != nil {
		return nil, err
	}
	t.next = 0
	t.blame(n, true)
	return t.steps, nil
}

type tracer struct {
	c     *Compiler
	ctx   field.Context
	lines []Line
	steps []Step
	next  int
}

// value evaluates n, whose line is the next.
func (t *tracer) value(n Node) (bool, error) {
	i := t.next
	t.next++
	t.steps[i].Line = t.lines[i]
	var v bool
	var err error
	switch n := n.(type) {
	case *And:
		v = true
		err = t.each(n.Nodes, func(part bool) { v = v && part })
	case *Or:
		err = t.each(n.Nodes, func(part bool) { v = v || part })
	case *Not:
		err = t.each([]Node{n.Node}, func(part bool) { v = !part })
	case *Const:
		v = n.Value
	case *Check:
		v, err = t.check(n, &t.steps[i])
	}
	t.steps[i].Value = v
	return v, err
}

func (t *tracer) each(nodes []Node, f func(bool)) error {
	for _, n := range nodes {
		v, err := t.value(n)
		if err != nil {
			return err
		}
		f(v)
	}
	return nil
}

func (t *tracer) check(n *Check, s *Step) (bool, error) {
	a, err := t.c.atom(n)
	if err != nil {
		return false, err
	}
	if len(t.c.hosts.byName) > 0 {
		t.c.hosts.Lookup(context.Background()) // those not found have no addresses
	}
	left, err := t.c.operand(n.Left)
	if err != nil {
		return false, err
	}
	s.Got, s.Missing = show(left.Extractor, &t.ctx)
	return a.pred(&t.ctx), nil
}

// blame marks the parts that decided, if n did.
func (t *tracer) blame(n Node, decisive bool) {
	i := t.next
	t.next++
	t.steps[i].Decisive = decisive
	var nodes []Node
	all := true
	switch n := n.(type) {
	case *And:
		nodes, all = n.Nodes, t.steps[i].Value
	case *Or:
		nodes, all = n.Nodes, !t.steps[i].Value
	case *Not:
		nodes = []Node{n.Node}
	}
	for _, part := range nodes {
		t.blame(part, decisive && (all || t.steps[t.next].Value == t.steps[i].Value))
	}
}

// show reads the operand's value as text.
func show(ex field.Extractor, c *field.Context) (text string, missing bool) {
	var values []string
	add := func(s string, ok bool) {
		if ok {
			values = append(values, s)
		}
	}
	found := false
	switch {
	case ex.Match == field.One && ex.Str != nil:
		v, ok := ex.Str(c)
		add(strconv.Quote(v), ok)
	case ex.Match == field.One && ex.Int != nil:
		v, ok := ex.Int(c)
		add(strconv.FormatInt(v, 10), ok)
	case ex.Match == field.One && ex.Uint != nil:
		v, ok := ex.Uint(c)
		if ex.Type == field.Bool {
			add(strconv.FormatBool(v != 0), ok)
		} else {
			add(strconv.FormatUint(v, 10), ok)
		}
	case ex.Match == field.One && ex.Double != nil:
		v, ok := ex.Double(c)
		add(strconv.FormatFloat(v, 'g', -1, 64), ok)
	case ex.Match == field.One && ex.IP != nil:
		v, ok := ex.IP(c)
		add(v.String(), ok)
	case ex.Each != nil:
		found = ex.Each(c, func(v string) bool { add(strconv.Quote(v), true); return true })
	case ex.EachInt != nil:
		found = ex.EachInt(c, func(v int64) bool { add(strconv.FormatInt(v, 10), true); return true })
	case ex.EachUint != nil:
		found = ex.EachUint(c, func(v uint64) bool { add(strconv.FormatUint(v, 10), true); return true })
	case ex.EachIP != nil:
		found = ex.EachIP(c, func(v netip.Addr) bool { add(v.String(), true); return true })
	}
	return strings.Join(values, ", "), len(values) == 0 && !found
}
