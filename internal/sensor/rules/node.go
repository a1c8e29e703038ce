package rules

import (
	"strconv"

	"go.yaml.in/yaml/v3"
)

// item is a mapping of a rules file, with its place. Aliases are followed; the
// reader counts visited nodes, so that aliases cannot blow up a small file.
type item struct {
	*yaml.Node
	place *place
	r     *reader
}

// value returns the value of key, or nil. If a key is repeated, the first one
// counts.
func (it item) value(key string) *yaml.Node {
	for i := 0; i+1 < len(it.Content); i += 2 {
		if it.Content[i].Value == key {
			return follow(it.Content[i+1])
		}
	}
	return nil
}

func (it item) has(key string) bool { return it.value(key) != nil }

// follow resolves an alias.
func follow(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// text returns the scalar value of key, which must be there.
func (it item) text(key string) (string, error) {
	n := it.value(key)
	if n == nil {
		return "", it.place.fail(ErrYAMLValidate, "Item has no mapping for key '%s'", key)
	}
	if isNull(n) {
		return "", it.place.fail(ErrYAMLValidate, "Mapping for key '%s' is empty", key)
	}
	at := it.place.at(n, itemValue, key)
	if n.Kind != yaml.ScalarNode {
		return "", at.fail(ErrYAMLValidate, "Value is not a scalar value")
	}
	if n.Value == "" {
		return "", at.fail(ErrYAMLValidate, "Value must be non-empty")
	}
	return n.Value, nil
}

// boolean returns the value of key, or missing if it is not there.
func (it item) boolean(key string, missing bool) (bool, error) {
	if !it.has(key) {
		return missing, nil
	}
	s, err := it.text(key)
	if err != nil {
		return false, err
	}
	if value, ok := truth(s); ok {
		return value, nil
	}
	return false, it.place.at(it.value(key), itemValue, key).fail(ErrYAMLValidate, "Can't decode YAML scalar value")
}

// truth reads a boolean of YAML 1.1, as Falco's parser does.
func truth(s string) (value, ok bool) {
	switch s {
	case "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON":
		return true, true
	case "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF":
		return false, true
	}
	return false, false
}

// number returns the unsigned value of key, or 0 if it is not there.
func (it item) number(key string) (uint32, error) {
	if !it.has(key) {
		return 0, nil
	}
	s, err := it.text(key)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, it.place.at(it.value(key), itemValue, key).fail(ErrYAMLValidate, "Can't decode YAML scalar value")
	}
	return uint32(n), nil
}

// texts returns the sequence of scalars at key; none if optional and absent.
func (it item) texts(key string, optional bool) ([]string, error) {
	n := it.value(key)
	if n == nil {
		if optional {
			return nil, nil
		}
		return nil, it.place.fail(ErrYAMLValidate, "Item has no mapping for key '%s'", key)
	}
	at := it.place.at(n, itemValue, key)
	content, err := it.r.sequence(n, at, "Value is not a sequence")
	if err != nil {
		return nil, err
	}
	list := make([]string, 0, len(content))
	for _, e := range content {
		if e.Kind != yaml.ScalarNode {
			return nil, at.at(e, itemListItem, "").fail(ErrYAMLValidate, "sequence value is not scalar")
		}
		list = append(list, e.Value)
	}
	return list, nil
}
