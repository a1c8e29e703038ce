package config

import (
	"encoding/json"
	"io"
	"reflect"
	"strconv"
	"strings"
)

// WriteSchema writes the JSON Schema of falco.yaml (--config-schema). It is
// stricter than Load: it has no older names of keys, and types are exact.
func WriteSchema(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		Version string `json:"$schema"`
		schema
	}{"http://json-schema.org/draft-06/schema#", schemaOf(reflect.TypeFor[Config](), "")})
}

// schema is a JSON Schema as it is written.
type schema struct {
	Types       []string          `json:"type"`
	Description string            `json:"description,omitempty"`
	Enum        []string          `json:"enum,omitempty"`
	Minimum     *float64          `json:"minimum,omitempty"`
	Maximum     *float64          `json:"maximum,omitempty"`
	Items       *schema           `json:"items,omitempty"`
	Additional  any               `json:"additionalProperties,omitempty"`
	Properties  map[string]schema `json:"properties,omitempty"`
}

// schemaOf is the schema of a Go type; tag limits its values.
func schemaOf(t reflect.Type, tag reflect.StructTag) schema {
	s := schema{Description: tag.Get("doc")}
	switch t {
	case reflect.TypeFor[ExtraField](): // a name, or {NAME: FORMAT}
		s.Types, s.Additional = []string{"string", "object"}, schema{Types: []string{"string"}}
		return s
	case reflect.TypeFor[Plugins](): // each has settings of its own
		s.Types = []string{"array", "object"}
		return s
	}
	switch t.Kind() {
	case reflect.Pointer:
		s = schemaOf(t.Elem(), tag)
	case reflect.Bool:
		s.Types = []string{"boolean"}
	case reflect.Int:
		s.Types, s.Minimum, s.Maximum = []string{"integer"}, limit(tag, "min"), limit(tag, "max")
	case reflect.Float64:
		s.Types, s.Minimum, s.Maximum = []string{"number"}, limit(tag, "min"), limit(tag, "max")
	case reflect.Map:
		s.Types, s.Additional = []string{"object"}, schema{Types: []string{"string"}}
	case reflect.Slice:
		items := schemaOf(t.Elem(), reflect.StructTag(`oneof:"`+tag.Get("oneof")+`"`))
		s.Types, s.Items = append([]string{"array"}, also[t]...), &items
	case reflect.Struct:
		s.Types, s.Additional, s.Properties = append([]string{"object"}, also[t]...), false, map[string]schema{}
		for f := range t.Fields() {
			if name := f.Tag.Get("yaml"); name != "" && name != "-" {
				s.Properties[name] = schemaOf(f.Type, f.Tag)
			}
		}
	default: // texts, and durations, which are written as texts
		s.Types = []string{"string"}
		if one := tag.Get("oneof"); one != "" {
			s.Enum = strings.Split(one, "|")
		}
	}
	return s
}

// also are the further forms of types with a decodeNode.
var also = map[reflect.Type][]string{
	reflect.TypeFor[Include]():       {"string"},
	reflect.TypeFor[AppendOutputs](): {"object"},
	reflect.TypeFor[[]Include]():     {"string", "object"},
	reflect.TypeFor[[]string]():      {"string"},
}

// limit is a bound that the tag sets, nil if it sets none.
func limit(tag reflect.StructTag, key string) *float64 {
	x, err := strconv.ParseFloat(tag.Get(key), 64)
	if err != nil {
		return nil
	}
	return &x
}
