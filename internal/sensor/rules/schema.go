package rules

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// schema describes the valid values of a rules file more strictly than Load:
// types are exact, and no other keys are allowed. It is informative only; -V
// gives its warnings in JSON, as Falco does.
type schema struct {
	types  []string           // of JSON
	enum   []string           // texts, in any case; nil for all
	items  *schema            // of arrays
	keys   map[string]*schema // of objects
	needed []string           // keys that must be there
}

func oneOf(types ...string) *schema { return &schema{types: types} }

func arrayOf(items *schema) *schema { return &schema{types: []string{"array"}, items: items} }

func object(keys map[string]*schema, needed ...string) *schema {
	return &schema{types: []string{"object"}, keys: keys, needed: needed}
}

// fileSchema is the schema of a rules file.
var fileSchema = func() *schema {
	text, truth, number := oneOf("string"), oneOf("boolean"), oneOf("integer")
	scalars := []string{"string", "integer", "number", "boolean"}
	scalar := oneOf(scalars...) // the program "true" needs no quotes
	texts := &schema{types: []string{"string", "array"}, items: text}
	value := &schema{types: append(scalars, "array"), items: scalar}
	entry := &schema{types: append(scalars, "array"), items: value}
	override := map[string]*schema{}
	for _, key := range []string{
		"items", "condition", "output", "desc", "priority", "tags", "exceptions", "enabled", "warn_evttypes",
		"skip-if-unknown-filter", "capture", "capture_duration",
	} {
		override[key] = &schema{types: []string{"string"}, enum: []string{"append", "replace"}}
	}
	plugin := map[string]*schema{"name": text, "version": text}
	withOthers := map[string]*schema{"name": text, "version": text, "alternatives": arrayOf(object(plugin, "name", "version"))}
	return arrayOf(object(map[string]*schema{
		"required_engine_version":  text,
		"required_plugin_versions": arrayOf(object(withOthers, "name", "version")),
		"list":                     text, "items": arrayOf(scalar),
		"macro": text, "condition": text,
		"rule": text, "desc": text, "output": text, "source": text, "tags": arrayOf(text),
		"priority": {types: []string{"string"}, enum: []string{
			"emergency", "alert", "critical", "error", "warning", "notice", "info", "informational", "debug",
		}},
		"enabled": truth, "append": truth, "warn_evttypes": truth, "skip-if-unknown-filter": truth,
		"capture": truth, "capture_duration": number,
		"exceptions": arrayOf(object(map[string]*schema{"name": text, "fields": texts, "comps": texts, "values": arrayOf(entry)}, "name")),
		"override":   object(override),
	}))
}()

// validation is one file compared with the schema.
type validation struct {
	name     string
	warnings []string
	visited  int
}

// validate compares the documents of a file with the schema. There are at most
// maxWarnings warnings, and the expansion of aliases is bounded.
func validate(name string, docs []*yaml.Node) []string {
	v := validation{name: name, warnings: []string{}}
	for _, doc := range docs {
		if !isNull(doc) {
			v.value(doc, fileSchema, "rules")
		}
	}
	return v.warnings
}

func (v *validation) warn(n *yaml.Node, format string, args ...any) {
	if len(v.warnings) < maxWarnings {
		v.warnings = append(v.warnings, fmt.Sprintf("%s:%d:%d: %s", v.name, n.Line, n.Column, fmt.Sprintf(format, args...)))
	}
}

// value compares n, which is called what, with s.
func (v *validation) value(n *yaml.Node, s *schema, what string) {
	if v.visited++; v.visited > maxVisited {
		return
	}
	n = follow(n)
	is := jsonTypes(n)
	if !slices.ContainsFunc(is, func(t string) bool { return slices.Contains(s.types, t) }) {
		v.warn(n, "%s: expected %s, found %s", what, strings.Join(s.types, " or "), is[0])
		return
	}
	if s.enum != nil && !slices.Contains(s.enum, strings.ToLower(n.Value)) {
		v.warn(n, "%s: expected one of %s", what, strings.Join(s.enum, ", "))
	}
	switch n.Kind {
	case yaml.SequenceNode:
		for _, item := range n.Content {
			if item = follow(item); what != "rules" || !isNull(item) {
				v.value(item, s.items, what)
			}
		}
	case yaml.MappingNode:
		v.keys(n, s, what)
	}
}

func (v *validation) keys(n *yaml.Node, s *schema, what string) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if of := s.keys[key.Value]; of != nil {
			v.value(n.Content[i+1], of, key.Value)
		} else {
			v.warn(key, "%s: unknown key %.60s", what, key.Value)
		}
	}
	for _, key := range s.needed {
		if !(item{Node: n}).has(key) {
			v.warn(n, "%s: no key %s", what, key)
		}
	}
}

// jsonTypes are the types of JSON that n may be read as, the likeliest first.
func jsonTypes(n *yaml.Node) []string {
	switch n.Kind {
	case yaml.SequenceNode:
		return []string{"array"}
	case yaml.MappingNode:
		return []string{"object"}
	}
	switch n.Tag {
	case "!!int":
		return []string{"integer"}
	case "!!float":
		return []string{"number"}
	case "!!bool":
		return []string{"boolean"}
	case "!!null":
		return []string{"null"}
	}
	if _, ok := truth(n.Value); ok && n.Style == 0 {
		return []string{"string", "boolean"} // "yes" of YAML 1.1
	}
	return []string{"string"}
}

// WriteSchema writes the schema of rules files as JSON Schema (--rule-schema).
func WriteSchema(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		Version string `json:"$schema"`
		jsonSchema
	}{"http://json-schema.org/draft-06/schema#", fileSchema.json()})
}

// jsonSchema is a schema as JSON Schema writes it.
type jsonSchema struct {
	Types      []string              `json:"type"`
	Pattern    string                `json:"pattern,omitempty"`
	Items      *jsonSchema           `json:"items,omitempty"`
	Additional *bool                 `json:"additionalProperties,omitempty"`
	Properties map[string]jsonSchema `json:"properties,omitempty"`
	Required   []string              `json:"required,omitempty"`
}

func (s *schema) json() jsonSchema {
	j := jsonSchema{Types: s.types, Required: s.needed}
	if s.enum != nil {
		j.Pattern = anyCase(s.enum)
	}
	if s.items != nil {
		items := s.items.json()
		j.Items = &items
	}
	if s.keys != nil {
		j.Additional, j.Properties = new(bool), map[string]jsonSchema{}
		for key, of := range s.keys {
			j.Properties[key] = of.json()
		}
	}
	return j
}

// anyCase is an expression for the texts in upper and lower case: JSON Schema
// has no flag for it.
func anyCase(texts []string) string {
	var b strings.Builder
	for _, c := range strings.Join(texts, "|") {
		if c == '|' {
			b.WriteRune(c)
		} else {
			fmt.Fprintf(&b, "[%c%c]", c, c-'a'+'A')
		}
	}
	return "^(" + b.String() + ")$"
}
