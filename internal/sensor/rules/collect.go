package rules

import (
	"slices"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
)

// syscallSource is the source of the events that the sensor makes itself.
const syscallSource = "syscall"

// listDef, macroDef and ruleDef are definitions as the files have them. index
// is when the name was first defined, visible when it was last changed:
// comparing the two decides which names an item may refer to.
type listDef struct {
	name           string
	items          []string
	at             *place
	index, visible int
}

type macroDef struct {
	name, cond     string
	at, condAt     *place
	index, visible int
}

type ruleDef struct {
	name                 string
	cond, output, desc   string
	priority             alert.Priority
	source               string
	unknownSource        bool
	enabled              bool
	warnEventTypes       bool
	skipUnknown          bool
	capture              bool
	captureDuration      uint32
	tags                 []string // sorted
	exceptions           []exceptionDef
	at, condAt, outputAt *place
}

// collection is everything that the files read so far define. A name that is
// defined again keeps its place in the order.
type collection struct {
	opts    *Options
	clock   int
	lists   table[listDef]
	macros  table[macroDef]
	rules   table[ruleDef]
	engine  semver
	plugins []requirement
}

type requirement struct {
	alternatives []Plugin
	at           *place
}

// table keeps definitions by name, in the order of their first definition.
type table[T any] struct {
	order  []*T
	byName map[string]*T
}

func (t *table[T]) put(name string, def *T) {
	if t.byName == nil {
		t.byName = map[string]*T{}
	}
	if old := t.byName[name]; old != nil {
		*old = *def
		return
	}
	t.byName[name] = def
	t.order = append(t.order, def)
}

func (c *collection) tick() int { c.clock++; return c.clock - 1 }

func (c *collection) defineList(def listDef) {
	def.visible = c.tick()
	def.index = def.visible
	if old := c.lists.byName[def.name]; old != nil {
		def.index = old.index
	}
	c.lists.put(def.name, &def)
}

func (c *collection) appendList(def listDef) error {
	old := c.lists.byName[def.name]
	if old == nil {
		return def.at.fail(ErrValidate, msgNoPreviousList)
	}
	old.items = append(old.items, def.items...)
	old.visible = c.tick()
	return nil
}

func (c *collection) defineMacro(def macroDef) {
	def.visible = c.tick()
	def.index = def.visible
	if old := c.macros.byName[def.name]; old != nil {
		def.index = old.index
	}
	c.macros.put(def.name, &def)
}

func (c *collection) appendMacro(def macroDef) error {
	old := c.macros.byName[def.name]
	if old == nil {
		return def.at.fail(ErrValidate, msgNoPreviousMacro)
	}
	old.visible = c.tick()
	return appendText(&old.cond, def.cond, def.at)
}

// maxText limits a text that is appended to: each time all of it is copied.
const maxText = 256 << 10

// appendText joins two texts with one blank.
func appendText(text *string, more string, at *place) error {
	if len(*text)+len(more) > maxText {
		return at.fail(ErrValidate, "Text grows beyond %d bytes with what is appended to it", maxText)
	}
	*text += " " + more
	return nil
}

func (c *collection) defineRule(def ruleDef) error {
	if old := c.rules.byName[def.name]; old != nil && old.source != def.source {
		return def.at.fail(ErrValidate, msgOtherSource)
	}
	for i := range def.exceptions {
		ex := &def.exceptions[i]
		if !ex.fields.given {
			return ex.at.fail(ErrValidate, "Rule exception item must have fields property with a list of fields")
		}
		if err := ex.check(c.lookup(&def)); err != nil {
			return err
		}
	}
	c.tick()
	c.rules.put(def.name, &def)
	return nil
}

// lookup returns the lookup function for the fields of a rule; nil if its
// source is unknown.
func (c *collection) lookup(rule *ruleDef) filter.Lookup {
	if rule.unknownSource {
		return nil
	}
	return c.opts.lookup(rule.source)
}

// existing returns the rule that u changes; missing is the error if it does not
// exist. An update that names a source must name the rule's own.
func (c *collection) existing(u update, missing string) (*ruleDef, error) {
	old := c.rules.byName[u.name]
	if old == nil {
		return nil, u.at.fail(ErrValidate, "%s", missing)
	}
	if u.source != "" && u.source != old.source {
		return nil, u.at.fail(ErrValidate, msgOtherSource)
	}
	return old, nil
}

func (c *collection) enableRule(u update) error {
	old, err := c.existing(u, msgNoPreviousEnable)
	if err != nil {
		return err
	}
	old.enabled = u.enabled
	return nil
}

func (c *collection) appendRule(u update) error {
	old, err := c.existing(u, msgNoPreviousAppend)
	if err != nil {
		return err
	}
	if len(u.set) == 0 {
		return u.at.fail(ErrValidate, "Appended rule must have exceptions or condition property")
	}
	for _, t := range []struct {
		key, more string
		text      *string
	}{{"condition", u.cond, &old.cond}, {"output", u.output, &old.output}, {"desc", u.desc, &old.desc}} {
		if !u.set[t.key] {
			continue
		}
		if err := appendText(t.text, t.more, u.at); err != nil {
			return err
		}
	}
	if u.set["tags"] {
		old.tags = slices.Compact(slices.Sorted(slices.Values(slices.Concat(old.tags, u.tags))))
	}
	for _, ex := range u.exceptions {
		if err := c.appendException(old, ex); err != nil {
			return err
		}
	}
	c.tick()
	return nil
}

func (c *collection) appendException(rule *ruleDef, ex exceptionDef) error {
	i := slices.IndexFunc(rule.exceptions, func(d exceptionDef) bool { return d.name == ex.name })
	switch {
	case i < 0 && !ex.fields.given:
		return ex.at.fail(ErrValidate, "Rule exception must have fields property with a list of fields")
	case i < 0 && len(ex.values) == 0:
		return ex.at.fail(ErrValidate, "Rule exception must have values property with a list of values")
	case i < 0:
		if err := ex.check(c.lookup(rule)); err != nil {
			return err
		}
		rule.exceptions = append(rule.exceptions, ex)
		return nil
	case ex.fields.given:
		return ex.at.fail(ErrValidate, "Can not append exception fields to existing exception, only values")
	case ex.comps.given:
		return ex.at.fail(ErrValidate, "Can not append exception comps to existing exception, only values")
	}
	old := &rule.exceptions[i]
	old.values = append(old.values, ex.values...)
	return nil
}

func (c *collection) replaceRule(u update) error {
	old, err := c.existing(u, msgNoPreviousReplace)
	if err != nil {
		return err
	}
	for key := range u.set {
		switch key {
		case "condition":
			old.cond, old.condAt = u.cond, u.condAt
		case "output":
			old.output, old.outputAt = u.output, u.outputAt
		case "desc":
			old.desc = u.desc
		case "tags":
			old.tags = slices.Compact(slices.Sorted(slices.Values(u.tags)))
		case "priority":
			old.priority = u.priority
		case "enabled":
			old.enabled = u.enabled
		case "warn_evttypes":
			old.warnEventTypes = u.warnEventTypes
		case "skip-if-unknown-filter":
			old.skipUnknown = u.skipUnknown
		case "capture":
			old.capture = u.capture
		case "capture_duration":
			old.captureDuration = u.captureDuration
		case "exceptions":
			if err := c.replaceExceptions(old, u.exceptions); err != nil {
				return err
			}
		}
	}
	c.tick()
	return nil
}

func (c *collection) replaceExceptions(rule *ruleDef, list []exceptionDef) error {
	for i := range list {
		if !list[i].fields.given {
			return list[i].at.fail(ErrValidate, "Rule exception must have fields property with a list of fields")
		}
		if err := list[i].check(c.lookup(rule)); err != nil {
			return err
		}
	}
	rule.exceptions = list
	return nil
}

func (c *collection) requirePlugin(alternatives []Plugin, at *place) error {
	seen := map[string]bool{}
	for _, p := range alternatives {
		if _, ok := parseSemver(p.Version); !ok {
			return at.fail(ErrValidate, "Invalid required version '%s' for plugin '%s'", p.Version, p.Name)
		}
		if seen[p.Name] {
			return at.fail(ErrValidate, "Defined multiple alternative version requirements for plugin '%s'", p.Name)
		}
		seen[p.Name] = true
	}
	c.plugins = append(c.plugins, requirement{alternatives, at})
	return nil
}
