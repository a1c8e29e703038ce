package filter

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

// Predicate is a compiled condition. It allocates nothing.
type Predicate func(*field.Context) bool

// Compiler compiles conditions. A sub-condition that occurs in several of
// them is compiled once, and remembered once it has been evaluated: for the
// event, or, if it depends on the process alone, for the process.
type Compiler struct {
	lookup   Lookup
	units    map[string]*unit
	order    []*unit // in the order in which they were made, parts first
	linked   int     // how many of order are linked
	words    bitCounter
	procBits bitCounter
	hosts    *Hosts
	// forgetful conditions keep no values: those that are rarely evaluated are
	// not worth the memory, and must not count as uses of the checks they share.
	forgetful bool
}

// unit is a distinct sub-condition.
type unit struct {
	id    int
	op    unitOp
	parts []*unit
	cost  float64
	stage field.Stage
	refs  int
	// outside says that something refers to the unit that does not depend on
	// the process alone.
	outside    bool
	whole      bool      // it is a condition that was given to Compile
	remembered bool      // pred keeps its value
	pred       Predicate // an atom's own; for others made by link
}

type unitOp uint8

const (
	unitAtom unitOp = iota
	unitAnd
	unitOr
	unitNot
	unitFalse
	unitTrue
)

// NewCompiler returns a Compiler that finds fields with lookup.
func NewCompiler(lookup Lookup) *Compiler {
	return &Compiler{lookup: lookup, units: map[string]*unit{}, hosts: newHosts()}
}

// Hosts returns the host names in the compiled conditions.
func (c *Compiler) Hosts() *Hosts { return c.hosts }

// Forgetful returns a Compiler beside c, with the same names of hosts, whose
// conditions remember nothing.
func (c *Compiler) Forgetful() *Compiler {
	return &Compiler{lookup: c.lookup, units: map[string]*unit{}, hosts: c.hosts, forgetful: true}
}

// Compile checks and compiles a condition. The error is an *Error.
//
// All conditions should be compiled before the first is evaluated: only then
// is it known which of their parts they share.
func (c *Compiler) Compile(n Node) (Predicate, error) {
	u, err := c.intern(c.merge(simplify(n)))
	if err != nil {
		return nil, err
	}
	// The same condition for several kinds of events is evaluated once for an
	// event: that is one use.
	if !u.whole {
		u.whole = true
		c.refer(u, u.stage != field.AtExec)
	}
	return func(ctx *field.Context) bool {
		if u.id >= c.linked {
			c.link()
		}
		return u.pred(ctx)
	}, nil
}

// MemoWords is the length that Context.Memo must have.
func (c *Compiler) MemoWords() int { c.link(); return c.words.words() }

// ProcMemoWords is the length that Process.Memo must have.
func (c *Compiler) ProcMemoWords() int { c.link(); return c.procBits.words() }

// intern returns the unit of n, which is the same for equal conditions.
func (c *Compiler) intern(n Node) (*unit, error) {
	switch n := n.(type) {
	case *And:
		return c.internList(unitAnd, n.Nodes)
	case *Or:
		return c.internList(unitOr, n.Nodes)
	case *Not:
		part, err := c.intern(n.Node)
		if err != nil {
			return nil, err
		}
		return c.composite(unitNot, []*unit{part}), nil
	case *Const:
		if n.Value {
			return c.composite(unitTrue, nil), nil
		}
		return c.composite(unitFalse, nil), nil
	case *Check:
		return c.internCheck(n)
	}
	m := n.(*Macro)
	return nil, &Error{Pos: m.At, Msg: "Undefined macro '" + m.Name + "' used in filter."}
}

func (c *Compiler) internCheck(n *Check) (*unit, error) {
	key := n.key()
	if u := c.units[key]; u != nil {
		return u, nil
	}
	a, err := c.atom(n)
	if err != nil {
		return nil, err
	}
	return c.add(key, &unit{op: unitAtom, cost: a.cost, stage: a.stage, pred: a.pred}), nil
}

// internList interns a conjunction or disjunction. Parts that depend on the
// process alone become one part, so that they are remembered as one.
func (c *Compiler) internList(op unitOp, nodes []Node) (*unit, error) {
	var ofProcess, others []*unit
	for _, n := range nodes {
		part, err := c.intern(n)
		if err != nil {
			return nil, err
		}
		list := &others
		if part.stage == field.AtExec {
			list = &ofProcess
		}
		if !slices.Contains(*list, part) {
			*list = append(*list, part)
		}
	}
	if len(others) > 0 && len(ofProcess) > 1 {
		ofProcess = []*unit{c.composite(op, ofProcess)}
	}
	return c.composite(op, append(others, ofProcess...)), nil
}

// composite returns the unit with the given parts, whose order means nothing.
func (c *Compiler) composite(op unitOp, parts []*unit) *unit {
	if len(parts) == 1 && op != unitNot {
		return parts[0]
	}
	byID := slices.Clone(parts)
	slices.SortFunc(byID, func(a, b *unit) int { return a.id - b.id })
	var key strings.Builder
	key.WriteByte("xAON01"[op])
	for _, p := range byID {
		key.WriteByte(' ')
		key.WriteString(strconv.Itoa(p.id))
	}
	if u := c.units[key.String()]; u != nil {
		return u
	}
	u := &unit{op: op, parts: parts, stage: stageOf(parts)}
	for _, p := range parts {
		u.cost += p.cost
		c.refer(p, u.stage != field.AtExec)
	}
	return c.add(key.String(), u)
}

func (c *Compiler) add(key string, u *unit) *unit {
	u.id = len(c.order)
	c.units[key] = u
	c.order = append(c.order, u)
	return u
}

func (c *Compiler) refer(u *unit, outside bool) {
	u.refs++
	u.outside = u.outside || outside
}

func stageOf(parts []*unit) field.Stage {
	if len(parts) == 0 {
		return field.AtLoad
	}
	for _, p := range parts {
		if p.stage != field.AtExec {
			return field.AtEvent
		}
	}
	return field.AtExec
}

// cheapestFirst orders parts for evaluation: they have no side effects, and a
// missing value makes a check false wherever it stands.
func cheapestFirst(parts []*unit) []*unit {
	parts = slices.Clone(parts)
	slices.SortStableFunc(parts, func(a, b *unit) int { return cmp.Compare(a.cost, b.cost) })
	return parts
}
