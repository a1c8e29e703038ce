package config

import (
	"reflect"

	"go.yaml.in/yaml/v3"
)

// The types that have more than one form in YAML.
var (
	_ nodeDecoder = (*Include)(nil)
	_ nodeDecoder = (*AppendOutputs)(nil)
	_ nodeDecoder = (*ExtraFields)(nil)
	_ nodeDecoder = (*Interval)(nil)
	_ nodeDecoder = (*RuleSwitch)(nil)
	_ nodeDecoder = (*RuleSelector)(nil)
)

// An Include is a path, or {path, strategy}.
func (e *Include) decodeNode(d *decoder, n *yaml.Node, path string) {
	e.Strategy = "append"
	if n.Kind == yaml.ScalarNode {
		e.Path = n.Value
	} else {
		d.structure(n, reflect.ValueOf(e).Elem(), path)
	}
	if e.Path == "" {
		d.report(Error, n, path, "path is missing")
	}
}

// AppendOutputs are a list, or a single addition, as "-o
// append_output.suggested_output=false" produces. (Falco adds nothing then; for
// false that is the same.)
func (a *AppendOutputs) decodeNode(d *decoder, n *yaml.Node, path string) {
	if n.Kind == yaml.MappingNode {
		n = &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{n}}
	}
	d.slice(n, reflect.ValueOf(a).Elem(), path, "")
}

// ExtraFields are a list of fields' names and of maps from NAME to FORMAT.
func (f *ExtraFields) decodeNode(d *decoder, n *yaml.Node, path string) {
	*f = nil
	d.list(n, path, func(n *yaml.Node, path string) {
		switch {
		case n.Kind == yaml.ScalarNode && n.Value != "":
			*f = append(*f, ExtraField{Name: n.Value})
		case n.Kind == yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				*f = append(*f, ExtraField{Name: n.Content[i].Value, Format: d.text(n.Content[i+1], path)})
			}
		default:
			d.expected(n, path, "a field's name, or {NAME: FORMAT}")
		}
	})
}

func (i *Interval) decodeNode(d *decoder, n *yaml.Node, path string) {
	v, err := parseInterval(d.text(n, path))
	if err != nil {
		d.report(Error, n, path, err.Error())
		return
	}
	*i = v
}

func (s *RuleSwitch) decodeNode(d *decoder, n *yaml.Node, path string) {
	d.structure(n, reflect.ValueOf(s).Elem(), path)
	if (s.Enable == nil) == (s.Disable == nil) {
		d.report(Error, n, path, "expected either enable or disable")
	}
}

func (s *RuleSelector) decodeNode(d *decoder, n *yaml.Node, path string) {
	d.structure(n, reflect.ValueOf(s).Elem(), path)
	if (s.Rule == "") == (s.Tag == "") {
		d.report(Error, n, path, "expected either rule or tag")
	}
}
