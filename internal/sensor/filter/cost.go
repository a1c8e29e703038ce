package filter

import "github.com/peregrine-sec/peregrine/internal/sensor/field"

// operatorCost is the cost of one constant, in ns, by benchmarks of this
// package; only the order of magnitude matters.
var operatorCost = map[Op]float64{
	Exists: 0, Eq: 1, EqEq: 1, NotEq: 1, Less: 1, LessEq: 1, Greater: 1, GreaterEq: 1,
	In: 0.1, Intersects: 0.1, StartsWith: 1, EndsWith: 1, BStartsWith: 1,
	Contains: 8, BContains: 8, IContains: 35, Glob: 30, IGlob: 100, Regex: 200, PMatch: 7,
}

// cost is the cost of reading the operand, in ns.
func (o *operand) cost() float64 {
	cost := 3.0
	switch o.Match {
	case field.Any, field.List:
		cost = 60 // walks ancestors, or a list
	case field.Ends:
		cost = 10
	default:
		if o.Stage == field.AtEvent && (o.Type == field.String || o.Type == field.Bytes) {
			cost = 10 // often put together: a path, an argument in words
		}
	}
	if !o.bare {
		cost += 20
	}
	return cost
}
