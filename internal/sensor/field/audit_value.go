package field

import (
	"github.com/peregrine-sec/peregrine/internal/jsontext"
	"github.com/peregrine-sec/peregrine/internal/sensor/audit/record"
)

// audited is the audit event of c; nil for other events: one without auditID may
// be any JSON.
func (c *Context) audited() *record.Record {
	if c.Record == nil || c.Record.Part(record.AuditID) == nil {
		return nil
	}
	return c.Record
}

// part is a part of the audit event; nil if it is not there.
func (c *Context) part(p record.Part) jsontext.Value {
	if r := c.audited(); r != nil {
		return r.Part(p)
	}
	return nil
}

// follow returns the value at the pointer in the audit event; nil if absent.
func (c *Context) follow(p jsontext.Pointer) jsontext.Value {
	if r := c.audited(); r != nil {
		return r.Follow(p)
	}
	return nil
}

// jsonText is a value as text: a string in place if it has no escapes, numbers
// and booleans as they are written, anything else as compact JSON. Null is a
// missing value.
func (c *Context) jsonText(v jsontext.Value) (string, bool) {
	switch v.Kind() {
	case jsontext.Missing, jsontext.Null:
		return "", false
	case jsontext.Number, jsontext.Bool:
		return text(v), true
	}
	if s, plain := v.Plain(); plain {
		return s, true
	}
	return c.keep(v.AppendText(c.buf)), true
}

// compact is a value as compact JSON.
func (c *Context) compact(v jsontext.Value) string {
	return c.keep(v.AppendCompact(c.buf))
}

// give gives a list's next value to yield.
func (c *Context) give(s string, yield func(string) bool) bool {
	c.listed++
	return yield(s)
}

// giveText gives a value as text, unless it is missing.
func (c *Context) giveText(v jsontext.Value, yield func(string) bool) bool {
	s, ok := c.jsonText(v)
	return !ok || c.give(s, yield)
}

// isText says whether a value is the string s.
func (c *Context) isText(v jsontext.Value, s string) bool {
	have, ok := c.jsonText(v)
	return ok && v.Kind() == jsontext.String && have == s
}
