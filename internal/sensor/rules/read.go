package rules

import (
	"errors"
	"regexp"

	"go.yaml.in/yaml/v3"

	"github.com/peregrine-sec/peregrine/internal/sensor/document"
)

// reader turns the YAML of one file into definitions.
type reader struct {
	col     *collection
	opts    *Options
	res     *Result
	visited int
}

// maxVisited limits the values that one file may have when its aliases are
// followed; the upstream files have some thousands.
const maxVisited = 2_000_000

func (r *reader) count(at *place, n int) error {
	if r.visited += n; r.visited > maxVisited {
		return at.fail(ErrYAMLValidate, "File has more than %d values when its aliases are followed", maxVisited)
	}
	return nil
}

// sequence returns the items of a sequence, with aliases followed; msg is the
// error if n is not a sequence.
func (r *reader) sequence(n *yaml.Node, at *place, msg string) ([]*yaml.Node, error) {
	if n.Kind != yaml.SequenceNode {
		return nil, at.fail(ErrYAMLValidate, "%s", msg)
	}
	content := make([]*yaml.Node, len(n.Content))
	for i, e := range n.Content {
		content[i] = follow(e)
	}
	return content, r.count(at, len(content))
}

// warn adds a warning.
func (r *reader) warn(at *place, code Code, format string, args ...any) {
	r.res.warn(at, code, format, args...)
}

// read reads all documents of a file and stops at the first error.
func (r *reader) read(s Source) error {
	file := fileOf(s)
	docs, err := document.Read(s.Content)
	if err != nil {
		at, msg := file, err.Error()
		if e, ok := errors.AsType[*document.Error](err); ok {
			at, msg = file.line(e.Line, e.Column, itemValue, ""), e.Msg
		}
		return at.fail(ErrYAMLParse, "%s", msg)
	}
	r.res.SchemaWarnings = validate(s.Name, docs)
	for _, doc := range docs {
		if err := r.document(doc, file); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) document(doc *yaml.Node, file *place) error {
	switch {
	case isNull(doc):
		return nil
	case doc.Kind == yaml.MappingNode:
		return file.fail(ErrYAMLValidate, "Rules content is not yaml array of objects")
	case doc.Kind != yaml.SequenceNode:
		return file.fail(ErrYAMLValidate, "Rules content is not yaml")
	}
	for _, n := range doc.Content {
		if n = follow(n); isNull(n) {
			continue
		}
		at := file.at(n, itemContentItem, "")
		if n.Kind != yaml.MappingNode {
			return at.fail(ErrYAMLValidate, "Unexpected element type. Each element should be a yaml associative array.")
		}
		if err := r.count(at, len(n.Content)); err != nil {
			return err
		}
		if err := r.item(item{Node: n, place: at, r: r}, file); err != nil {
			return err
		}
	}
	return nil
}

// item reads one element of a rules file; the first of these keys decides its
// kind.
func (r *reader) item(it item, file *place) error {
	switch {
	case it.has("required_engine_version"):
		return r.engineVersion(it, file)
	case it.has("required_plugin_versions"):
		return r.pluginVersions(it, file)
	case it.has("list"):
		return r.list(it, file)
	case it.has("macro"):
		return r.macro(it, file)
	case it.has("rule"):
		return r.rule(it, file)
	}
	r.warn(it.place, WarnUnknownItem, "Unknown top level item")
	return nil
}

// named moves the item's place to its definition, and returns the name.
func (it *item) named(key string, file *place) (string, error) {
	it.place = file.at(it.Node, key, "")
	name, err := it.text(key)
	if err == nil {
		it.place = file.at(it.Node, key, name)
	}
	return name, err
}

// unknownKeys warns about unknown keys.
func (r *reader) unknownKeys(it item, known map[string]bool) {
	for i := 0; i+1 < len(it.Content); i += 2 {
		if key := it.Content[i]; !known[key.Value] {
			r.warn(it.place.at(key, itemValue, key.Value), WarnUnknownKey, "Unknown key '%s'. The key will be ignored.", key.Value)
		}
	}
}

func keys(names ...string) map[string]bool {
	set := map[string]bool{}
	for _, n := range names {
		set[n] = true
	}
	return set
}

var (
	engineKeys      = keys("required_engine_version")
	pluginsKeys     = keys("required_plugin_versions")
	pluginKeys      = keys("name", "version", "alternatives")
	alternativeKeys = keys("name", "version")
	listKeys        = keys("list", "items", "append", "override")
	macroKeys       = keys("macro", "condition", "append", "override")
	ruleKeys        = keys("rule", "condition", "output", "desc", "priority", "source", "enabled", "tags", "exceptions",
		"warn_evttypes", "skip-if-unknown-filter", "capture", "capture_duration", "append", "override")
	exceptionKeys = keys("name", "fields", "comps", "values")
)

const (
	msgAppendDeprecated  = "'append' key is deprecated. Add an 'append' entry (e.g. 'condition: append') under 'override' instead."
	msgEnabledDeprecated = "The standalone 'enabled' key usage is deprecated. The correct approach requires also a 'replace' entry under the 'override' key (i.e. 'enabled: replace')."
	msgOverrideAndAppend = "Keys 'override' and 'append: true' cannot be used together. Add an 'append' entry (e.g. 'condition: append') under 'override' instead."
	msgNoPreviousMacro   = "Macro uses 'append' or 'override.condition: append' but no macro by that name already exists"
	msgNoPreviousList    = "List uses 'append' or 'override.items: append' but no list by that name already exists"
	msgNoPreviousEnable  = "Rule has 'enabled' key but no rule by that name already exists"
	msgOtherSource       = "Rule has been re-defined with a different source"
	msgNoPreviousAppend  = "Rule uses 'append' or 'override.<key>: append' but no rule by that name already exists"
	msgNoPreviousReplace = "An 'override.<key>: replace' to a rule was requested but no rule by that name already exists"
	msgMacroName         = "Macro has an invalid name. Macro names should match a regular expression: ([a-zA-Z]+[a-zA-Z0-9_]*)"
	msgListName          = `List has an invalid name. List names should match a regular expression: ([^()"'[:space:]=,]+)`
)

var (
	macroName = regexp.MustCompile(`^[a-zA-Z]+[a-zA-Z0-9_]*$`)
	listName  = regexp.MustCompile(`^[^()"'[:space:]=,]+$`)
)

func (r *reader) list(it item, file *place) error {
	name, err := it.named("list", file)
	if err != nil {
		return err
	}
	if !listName.MatchString(name) {
		r.warn(it.place, WarnListName, msgListName)
	}
	items, err := it.texts("items", false)
	if err != nil {
		return err
	}
	appended, err := r.appends(it, "items")
	if err != nil {
		return err
	}
	r.unknownKeys(it, listKeys)
	def := listDef{name: name, items: items, at: it.place}
	if appended {
		return r.col.appendList(def)
	}
	r.col.defineList(def)
	return nil
}

func (r *reader) macro(it item, file *place) error {
	name, err := it.named("macro", file)
	if err != nil {
		return err
	}
	if !macroName.MatchString(name) {
		r.warn(it.place, WarnMacroName, msgMacroName)
	}
	cond, err := it.text("condition")
	if err != nil {
		return err
	}
	appended, err := r.appends(it, "condition")
	if err != nil {
		return err
	}
	r.unknownKeys(it, macroKeys)
	def := macroDef{name: name, cond: cond, at: it.place, condAt: it.place.at(it.value("condition"), itemMacroCond, "")}
	if appended {
		return r.col.appendMacro(def)
	}
	r.col.defineMacro(def)
	return nil
}

// appends says whether a list or macro, which has but one key to override, is
// appended to: by "append: true" or by "override".
func (r *reader) appends(it item, key string) (bool, error) {
	flag, err := r.appendFlag(it)
	if err != nil {
		return false, err
	}
	o, err := r.overrides(it, keys(key), keys(key))
	if err != nil {
		return false, err
	}
	if flag && o.any() {
		return false, it.place.fail(ErrYAMLValidate, msgOverrideAndAppend)
	}
	return flag || o.append[key], nil
}

func (r *reader) appendFlag(it item) (bool, error) {
	flag, err := it.boolean("append", false)
	if flag {
		r.warn(it.place, WarnDeprecatedItem, msgAppendDeprecated)
	}
	return flag, err
}

// overridden are the keys of an item that are appended to or replaced.
type overridden struct{ append, replace map[string]bool }

func (o overridden) any() bool { return len(o.append)+len(o.replace) > 0 }

func (r *reader) overrides(it item, appendable, replaceable map[string]bool) (overridden, error) {
	o := overridden{append: map[string]bool{}, replace: map[string]bool{}}
	n := it.value("override")
	if n == nil || isNull(n) {
		return o, nil
	}
	at := it.place.at(n, itemOverride, "")
	if n.Kind != yaml.MappingNode {
		return o, at.fail(ErrYAMLValidate, "Value of 'override' must be a mapping of keys to append or replace")
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, op := n.Content[i], follow(n.Content[i+1])
		keyAt := at.at(key, itemOverride, key.Value)
		switch {
		case op.Value == "append" && !appendable[key.Value]:
			return o, keyAt.fail(ErrYAMLValidate, "Key '%s' cannot be appended to, use 'replace' instead", key.Value)
		case op.Value == "append":
			o.append[key.Value] = true
		case op.Value == "replace" && !replaceable[key.Value]:
			return o, keyAt.fail(ErrYAMLValidate, "Key '%s' cannot be replaced", key.Value)
		case op.Value == "replace":
			o.replace[key.Value] = true
		default:
			allowed := ""
			if appendable[key.Value] {
				allowed += "append "
			}
			if replaceable[key.Value] {
				allowed += "replace "
			}
			return o, at.at(op, itemValue, key.Value).fail(ErrYAMLValidate,
				"Invalid override operation for key '%s': '%s'. Allowed values are: %s", key.Value, op.Value, allowed)
		}
	}
	return o, nil
}
