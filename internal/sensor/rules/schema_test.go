package rules

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

// Schema warnings for files that Load accepts.
func TestSchema(t *testing.T) {
	const rest = "  condition: evt.type = open\n  output: o\n"
	tests := []struct {
		name, text string
		want       []string
	}{
		{"sound", "- required_engine_version: 0.57.0\n- list: l\n  items: [a, 5, 'x y', true]\n- macro: m\n  condition: proc.name in (l)\n" +
			"- rule: r\n  desc: d\n  priority: WARNING\n  enabled: yes\n  tags: [x]\n" + rest +
			"  exceptions:\n  - name: e\n    fields: [proc.name, fd.name]\n    comps: [in, startswith]\n    values:\n    - [[a, b], /etc]\n" +
			"---\n- null\n---\n", []string{}},
		{"a number for a version", "- required_engine_version: 57\n", []string{"f.yaml:1:28: required_engine_version: expected string, found integer"}},
		{"types", "- rule: r\n  desc: d\n  priority: INFO\n  enabled: \"true\"\n  tags: [1.5]\n" + rest, []string{
			"f.yaml:4:12: enabled: expected boolean, found string", "f.yaml:5:10: tags: expected string, found number",
		}},
		{"unknown keys", "- list: l\n  items: []\n  color: red\n- whatever: x\n", []string{
			"f.yaml:3:3: rules: unknown key color", "f.yaml:4:3: rules: unknown key whatever",
		}},
		{"an alias", "- list: &x 5\n  items: []\n- list: *x\n  items: [a]\n", []string{
			"f.yaml:1:9: list: expected string, found integer", "f.yaml:1:9: list: expected string, found integer",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set, report := Load([]Source{{Name: "f.yaml", Content: []byte(tt.text)}}, Options{Lookup: field.Lookup})
			if set == nil {
				t.Fatal(report.Err())
			}
			if diff := cmp.Diff(tt.want, report.Results[0].SchemaWarnings); diff != "" {
				t.Error(diff)
			}
			var b bytes.Buffer
			if err := report.WriteJSON(&b, nil); err != nil {
				t.Fatal(err)
			}
			want := `"schema_valid":false,"schema_warnings":["`
			if len(tt.want) == 0 {
				want = `"schema_valid":true,"schema_warnings":[]`
			}
			if !strings.Contains(b.String(), want) {
				t.Errorf("no %s in %s", want, &b)
			}
		})
	}
}

// Every key that the reader knows is in the schema, and no other.
func TestSchemaKeys(t *testing.T) {
	known := map[string]bool{}
	for _, set := range []map[string]bool{engineKeys, pluginsKeys, listKeys, macroKeys, ruleKeys} {
		for key := range set {
			known[key] = true
		}
	}
	for what, pair := range map[string][2]map[string]bool{
		"item":      {known, keysOf(fileSchema.items)},
		"exception": {exceptionKeys, keysOf(fileSchema.items.keys["exceptions"].items)},
		"plugin":    {pluginKeys, keysOf(fileSchema.items.keys["required_plugin_versions"].items)},
	} {
		if diff := cmp.Diff(pair[0], pair[1]); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
}

func keysOf(s *schema) map[string]bool {
	set := map[string]bool{}
	for key := range s.keys {
		set[key] = true
	}
	return set
}

func TestWriteSchema(t *testing.T) {
	var b bytes.Buffer
	if err := WriteSchema(&b); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Type  []string
		Items struct {
			AdditionalProperties *bool
			Properties           map[string]struct{ Type []string }
		}
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if p := got.Items.Properties; got.Type[0] != "array" || *got.Items.AdditionalProperties || p["capture_duration"].Type[0] != "integer" {
		t.Error(b.String())
	}
}
