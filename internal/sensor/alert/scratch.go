package alert

import "github.com/peregrine-sec/peregrine/internal/sensor/field"

// Scratch is what formatters of one goroutine share: memory for alerts under
// construction, and the operands of their templates, since rules show the same
// few dozen hundreds of times.
type Scratch struct {
	text   []byte
	json   []byte
	values []Value
	fields []Field
	spans  []span
	extra  []span

	operands map[operandKey]*templateValue
	keys     map[string]string
}

// span is a part of Scratch.text.
type span struct{ from, to int }

type operandKey struct {
	fields *field.Catalogue
	text   string
}

// templateValue is what templates need of an operand.
type templateValue struct {
	text     string
	field    *field.Field // nil for a transformer
	metadata bool
	read     reader
}

// value returns the value of an operand: the same for the same text.
func (s *Scratch) value(o field.Operand, fields *field.Catalogue) *templateValue {
	key := operandKey{fields, o.Text}
	if v := s.operands[key]; v != nil {
		return v
	}
	if s.operands == nil {
		s.operands = map[operandKey]*templateValue{}
	}
	v := &templateValue{text: o.Text, field: o.Field, metadata: o.Metadata, read: readerOf(o)}
	s.operands[key] = v
	return v
}

// key returns a name as JSON, with a colon.
func (s *Scratch) key(name string) string {
	key, ok := s.keys[name]
	if ok {
		return key
	}
	if s.keys == nil {
		s.keys = map[string]string{}
	}
	key = quoted(name) + ":"
	s.keys[name] = key
	return key
}
