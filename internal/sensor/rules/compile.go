package rules

import (
	"errors"
	"slices"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
)

// tooManyKinds is from how many kinds of events on a condition is called
// unrestricted. Falco warns from 100 codes on, of which a kind has two or
// more.
const tooManyKinds = 50

// deprecatedFields still work, with fixed values.
var deprecatedFields = []string{"evt.dir", "evt.latency", "evt.latency.s", "evt.latency.ns", "evt.latency.human", "evt.wait_latency"}

// containerInfo was replaced by fields that the sensor appends by itself.
const containerInfo = "%container.info"

// rule compiles one rule; nil if it is left out.
func (c *compiler) rule(def *ruleDef) (*Rule, error) {
	r := newRule(def)
	text, err := withExceptions(def.cond, def.exceptions)
	if err != nil {
		return nil, err
	}
	r.text = text
	if strings.Contains(r.Output, containerInfo) {
		c.warn(def.at, WarnDeprecatedItem, "%%container.info is deprecated and no more useful, and will be dropped by Falco 1.0.0. "+
			"The container plugin will automatically add required fields to the output message.")
		r.Output = strings.TrimSpace(strings.ReplaceAll(r.Output, containerInfo, ""))
	}
	if err := c.output(r.Output, def); err != nil {
		return nil, c.skip(err, def)
	}
	if err := c.condition(r, def); err != nil {
		return nil, c.skip(err, def)
	}
	if def.source == syscallSource && def.warnEventTypes && tooMany(r.Node) {
		c.warn(def.at, WarnNoEventType, "Rule matches too many evt.type values. This has a significant performance penalty.")
	}
	return r, nil
}

func tooMany(n filter.Node) bool {
	kinds, _, _ := filter.Kinds(n)
	count := 0
	for k := range event.Kind(event.NumKinds) {
		if kinds.Has(k) {
			count++
		}
	}
	return count > tooManyKinds
}

// skip turns an error about an unknown filter into a warning, if the rule
// allows it; the rule is left out then.
func (c *compiler) skip(err error, def *ruleDef) error {
	var f *failure
	if !def.skipUnknown || !errors.As(err, &f) || !isUnknown(f.Message) {
		return err
	}
	f.Code = WarnUnknownFilter
	c.res.Warnings = append(c.res.Warnings, f.Issue)
	return nil
}

func isUnknown(msg string) bool {
	return slices.ContainsFunc([]string{"nonexistent field", "invalid formatting token", "unknown event type", "unknown filter:"},
		func(s string) bool { return strings.Contains(msg, s) })
}

func (c *compiler) output(text string, def *ruleDef) error {
	outputs := c.checked[def.source].outputs
	err, ok := outputs[text]
	if !ok {
		_, err = alert.CompileTemplate(text, field.Of(def.source))
		outputs[text] = err
	}
	if err != nil {
		return def.outputAt.fail(ErrCompileOutput, "%s", err.Error())
	}
	for _, name := range deprecatedFields {
		if strings.Contains(text, "%"+name) && !strings.Contains(text, "%"+name+".") {
			c.warn(def.outputAt, WarnDeprecatedItem, "usage of deprecated field '%s' has been detected in the rule output", name)
		}
	}
	return nil
}

func (c *compiler) condition(r *Rule, def *ruleDef) error {
	parsed, err := parse(r.text, c.lists, def.condAt)
	if err != nil {
		return err
	}
	r.AST, _, err = c.macros.expandIn(parsed, c.col.clock, def.at)
	if err != nil {
		return err
	}
	if err := c.checked[def.source].resolver.Resolve(r.AST); err != nil {
		return conditionError(err, c.placeOf(err, def.condAt), ErrCompileCondition)
	}
	c.conditionWarnings(r.AST, def)
	r.Node = filter.Widen(r.AST)
	return nil
}

// placeOf returns the place of the condition that an error is in: def, or a
// macro that it uses.
func (c *compiler) placeOf(err error, def *place) *place {
	if e, ok := errors.AsType[*filter.Error](err); ok {
		return c.macros.placeOf(e.Pos.Text, def)
	}
	return def
}

// placeOf returns the place of the macro with that text, or otherwise.
func (ms *macros) placeOf(text string, otherwise *place) *place {
	for _, m := range ms.order {
		if m.parsed.Pos().Text == text {
			return m.def.condAt
		}
	}
	return otherwise
}

func (c *compiler) conditionWarnings(n filter.Node, def *ruleDef) {
	for _, w := range filter.Warnings(n, c.opts.lookup(def.source)) {
		c.warn(c.macros.placeOf(w.Pos.Text, def.condAt).in(w.Pos), WarnCompileCondition, "%s", w.Msg)
	}
	seen := map[string]bool{}
	filter.Fields(n, func(f *filter.Field) {
		for _, name := range deprecatedFields {
			if f.Name == name && !seen[name] {
				seen[name] = true
				c.warn(def.condAt, WarnDeprecatedItem, "usage of deprecated field '%s' has been detected in the rule condition", name)
			}
		}
	})
	filter.Walk(n, func(n filter.Node) {
		if check, ok := n.(*filter.Check); ok && unsafeNA(check) {
			c.warn(def.condAt, WarnUnsafeNA, "comparing a field value with <NA> is unsafe and can lead to unpredictable behavior of the rule condition. "+
				"If you need to check for the existence of a field, consider using the 'exists' operator instead.")
		}
	})
}

// unsafeNA says whether a field of an event in JSON is compared with "<NA>".
func unsafeNA(c *filter.Check) bool {
	f, ok := c.Left.(*filter.Field)
	if !ok || !strings.HasPrefix(f.Name, "ka.") && !strings.HasPrefix(f.Name, "jevt.") {
		return false
	}
	switch c.Op {
	case filter.Eq, filter.EqEq, filter.NotEq, filter.In, filter.Intersects, filter.PMatch:
		return slices.ContainsFunc(c.Values, func(v filter.Value) bool { return v.Text == "<NA>" })
	}
	return false
}
