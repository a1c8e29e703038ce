package rules

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
)

var (
	ruleAppendable  = keys("condition", "output", "desc", "tags", "exceptions")
	ruleReplaceable = keys("condition", "output", "desc", "priority", "capture", "capture_duration", "tags", "exceptions",
		"enabled", "warn_evttypes", "skip-if-unknown-filter")
	// overridableKeys is the union in a fixed order, for messages.
	overridableKeys = []string{"capture", "capture_duration", "condition", "desc", "enabled", "exceptions", "output",
		"priority", "skip-if-unknown-filter", "tags", "warn_evttypes"}
)

func (r *reader) rule(it item, file *place) error {
	name, err := it.named("rule", file)
	if err != nil {
		return err
	}
	r.unknownKeys(it, ruleKeys)
	flag, err := r.appendFlag(it)
	if err != nil {
		return err
	}
	o, err := r.overrides(it, ruleAppendable, ruleReplaceable)
	if err != nil {
		return err
	}
	switch {
	case flag && o.any():
		return it.place.fail(ErrYAMLValidate, msgOverrideAndAppend)
	case o.any():
		return r.overrideRule(it, name, o)
	case flag:
		return r.appendRule(it, name)
	case !it.has("condition") && !it.has("output") && !it.has("desc") && !it.has("priority"):
		return r.enableRule(it, name)
	}
	return r.defineRule(it, name)
}

// update is the change of a rule by an item: the keys in set. Its source is
// empty if the item has none.
type update struct {
	set map[string]bool
	ruleDef
}

// update starts the update that an item makes to the keys in set.
func (it item) update(name string, set map[string]bool) (update, error) {
	source, err := it.source()
	return update{set: set, ruleDef: ruleDef{name: name, at: it.place, source: source}}, err
}

// source is the item's event source. A key without a value counts as absent,
// as in Falco.
func (it item) source() (string, error) {
	if n := it.value("source"); n == nil || n.Kind == yaml.ScalarNode && (isNull(n) || n.Value == "") {
		return "", nil
	}
	return it.text("source")
}

// readKeys reads the given keys of the item.
func (r *reader) readKeys(it item, u *update, appending bool) (err error) {
	for _, key := range overridableKeys {
		if !u.set[key] {
			continue
		}
		switch key {
		case "condition":
			u.cond, err = it.text(key)
			if err == nil {
				u.condAt = it.place.at(it.value(key), itemRuleCond, "")
			}
		case "output":
			u.output, err = it.text(key)
			u.output = strings.TrimSpace(u.output)
			if err == nil {
				u.outputAt = it.place.at(it.value(key), itemOutput, "")
			}
		case "desc":
			u.desc, err = it.text(key)
		case "tags":
			u.tags, err = it.texts(key, true)
		case "exceptions":
			u.exceptions, err = r.exceptions(it, appending)
		case "priority":
			u.priority, err = it.priority()
		case "enabled":
			u.enabled, err = it.boolean(key, true)
		case "warn_evttypes":
			u.warnEventTypes, err = it.boolean(key, true)
		case "skip-if-unknown-filter":
			u.skipUnknown, err = it.boolean(key, false)
		case "capture":
			u.capture, err = it.boolean(key, false)
		case "capture_duration":
			u.captureDuration, err = it.number(key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// overrideRule appends to and replaces parts of a rule, in this order.
func (r *reader) overrideRule(it item, name string, o overridden) error {
	for _, part := range []struct {
		op    string
		set   map[string]bool
		apply func(update) error
	}{{"append", o.append, r.col.appendRule}, {"replace", o.replace, r.col.replaceRule}} {
		if len(part.set) == 0 {
			continue
		}
		for _, key := range overridableKeys {
			if part.set[key] && !it.has(key) {
				return it.place.fail(ErrYAMLValidate, "An %s override for '%s' was specified but '%s' is not defined", part.op, key, key)
			}
		}
		u, err := it.update(name, part.set)
		if err != nil {
			return err
		}
		if err := r.readKeys(it, &u, true); err != nil {
			return err
		}
		if err := part.apply(u); err != nil {
			return err
		}
	}
	for _, key := range overridableKeys {
		if it.has(key) && !o.append[key] && !o.replace[key] {
			return it.place.at(it.value(key), itemOverride, key).fail(ErrYAMLValidate,
				"Unexpected key '%s': no corresponding entry under 'override' is defined.", key)
		}
	}
	return nil
}

// appendRule is the old form, "append: true".
func (r *reader) appendRule(it item, name string) error {
	u, err := it.update(name, map[string]bool{})
	if err != nil {
		return err
	}
	for _, key := range []string{"condition", "exceptions"} {
		if it.has(key) {
			u.set[key] = true
		}
	}
	if err := r.readKeys(it, &u, true); err != nil {
		return err
	}
	return r.col.appendRule(u)
}

// enableRule is the old form of an item that has nothing but "enabled".
func (r *reader) enableRule(it item, name string) error {
	if _, err := it.text("enabled"); err != nil {
		return err
	}
	u, err := it.update(name, nil)
	if err != nil {
		return err
	}
	if u.enabled, err = it.boolean("enabled", true); err != nil {
		return err
	}
	r.warn(it.place, WarnDeprecatedItem, msgEnabledDeprecated)
	return r.col.enableRule(u)
}

func (r *reader) defineRule(it item, name string) error {
	for _, key := range []string{"condition", "output", "desc", "priority"} {
		if _, err := it.text(key); err != nil {
			return err
		}
	}
	u, err := it.update(name, map[string]bool{})
	if err != nil {
		return err
	}
	u.enabled, u.warnEventTypes = true, true
	for _, key := range overridableKeys {
		u.set[key] = it.has(key)
	}
	if err := r.readKeys(it, &u, false); err != nil {
		return err
	}
	if u.source == "" {
		u.source = syscallSource
	}
	return r.defineChecked(u.ruleDef)
}

func (r *reader) defineChecked(def ruleDef) error {
	slices.Sort(def.tags)
	def.tags = slices.Compact(def.tags)
	def.unknownSource = !slices.Contains(r.opts.Sources, def.source)
	if def.unknownSource {
		r.warn(def.at, WarnUnknownSource, "Unknown source %s, skipping", def.source)
	}
	return r.col.defineRule(def)
}

func (it item) priority() (alert.Priority, error) {
	s, err := it.text("priority")
	if err != nil {
		return 0, err
	}
	p, ok := ParsePriority(s)
	if !ok {
		return 0, it.place.at(it.value("priority"), itemPriority, "").fail(ErrYAMLValidate, "Invalid priority")
	}
	return p, nil
}

// ParsePriority reads a priority without regard to case.
func ParsePriority(s string) (alert.Priority, bool) {
	if strings.EqualFold(s, "info") {
		return alert.Informational, true
	}
	for p := alert.Emergency; p <= alert.Debug; p++ {
		if strings.EqualFold(s, p.String()) {
			return p, true
		}
	}
	return 0, false
}
