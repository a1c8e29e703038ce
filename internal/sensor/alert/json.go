package alert

import (
	"strings"
	"unsafe"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

// frame is the text of the JSON object that is the same for every alert of the
// rule: before the message, and between output_fields and the time.
func (f *Formatter) frame() (prefix, suffix string) {
	prefix = `{"hostname":` + quoted(f.opts.Hostname)
	var b strings.Builder
	b.WriteString(`,"priority":` + quoted(f.rule.Priority.String()))
	b.WriteString(`,"rule":` + quoted(f.rule.Name))
	b.WriteString(`,"source":` + quoted(f.rule.Source))
	if f.opts.JSONTags {
		b.WriteString(`,"tags":[`)
		for i, tag := range f.tags {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(quoted(tag))
		}
		b.WriteByte(']')
	}
	b.WriteString(`,"time":"`)
	return prefix, b.String()
}

// write sets a.Line: the text, or the JSON object with its keys in order.
func (f *Formatter) write(a *Alert, s *Scratch) {
	switch {
	case !f.opts.JSON && f.opts.LineOnly:
		a.Line = append(a.Line, a.Output...)
		return
	case !f.opts.JSON:
		// An alert's bytes never change, so the line can share the text.
		a.Line = unsafe.Slice(unsafe.StringData(a.Output), len(a.Output))
		return
	}
	b := append(s.json[:0], f.prefix...)
	if f.opts.JSONMessage {
		b = appendQuoted(append(b, `,"message":`...), a.Message)
	}
	if f.opts.JSONOutput {
		b = appendQuoted(append(b, `,"output":`...), a.Output)
	}
	if f.opts.JSONFields {
		b = append(b, `,"output_fields":{`...)
		for i := range a.Fields {
			if i > 0 {
				b = append(b, ',')
			}
			b = a.Fields[i].Value.appendJSON(append(b, f.fields[i].key...))
		}
		b = append(b, '}')
	}
	b = append(b, f.suffix...)
	b = append(field.AppendUTC(b, uint64(a.Time)), `Z"}`...)
	s.json = b
	a.Line = append(a.Line, b...)
}
