package config

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"
)

// Key describes one key for people.
type Key struct {
	Path    string // dotted; lists of maps are shown as "list[].key"
	Type    string
	Default string // as in YAML; empty for a map with keys of its own
	Doc     string
}

// Keys returns all keys in the order of the Config.
var Keys = sync.OnceValue(func() []Key {
	return describe(reflect.ValueOf(Default()).Elem(), "")
})

func describe(v reflect.Value, prefix string) []Key {
	var keys []Key
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name := field.Tag.Get("yaml")
		if name == "" || name == "-" {
			continue
		}
		path := join(prefix, name)
		key := Key{Path: path, Type: typeName(field), Default: show(v.Field(i)), Doc: field.Tag.Get("doc")}
		keys = append(keys, key)
		switch field.Type.Kind() {
		case reflect.Struct:
			keys = append(keys, describe(v.Field(i), path)...)
		case reflect.Slice:
			if field.Type.Elem().Kind() == reflect.Struct {
				keys = append(keys, describe(reflect.New(field.Type.Elem()).Elem(), path+"[]")...)
			}
		}
	}
	return keys
}

func typeName(f reflect.StructField) string {
	if one := f.Tag.Get("oneof"); one != "" {
		name := strings.ReplaceAll(one, "|", ", ")
		if f.Type.Kind() == reflect.Slice {
			return "list of " + name
		}
		return name
	}
	switch f.Type.Kind() {
	case reflect.Bool:
		return "bool"
	case reflect.Int, reflect.Float64:
		return "number" + limits(f.Tag)
	case reflect.String:
		return "text"
	case reflect.Slice:
		return "list"
	case reflect.Int64:
		return "duration"
	}
	return "map"
}

func limits(tag reflect.StructTag) string {
	least, most := tag.Get("min"), tag.Get("max")
	switch {
	case least != "" && most != "":
		return " " + least + " to " + most
	case least != "":
		return " >= " + least
	}
	return ""
}

// show writes a default as YAML.
func show(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case Interval:
		return shortDuration(time.Duration(x))
	case AppendOutputs:
		if len(x) == 1 && x[0].SuggestedOutput {
			return "[{suggested_output: true}]"
		}
	case []string:
		return "[" + strings.Join(x, ", ") + "]"
	case string:
		if x == "" {
			return `""`
		}
		return x
	}
	switch v.Kind() {
	case reflect.Slice:
		return "[]"
	case reflect.Map:
		return "{}"
	case reflect.Struct, reflect.Pointer:
		return ""
	}
	return fmt.Sprint(v.Interface())
}

func shortDuration(d time.Duration) string {
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}
