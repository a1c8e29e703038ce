package filter

// transform looks up a transformer with its arguments.
func (c *Compiler) transform(t *Transform) (operand, error) {
	return operand{}, &Error{Pos: t.At, Msg: "filter error: transformer '" + t.Name + "' is not known"}
}
