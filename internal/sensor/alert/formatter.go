package alert

import (
	"fmt"
	"slices"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

// Rule is the part of an alert that describes its rule.
type Rule struct {
	Name     string
	Priority Priority
	Source   string
	Tags     []string
}

// Formatter makes the alerts of one rule. Everything known at load is prepared
// then: a match only reads the values, each once, and copies. It belongs to one
// goroutine.
type Formatter struct {
	rule     Rule
	opts     Options
	tags     []string // sorted
	time     reader   // as text shows it
	head     string   // ": Warning "
	template *Template
	formats  []*Template // of extra fields that are texts
	fields   []outputField
	prefix   string // of JSON objects, up to the first thing that changes
	suffix   string // after output_fields, up to the time
	scratch  *Scratch
}

// outputField is an entry of output_fields.
type outputField struct {
	name   string
	key    string // as JSON, with colon
	source fieldSource
	index  int // of the template's values or of formats
}

type fieldSource uint8

const (
	fromValue fieldSource = iota
	fromFormat
	fromClock // ns since the epoch
)

// New returns the formatter of a rule with the given output. The additions of
// opts.Append are checked here too.
func New(rule Rule, output string, opts Options) (*Formatter, error) {
	output, extra := opts.Extend(rule, output)
	fields := field.Of(rule.Source)
	if fields == nil {
		fields = field.Syscall
	}
	f := &Formatter{
		rule: rule, opts: opts, head: ": " + rule.Priority.String() + " ",
		tags: slices.Sorted(slices.Values(rule.Tags)), scratch: opts.Scratch,
	}
	f.tags = slices.Compact(f.tags)
	if f.scratch == nil {
		f.scratch = new(Scratch)
	}
	var err error
	if f.template, err = compile(output, fields, f.scratch); err != nil {
		return nil, err
	}
	if err := f.addFields(extra, fields); err != nil {
		return nil, err
	}
	f.prefix, f.suffix = f.frame()
	return f, nil
}

// Metadata says whether the alerts show container metadata, which may arrive
// later than the event.
func (f *Formatter) Metadata() bool {
	return slices.ContainsFunc(append(slices.Clone(f.formats), f.template), (*Template).metadata)
}

// Shows says whether the alerts show a field whose text contains name.
func (f *Formatter) Shows(name string) bool {
	return slices.ContainsFunc(append(slices.Clone(f.formats), f.template), func(t *Template) bool {
		return slices.ContainsFunc(t.values, func(v *templateValue) bool { return strings.Contains(v.text, name) })
	})
}

// addFields sets the fields of output_fields.
func (f *Formatter) addFields(extra []ExtraField, fields *field.Catalogue) error {
	clock := "evt.time"
	if f.opts.ISO8601 {
		clock = "evt.time.iso8601"
	}
	o, err := fields.ParseOperand(clock)
	if err != nil {
		return err
	}
	f.time = f.scratch.value(o, fields).read
	f.fields = make([]outputField, 0, 1+len(f.template.values)+len(extra))
	f.add(clock, fromClock, 0)
	for i, v := range f.template.values {
		f.addValue(v, i)
	}
	for _, x := range extra {
		if x.Format != "" {
			t, err := compile(x.Format, fields, f.scratch)
			if err != nil {
				return fmt.Errorf("extra field %s: %w", x.Name, err)
			}
			f.formats = append(f.formats, t)
			f.add(x.Name, fromFormat, len(f.formats)-1)
			continue
		}
		o, err := fields.ParseOperand(strings.TrimPrefix(x.Name, "%"))
		if err != nil {
			return fmt.Errorf("extra field %s: %w", x.Name, err)
		}
		if o.Text != strings.TrimPrefix(x.Name, "%") || o.Field == nil {
			return fmt.Errorf("extra field %s: expected the name of one field; use {NAME: FORMAT} for a text", x.Name)
		}
		v := f.scratch.value(o, fields)
		f.addValue(v, f.template.value(v))
	}
	slices.SortFunc(f.fields, func(a, b outputField) int { return strings.Compare(a.name, b.name) })
	return nil
}

// addValue adds a field; transformed ones are not shown.
func (f *Formatter) addValue(v *templateValue, index int) {
	switch {
	case v.field == nil:
	case v.field.Flags&field.EpochJSON != 0:
		f.add(v.text, fromClock, 0)
	default:
		f.add(v.text, fromValue, index)
	}
}

func (f *Formatter) add(name string, source fieldSource, index int) {
	for _, have := range f.fields {
		if have.name == name {
			return
		}
	}
	f.fields = append(f.fields, outputField{name, f.scratch.key(name), source, index})
}

// Format makes the alert for the event of c. The alert owns all it carries.
func (f *Formatter) Format(c *field.Context) *Alert {
	s := f.scratch
	s.text = s.text[:0]
	f.read(c, s)
	from := len(s.text)
	s.text = appendSafe(s.text, f.time(c).Str)
	s.text = append(s.text, f.head...)
	message := len(s.text)
	for i := range f.template.segments {
		seg := &f.template.segments[i]
		s.text = append(s.text, seg.text...)
		if seg.value < 0 {
			continue
		}
		v := s.values[seg.value]
		if v.Kind == String {
			v.Str = view(s.text[s.spans[seg.value].from:s.spans[seg.value].to])
		}
		s.text = seg.append(s.text, v)
	}
	var a *Alert
	var text string
	if f.opts.LineOnly {
		a, text = blank(), view(s.text)
	} else {
		a, text = new(Alert), string(s.text)
	}
	a.Time, a.Hostname, a.Tags = int64(c.Time), f.opts.Hostname, f.tags
	a.Rule, a.Priority, a.Source = f.rule.Name, f.rule.Priority, f.rule.Source
	a.Output, a.Message, a.Fields = text[from:], text[message:], f.outputFields(s, text, c)
	f.write(a, s)
	if f.opts.LineOnly { // they were borrowed
		a.Output, a.Message, a.Fields = "", "", nil
	}
	return a
}

// outputFields are the fields with their values, whose texts are parts of text.
// With LineOnly they belong to s.
func (f *Formatter) outputFields(s *Scratch, text string, c *field.Context) []Field {
	fields := s.fields[:0]
	if !f.opts.LineOnly {
		fields = make([]Field, 0, len(f.fields))
	}
	for _, x := range f.fields {
		fields = append(fields, Field{x.name, f.fieldValue(x, s, text, c)})
	}
	if f.opts.LineOnly {
		s.fields = fields
	}
	return fields
}

// read reads all values into s.values, and puts the text of strings into
// s.text, made safe.
func (f *Formatter) read(c *field.Context, s *Scratch) {
	s.values, s.spans, s.extra = s.values[:0], s.spans[:0], s.extra[:0]
	for i := range f.template.values {
		v := f.template.values[i].read(c)
		from := len(s.text)
		if v.Kind == String {
			s.text = appendSafe(s.text, v.Str)
			v.Str = ""
		}
		s.values = append(s.values, v)
		s.spans = append(s.spans, span{from, len(s.text)})
	}
	for _, t := range f.formats {
		from := len(s.text)
		s.text = t.Append(s.text, c)
		s.extra = append(s.extra, span{from, len(s.text)})
	}
}

func (f *Formatter) fieldValue(x outputField, s *Scratch, owned string, c *field.Context) Value {
	switch x.source {
	case fromClock:
		return Value{Kind: Int, Int: int64(c.Time)}
	case fromFormat:
		at := s.extra[x.index]
		return Value{Kind: String, Str: owned[at.from:at.to]}
	}
	v := s.values[x.index]
	if v.Kind == String {
		at := s.spans[x.index]
		v.Str = owned[at.from:at.to]
	}
	return v
}
