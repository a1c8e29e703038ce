package config

import (
	"reflect"

	"go.yaml.in/yaml/v3"
)

// The types that have more than one form in YAML.
var (
	_ nodeDecoder = (*Include)(nil)
	_ nodeDecoder = (*ExtraField)(nil)
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

// An ExtraField is a field's name, or {NAME: FORMAT}.
func (f *ExtraField) decodeNode(d *decoder, n *yaml.Node, path string) {
	if n.Kind == yaml.MappingNode && len(n.Content) == 2 {
		f.Name = n.Content[0].Value
		f.Format = d.text(n.Content[1], path)
		return
	}
	if n.Kind != yaml.ScalarNode || n.Value == "" {
		d.expected(n, path, "a field's name, or {NAME: FORMAT}")
		return
	}
	f.Name = n.Value
}

func (i *Interval) decodeNode(d *decoder, n *yaml.Node, path string) {
	v, err := ParseInterval(d.text(n, path))
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
