package filter

import "github.com/peregrine-sec/peregrine/internal/sensor/field"

// transform makes the operand of a transformer.
func (c *Compiler) transform(t *Transform) (operand, error) {
	var args []field.Extractor
	for _, a := range t.Args {
		x, err := c.argument(a)
		if err != nil {
			return operand{}, err
		}
		args = append(args, x)
	}
	x, err := field.Transform(t.Name, args, t.Arg)
	if err != nil {
		return operand{}, &Error{Pos: t.At, Msg: "filter error: " + err.Error()}
	}
	return operand{Extractor: x, text: t.String(), at: t.At}, nil
}

// argument makes the extractor of one argument of a transformer.
func (c *Compiler) argument(o Operand) (field.Extractor, error) {
	switch o := o.(type) {
	case *Literal:
		return field.Literal(o.Text), nil
	case *Tuple:
		var items []field.Extractor
		for _, item := range o.Items {
			x, err := c.argument(item)
			if err != nil {
				return field.Extractor{}, err
			}
			items = append(items, x)
		}
		x, err := field.Tuple(items)
		if err != nil {
			return field.Extractor{}, &Error{Pos: o.At, Msg: "filter error: " + err.Error()}
		}
		return x, nil
	}
	op, err := c.operand(o)
	if err != nil {
		return field.Extractor{}, err
	}
	if op.flags&field.NoTransformer != 0 {
		return field.Extractor{}, &Error{Pos: op.at, Msg: "filter error: '" + op.text + "' does not support transformers"}
	}
	return op.Extractor, nil
}
