package filter

import "github.com/peregrine-sec/peregrine/internal/sensor/field"

// A remembered value takes some 2.5 ns to read, as the cheapest check does, and
// a write the first time (BenchmarkMemo).
const (
	memoCost     = 2.5
	worthEvent   = 8.0 // cheapest condition to remember for an event
	worthProcess = 5.0 // and for a process, where it serves many events
)

// link builds the predicates of the units that have none yet, parts first.
func (c *Compiler) link() {
	for ; c.linked < len(c.order); c.linked++ {
		u := c.order[c.linked]
		if u.op != unitAtom {
			u.pred = build(u)
			u.cost = expected(u)
		}
		switch {
		case c.forgetful:
		case u.stage == field.AtExec && u.cost >= worthProcess && (u.refs > 1 || u.outside):
			u.pred, u.cost, u.remembered = rememberProcess(u.pred, c.procBits.next()), memoCost, true
		case u.stage != field.AtExec && u.cost >= worthEvent && u.refs > 1:
			u.pred, u.cost, u.remembered = remember(u.pred, c.words.next()), memoCost, true
		}
	}
}

// expected is the average cost of evaluating a conjunction or disjunction: the
// first part decides in most cases.
func expected(u *unit) float64 {
	cost, share := 1.0, 1.0
	for _, p := range cheapestFirst(flat(u)) {
		cost += p.cost * share
		share /= 2
	}
	return cost
}

// flat returns the parts of u, with those of parts of the same kind that
// nothing else uses.
func flat(u *unit) []*unit {
	var parts []*unit
	for _, p := range u.parts {
		if p.op == u.op && u.op != unitNot && p.refs == 1 && !p.remembered {
			parts = append(parts, flat(p)...)
		} else {
			parts = append(parts, p)
		}
	}
	return parts
}

func build(u *unit) Predicate {
	parts := cheapestFirst(flat(u))
	preds := make([]Predicate, len(parts))
	for i, p := range parts {
		preds[i] = p.pred
	}
	switch u.op {
	case unitNot:
		p := preds[0]
		return func(c *field.Context) bool { return !p(c) }
	case unitAnd:
		return allOf(preds)
	case unitOr:
		return anyOf(preds)
	}
	value := u.op == unitTrue
	return func(*field.Context) bool { return value }
}

func allOf(preds []Predicate) Predicate {
	switch len(preds) {
	case 2:
		p, q := preds[0], preds[1]
		return func(c *field.Context) bool { return p(c) && q(c) }
	case 3:
		p, q, r := preds[0], preds[1], preds[2]
		return func(c *field.Context) bool { return p(c) && q(c) && r(c) }
	}
	return func(c *field.Context) bool {
		for _, p := range preds {
			if !p(c) {
				return false
			}
		}
		return true
	}
}

func anyOf(preds []Predicate) Predicate {
	switch len(preds) {
	case 2:
		p, q := preds[0], preds[1]
		return func(c *field.Context) bool { return p(c) || q(c) }
	case 3:
		p, q, r := preds[0], preds[1], preds[2]
		return func(c *field.Context) bool { return p(c) || q(c) || r(c) }
	}
	return func(c *field.Context) bool {
		for _, p := range preds {
			if p(c) {
				return true
			}
		}
		return false
	}
}

// bitCounter hands out pairs of bits: known, and value.
type bitCounter struct{ n int }

func (b *bitCounter) next() int  { b.n++; return b.n - 1 }
func (b *bitCounter) words() int { return (b.n + 31) / 32 }

// remember evaluates p once for each event.
func remember(p Predicate, slot int) Predicate {
	word, known := slot/32, uint64(1)<<(slot%32*2)
	value := known << 1
	return func(c *field.Context) bool {
		if word >= len(c.Memo) {
			return p(c)
		}
		if m := c.Memo[word]; m&known != 0 {
			return m&value != 0
		}
		v := p(c)
		if v {
			c.Memo[word] |= known | value
		} else {
			c.Memo[word] |= known
		}
		return v
	}
}

// rememberProcess evaluates p once for each process, until the engine clears
// the memo because something about the process has changed.
func rememberProcess(p Predicate, slot int) Predicate {
	word, known := slot/32, uint64(1)<<(slot%32*2)
	value := known << 1
	return func(c *field.Context) bool {
		memo := c.Proc.Memo
		if word >= len(memo) {
			return p(c)
		}
		if m := memo[word]; m&known != 0 {
			return m&value != 0
		}
		v := p(c)
		if v {
			c.Proc.Memo[word] |= known | value
		} else {
			c.Proc.Memo[word] |= known
		}
		return v
	}
}
