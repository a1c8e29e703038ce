package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// decoder fills structs from nodes. Scalars are untyped, as in Falco: "5" is
// a number where a number is wanted, yes and on are true.
type decoder struct {
	*tree
}

// nodeDecoder is a type with a YAML form of its own.
type nodeDecoder interface {
	decodeNode(d *decoder, n *yaml.Node, path string)
}

// value decodes n into v; path and tag are for messages and limits.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path string, tag reflect.StructTag) {
	if n = resolve(n); n == nil || isNull(n) {
		return // "key:" without a value leaves the default
	}
	if !d.spend(1) {
		return
	}
	if own, ok := v.Addr().Interface().(nodeDecoder); ok {
		own.decodeNode(d, n, path)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v, path)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), path, tag)
	case reflect.Slice:
		d.slice(n, v, path, tag)
	case reflect.Map:
		d.texts(n, v, path)
	default:
		d.scalar(n, v, path, tag)
	}
}

func (d *decoder) structure(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.expected(n, path, "keys and values")
		return
	}
	fields := fieldsOf(v.Type())
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		sub := join(path, key.Value)
		index, known := fields[key.Value]
		if !known {
			d.unknown(key, sub, fields)
			continue
		}
		d.value(n.Content[i+1], v.Field(index), sub, v.Type().Field(index).Tag)
	}
}

// unknown reports a key that nothing reads.
func (d *decoder) unknown(key *yaml.Node, path string, siblings map[string]int) {
	if why, ok := inertKeys[path]; ok {
		d.report(Note, key, path, why)
		return
	}
	text := "unknown key, ignored" + hint(key.Value, slices.Sorted(maps.Keys(siblings)))
	if strings.HasSuffix(text, "ignored") {
		for _, k := range Keys() {
			if k.Path != path && strings.HasSuffix("."+k.Path, "."+key.Value) {
				text += ", did you mean " + k.Path + "?"
				break
			}
		}
	}
	d.report(Warning, key, path, text)
}

// list calls f for each element.
func (d *decoder) list(n *yaml.Node, path string, f func(n *yaml.Node, path string)) {
	if n = resolve(n); n == nil || isNull(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		d.expected(n, path, "a list")
		return
	}
	for i, c := range n.Content {
		if c = resolve(c); c != nil && d.spend(1) {
			f(c, fmt.Sprintf("%s[%d]", path, i))
		}
	}
}

func (d *decoder) slice(n *yaml.Node, v reflect.Value, path string, tag reflect.StructTag) {
	v.SetZero()
	// Falco takes a single rules file for a list of one.
	if n.Kind == yaml.ScalarNode && v.Type().Elem().Kind() == reflect.String {
		n = &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{n}}
	}
	d.list(n, path, func(c *yaml.Node, path string) {
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(c, e, path, tag)
		v.Set(reflect.Append(v, e))
	})
}

// texts decodes a map of strings.
func (d *decoder) texts(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.expected(n, path, "keys and values")
		return
	}
	out := map[string]string{}
	for i := 0; i+1 < len(n.Content) && d.spend(1); i += 2 {
		out[n.Content[i].Value] = d.text(n.Content[i+1], join(path, n.Content[i].Value))
	}
	v.Set(reflect.ValueOf(out))
}

// text is the value of a scalar.
func (d *decoder) text(n *yaml.Node, path string) string {
	if n = resolve(n); n == nil || n.Kind != yaml.ScalarNode {
		if n != nil {
			d.expected(n, path, "a text")
		}
		return ""
	}
	return n.Value
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, path string, tag reflect.StructTag) {
	if n.Kind != yaml.ScalarNode {
		d.expected(n, path, wanted[v.Kind()])
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(n.Value)
		d.oneOf(n, v, path, tag)
	case reflect.Bool, reflect.Int, reflect.Float64:
		if n.Value != "" { // as in Falco, where a variable of the environment may be empty
			d.plain(n, v, path, tag)
		}
	}
}

// plain decodes true or false, or a number.
func (d *decoder) plain(n *yaml.Node, v reflect.Value, path string, tag reflect.StructTag) {
	switch v.Kind() {
	case reflect.Bool:
		b, ok := booleans[strings.ToLower(n.Value)]
		if !ok {
			d.expected(n, path, wanted[reflect.Bool])
			return
		}
		v.SetBool(b)
	case reflect.Int:
		i, err := strconv.ParseInt(n.Value, 10, 64)
		if err != nil {
			d.expected(n, path, wanted[reflect.Int])
			return
		}
		v.SetInt(i)
		d.inRange(n, float64(i), path, tag)
	case reflect.Float64:
		f, err := strconv.ParseFloat(n.Value, 64)
		if err != nil || f != f {
			d.expected(n, path, wanted[reflect.Float64])
			return
		}
		v.SetFloat(f)
		d.inRange(n, f, path, tag)
	}
}

var wanted = map[reflect.Kind]string{
	reflect.String: "a text", reflect.Bool: "true or false", reflect.Int: "a whole number", reflect.Float64: "a number",
}

var booleans = map[string]bool{
	"true": true, "yes": true, "on": true, "y": true, "false": false, "no": false, "off": false, "n": false,
}

func (d *decoder) oneOf(n *yaml.Node, v reflect.Value, path string, tag reflect.StructTag) {
	allowed := tag.Get("oneof")
	if allowed == "" {
		return
	}
	names := strings.Split(allowed, "|")
	for _, name := range names {
		if strings.EqualFold(name, n.Value) {
			v.SetString(name)
			return
		}
	}
	d.refuse(n, path, tag, fmt.Sprintf("%q: expected one of %s%s", abbreviate(n.Value), strings.Join(names, ", "), hint(n.Value, names)))
}

// refuse reports a value that is not allowed. The tag "refused" has Falco's
// words for it, which scripts look for.
func (d *decoder) refuse(n *yaml.Node, path string, tag reflect.StructTag, text string) {
	if words := tag.Get("refused"); words != "" {
		text = words + ": " + text
	}
	d.report(Error, n, path, text)
}

func (d *decoder) inRange(n *yaml.Node, x float64, path string, tag reflect.StructTag) {
	least, errLeast := strconv.ParseFloat(tag.Get("min"), 64)
	most, errMost := strconv.ParseFloat(tag.Get("max"), 64)
	switch {
	case errLeast == nil && x < least:
		d.refuse(n, path, tag, fmt.Sprintf("%s is too small: expected at least %s", n.Value, tag.Get("min")))
	case errMost == nil && x > most:
		d.refuse(n, path, tag, fmt.Sprintf("%s is too large: expected at most %s", n.Value, tag.Get("max")))
	}
}

func (d *decoder) expected(n *yaml.Node, path, what string) {
	d.report(Error, n, path, fmt.Sprintf("expected %s, found a %s", what, kindName(n)))
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null" && n.Style == 0
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// fieldsOf maps YAML names to field indexes.
func fieldsOf(t reflect.Type) map[string]int {
	fields := map[string]int{}
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("yaml"); name != "" && name != "-" {
			fields[name] = i
		}
	}
	return fields
}
