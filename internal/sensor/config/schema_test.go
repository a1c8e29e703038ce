package config

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// Every key of the reference is in the schema.
func TestSchemaHasEveryKey(t *testing.T) {
	var b bytes.Buffer
	if err := WriteSchema(&b); err != nil {
		t.Fatal(err)
	}
	type node struct {
		Version    string `json:"$schema"`
		Type, Enum []string
		Maximum    *float64
		Items      *node
		Properties map[string]*node
		Additional any `json:"additionalProperties"`
	}
	var root node
	if err := json.Unmarshal(b.Bytes(), &root); err != nil {
		t.Fatal(err)
	}
	find := func(path string) *node {
		n := &root
		for name := range strings.SplitSeq(path, ".") {
			name, isList := strings.CutSuffix(name, "[]")
			if n = n.Properties[name]; n == nil {
				return nil
			}
			if isList {
				n = n.Items
			}
		}
		return n
	}
	for _, k := range Keys() {
		if !strings.HasPrefix(k.Path, "plugins.") && find(k.Path) == nil {
			t.Errorf("%s is not in the schema", k.Path)
		}
	}
	if n := find("rule_matching"); len(n.Enum) != 2 || n.Type[0] != "string" {
		t.Errorf("rule_matching: %+v", n)
	}
	if n := find("engine.modern_ebpf.buf_size_preset"); n.Maximum == nil || *n.Maximum != 10 || n.Type[0] != "integer" {
		t.Errorf("buf_size_preset: %+v", n)
	}
	if root.Version != "http://json-schema.org/draft-06/schema#" || root.Additional != false {
		t.Errorf("%s, further keys allowed: %v", root.Version, root.Additional)
	}
}
