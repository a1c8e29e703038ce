package filter

// operand reads a field or transformer, or returns nil.
func (p *parser) operand() (Operand, error) {
	at := p.here()
	if n := fieldName(p.rest()); n > 0 {
		p.take(n)
		return p.field(at, p.last)
	}
	if name := p.function(transformers); name != "" {
		return p.transform(at, name)
	}
	return nil, nil
}

// right reads an operand on the right of an operator: a transformer, or a
// field in val(). It returns false if neither follows.
func (p *parser) right(c *Check) (bool, error) {
	at := p.here()
	if p.function([]string{"val"}) != "" {
		p.blank()
		fieldAt := p.here()
		if !p.take(fieldName(p.rest())) {
			return false, p.fail("expected a field within 'val' transformer")
		}
		f, err := p.field(fieldAt, p.last)
		if err != nil {
			return false, err
		}
		c.Right = &Transform{At: at, Name: "val", Args: []Operand{f}}
		return true, p.closing()
	}
	name := p.function(transformers)
	if name == "" {
		return false, nil
	}
	t, err := p.transform(at, name)
	c.Right = t
	return true, err
}

// function reads the name of one of the functions and its "(".
func (p *parser) function(names []string) string {
	for _, name := range names {
		if p.word(name + "(") {
			p.last = name
			return name
		}
	}
	return ""
}

func (p *parser) closing() error {
	p.blank()
	if !p.word(")") {
		return p.fail("expected a ')' token closing the transformer")
	}
	return nil
}

// field reads the argument of the field whose name has just been read.
func (p *parser) field(at Pos, name string) (Operand, error) {
	f := &Field{At: at, Name: name, Stage: unresolved}
	var err error
	f.Arg, f.HasArg, err = p.bracket()
	return f, err
}

// bracket reads an argument in brackets, if one follows.
func (p *parser) bracket() (arg string, ok bool, err error) {
	if !p.word("[") {
		return "", false, nil
	}
	if n := Quoted(p.rest()); n > 0 {
		if arg, err = unescape(p.rest()[:n]); err != nil {
			return "", false, p.fail("%s", err.Error())
		}
		p.advance(n)
	} else if p.take(fieldArg(p.rest())) {
		arg = p.last
	} else {
		return "", false, p.fail("expected a valid field argument: a quoted string or a bare string")
	}
	if !p.word("]") {
		return "", false, p.fail("expected a ']' token")
	}
	return arg, true, nil
}

// transform reads the arguments of the transformer whose "name(" has just
// been read.
func (p *parser) transform(at Pos, name string) (Operand, error) {
	leave, err := p.deeper()
	if err != nil {
		return nil, err
	}
	defer leave()
	t := &Transform{At: at, Name: name}
	for {
		p.blank()
		arg, err := p.argument(true)
		if err != nil {
			return nil, err
		}
		t.Args = append(t.Args, arg)
		p.blank()
		if !p.word(",") {
			break
		}
	}
	if err := p.closing(); err != nil {
		return nil, err
	}
	t.Arg, t.HasArg, err = p.bracket()
	return t, err
}

// argument reads one argument of a transformer; tuple says that it may be a
// list in parentheses.
func (p *parser) argument(tuple bool) (Operand, error) {
	at := p.here()
	if tuple && p.word("(") {
		return p.tuple(at)
	}
	if n := Quoted(p.rest()); n > 0 {
		v, _, err := p.str()
		return &Literal{At: at, Text: v.Text, Quoted: true}, err
	}
	op, err := p.operand()
	if op != nil || err != nil {
		return op, err
	}
	if p.take(number(p.rest())) {
		return &Literal{At: at, Text: p.last}, nil
	}
	return nil, p.fail("expected a field or a nested valid transformer: %s", quotedTransformers())
}

func (p *parser) tuple(at Pos) (Operand, error) {
	t := &Tuple{At: at}
	p.blank()
	if p.word(")") {
		return t, nil
	}
	for {
		p.blank()
		item, err := p.argument(false)
		if err != nil {
			return nil, err
		}
		t.Items = append(t.Items, item)
		p.blank()
		if p.word(")") {
			return t, nil
		}
		if !p.word(",") {
			return nil, p.fail("expected a ')' token")
		}
	}
}
