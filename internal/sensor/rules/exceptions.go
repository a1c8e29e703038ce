package rules

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
)

// entry is a part of an exception: a text or a list.
type entry struct {
	given bool
	list  bool
	text  string
	items []entry
}

// exceptionDef is an exception of a rule: the condition is not to hold for
// those values of the fields.
type exceptionDef struct {
	name          string
	at            *place
	fields, comps entry
	values        []entry
}

// exceptions reads the exceptions of a rule. appending says that they are
// added to those of an earlier definition, and may have values alone.
func (r *reader) exceptions(it item, appending bool) ([]exceptionDef, error) {
	n := it.value("exceptions")
	if n == nil || isNull(n) {
		return nil, nil
	}
	at := it.place.at(n, itemExceptions, "")
	content, err := r.sequence(n, at, "Rule exceptions must be a sequence")
	if err != nil {
		return nil, err
	}
	var list []exceptionDef
	for _, e := range content {
		ex, err := r.exception(item{Node: e, place: at.at(e, itemException, ""), r: r}, it.place, appending)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(list, func(d exceptionDef) bool { return d.name == ex.name }) {
			r.warn(ex.at, WarnExceptionNotUnique, "Multiple definitions of exception '%s' in the same object", ex.name)
		}
		list = append(list, ex)
	}
	return list, nil
}

func (r *reader) exception(it item, rule *place, appending bool) (ex exceptionDef, err error) {
	if it.Kind != yaml.MappingNode {
		return ex, it.place.fail(ErrYAMLValidate, "Rule exception must be a mapping")
	}
	if ex.name, err = it.text("name"); err != nil {
		return ex, err
	}
	it.place = rule.at(it.Node, itemException, ex.name)
	ex.at = it.place
	r.unknownKeys(it, exceptionKeys)
	if !it.has("fields") && !appending {
		return ex, it.place.fail(ErrYAMLValidate, "Item has no mapping for key 'fields'")
	}
	if ex.fields, err = r.entry(it.value("fields"), it.place, "fields", 1); err != nil {
		return ex, err
	}
	if ex.comps, err = r.entry(it.value("comps"), it.place, "comps", 1); err != nil {
		return ex, err
	}
	values := it.value("values")
	if values == nil {
		if appending {
			r.warn(it.place, WarnAppendNoValues, "Overriding/appending exception with no values")
		}
		return ex, nil
	}
	at := it.place.at(values, itemExValues, "")
	content, err := r.sequence(values, at, "Rule exception values must be a sequence")
	if err != nil {
		return ex, err
	}
	for _, v := range content {
		e, err := r.entry(v, at.at(v, itemExValue, ""), "", 2)
		if err != nil {
			return ex, err
		}
		ex.values = append(ex.values, e)
	}
	return ex, nil
}

// entry reads a text or a list, which nests to the given depth.
func (r *reader) entry(n *yaml.Node, parent *place, key string, depth int) (entry, error) {
	if n == nil {
		return entry{}, nil
	}
	at := parent.at(n, itemValue, key)
	switch n.Kind {
	case yaml.ScalarNode:
		if n.Value == "" {
			return entry{}, at.fail(ErrYAMLValidate, "Value must be non-empty")
		}
		return entry{given: true, text: n.Value}, nil
	case yaml.SequenceNode:
		if depth == 0 {
			return entry{}, at.fail(ErrYAMLValidate, "Could not decode scalar value")
		}
		if err := r.count(at, len(n.Content)); err != nil {
			return entry{}, err
		}
		e := entry{given: true, list: true}
		for _, c := range n.Content {
			c = follow(c)
			item, err := r.entry(c, at.at(c, itemException, ""), "", depth-1)
			if err != nil {
				return entry{}, err
			}
			e.items = append(e.items, item)
		}
		return e, nil
	}
	return entry{}, at.fail(ErrYAMLValidate, "Could not decode scalar value")
}

// check completes an exception and makes sure that fields and comps go
// together and exist. Without lookup, for a rule of an unknown source, fields
// are not looked up.
func (ex *exceptionDef) check(lookup filter.Lookup) error {
	if !ex.fields.list {
		if !ex.comps.given {
			ex.comps = entry{given: true, text: string(filter.In)}
		}
		if ex.comps.list {
			return ex.at.fail(ErrValidate, "Fields and comps must both be strings")
		}
		if !takesList(ex.comps.text) || !isOperator(ex.comps.text) {
			return ex.at.fail(ErrValidate, "When fields is a single value, comps must be one of (in, pmatch, intersects)")
		}
		return ex.checkField(ex.fields.text, lookup)
	}
	if !ex.comps.given {
		ex.comps = entry{given: true, list: true}
		for range ex.fields.items {
			ex.comps.items = append(ex.comps.items, entry{given: true, text: string(filter.Eq)})
		}
	}
	if len(ex.fields.items) != len(ex.comps.items) {
		return ex.at.fail(ErrValidate, "Fields and comps lists must have equal length")
	}
	for _, c := range ex.comps.items {
		if !isOperator(c.text) {
			return ex.at.fail(ErrValidate, "'%s' is not a supported comparison operator", c.text)
		}
	}
	for _, f := range ex.fields.items {
		if err := ex.checkField(f.text, lookup); err != nil {
			return err
		}
	}
	return nil
}

func (ex *exceptionDef) checkField(name string, lookup filter.Lookup) error {
	if lookup == nil {
		return nil
	}
	n, err := filter.Parse(name + " exists")
	if err == nil {
		if _, isCheck := n.(*filter.Check); isCheck && filter.Resolve(n, lookup) == nil {
			return nil
		}
	}
	return ex.at.fail(ErrValidate, "'%s' is not a supported filter field", name)
}

// isOperator says whether s is an operator, maybe with a modifier.
func isOperator(s string) bool {
	words := strings.Fields(s)
	if len(words) == 0 || len(words) > 2 || !slices.Contains(filter.Operators(), filter.Op(words[0])) {
		return false
	}
	return len(words) == 1 || isModifier(words[1]) && !filter.Op(words[0]).TakesList()
}

func isModifier(s string) bool {
	switch filter.Modifier(s) {
	case filter.OneOf, filter.AnyOf, filter.AllOf:
		return true
	}
	return false
}

// takesList says whether an operator, maybe with a modifier, has a list on its
// right.
func takesList(s string) bool {
	words := strings.Fields(s)
	return len(words) == 2 && isModifier(words[1]) || len(words) == 1 && filter.Op(words[0]).TakesList()
}

// withExceptions returns the condition with the exceptions added to it:
// "(condition) and not (...)".
func withExceptions(cond string, list []exceptionDef) (string, error) {
	if len(list) == 0 {
		return cond, nil
	}
	var b strings.Builder
	b.WriteString("(" + cond + ")")
	for i := range list {
		text, err := list[i].condition()
		if err != nil {
			return "", err
		}
		if text != "" {
			b.WriteString(" and not " + text)
		}
	}
	return b.String(), nil
}

// condition returns the condition that the exception excludes; "" without
// values.
func (ex *exceptionDef) condition() (string, error) {
	if len(ex.values) == 0 {
		return "", nil
	}
	if !ex.fields.list {
		var items []string
		for _, v := range ex.values {
			if v.list {
				return "", ex.at.fail(ErrValidate, "Expected values array to contain a list of strings")
			}
			items = append(items, quoteItem(v.text))
		}
		return "(" + ex.fields.text + " " + strings.TrimSpace(ex.comps.text) + " (" + strings.Join(items, ", ") + "))", nil
	}
	var tuples []string
	for _, v := range ex.values {
		if len(v.items) != len(ex.fields.items) {
			return "", ex.at.fail(ErrValidate, "Fields and values lists must have equal length")
		}
		var checks []string
		for i, f := range ex.fields.items {
			op := strings.TrimSpace(ex.comps.items[i].text)
			if op == string(filter.Exists) {
				checks = append(checks, f.text+" "+op)
				continue
			}
			checks = append(checks, f.text+" "+op+" "+v.items[i].operand(takesList(op)))
		}
		tuples = append(tuples, "("+strings.Join(checks, " and ")+")")
	}
	return "(" + strings.Join(tuples, " or ") + ")", nil
}

// operand writes a value as the right side of a check.
func (e entry) operand(list bool) string {
	switch {
	case e.list:
		var items []string
		for _, v := range e.items {
			items = append(items, quoteItem(v.text))
		}
		return "(" + strings.Join(items, ", ") + ")"
	case list && !strings.HasPrefix(e.text, "("):
		return "(" + e.text + ")"
	case list:
		return e.text
	}
	return quoteItem(e.text)
}

// quoteItem puts a text with blanks, or none at all, into quotes, unless it
// has them.
func quoteItem(s string) string {
	if s == "" {
		return `""`
	}
	if strings.Contains(s, " ") && s[0] != '"' && s[0] != '\'' {
		return `"` + s + `"`
	}
	return s
}
