package rules

import (
	"errors"

	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
)

// maxChecks limits the expansion of a condition: macros that name macros can
// grow exponentially.
const maxChecks = 100_000

// Macro is a loaded macro.
type Macro struct {
	Name, Condition string
	// Node is the condition with lists and macros expanded.
	Node filter.Node
	Used bool

	def    *macroDef
	parsed filter.Node // with lists expanded, but not macros
	size   int         // checks in Node
	state  expandState
	err    error
}

type expandState uint8

const (
	notExpanded expandState = iota
	expanding
	expanded
)

// macros are the macros by name.
type macros struct {
	order  []*Macro
	byName map[string]*Macro
}

// compileMacros expands all macros. One whose error is known is never true, so
// that its users have no error of their own.
func (c *collection) compileMacros(ls *lists, known failures) (*macros, error) {
	out := &macros{byName: map[string]*Macro{}}
	for _, def := range c.macros.order {
		m := &Macro{Name: def.name, Condition: def.cond, def: def}
		m.parsed, m.err = parse(def.cond, ls, def.condAt)
		if m.err != nil {
			if !known.has(m.err) {
				return nil, m.err
			}
			m.parsed, m.err = &filter.Const{}, nil
		}
		out.order = append(out.order, m)
		out.byName[def.name] = m
	}
	for _, m := range out.order {
		if err := out.expand(m); err != nil && !known.has(err) {
			return nil, err
		}
		if m.err != nil {
			m.Node, m.err = &filter.Const{}, nil
		}
	}
	return out, nil
}

// parse parses a condition after putting the items of lists in.
func parse(cond string, ls *lists, at *place) (filter.Node, error) {
	n, err := filter.Parse(ls.substitute(cond))
	return n, conditionError(err, at, ErrCompileCondition)
}

// conditionError gives an error in a condition the place of the condition.
func conditionError(err error, at *place, code Code) error {
	var e *filter.Error
	if !errors.As(err, &e) {
		return err
	}
	return at.in(e.Pos).fail(code, "%s", e.Msg)
}

func (ms *macros) expand(m *Macro) error {
	switch m.state {
	case expanded:
		return m.err
	case expanding:
		return m.def.condAt.fail(ErrValidate, "reference loop in macro '%s'", m.Name)
	}
	m.state = expanding
	m.Node, m.size, m.err = ms.expandIn(m.parsed, m.def.visible, m.def.at)
	m.state = expanded
	return m.err
}

// expandIn returns n with macros replaced by their conditions; of these, those
// first defined before visible count. Expanded conditions are shared.
func (ms *macros) expandIn(n filter.Node, visible int, at *place) (filter.Node, int, error) {
	switch n := n.(type) {
	case *filter.And:
		nodes, size, err := ms.expandAll(n.Nodes, visible, at)
		return &filter.And{At: n.At, Nodes: nodes}, size, err
	case *filter.Or:
		nodes, size, err := ms.expandAll(n.Nodes, visible, at)
		return &filter.Or{At: n.At, Nodes: nodes}, size, err
	case *filter.Not:
		inner, size, err := ms.expandIn(n.Node, visible, at)
		return &filter.Not{At: n.At, Node: inner}, size, err
	case *filter.Macro:
		m := ms.byName[n.Name]
		if m == nil || m.def.index >= visible {
			return nil, 0, at.in(n.At).fail(ErrValidate, "Undefined macro '%s' used in filter.", n.Name)
		}
		m.Used = true
		if m.state == expanding {
			return nil, 0, at.in(n.At).fail(ErrValidate, "reference loop in macro '%s'", n.Name)
		}
		err := ms.expand(m)
		return m.Node, m.size, err
	}
	return n, 1, nil
}

func (ms *macros) expandAll(nodes []filter.Node, visible int, at *place) ([]filter.Node, int, error) {
	out, total := make([]filter.Node, len(nodes)), 0
	for i, n := range nodes {
		m, size, err := ms.expandIn(n, visible, at)
		if err != nil {
			return nil, 0, err
		}
		out[i] = m
		if total += size; total > maxChecks {
			return nil, 0, at.in(n.Pos()).fail(ErrValidate, "Condition has more than %d checks when its macros are expanded", maxChecks)
		}
	}
	return out, total, nil
}
