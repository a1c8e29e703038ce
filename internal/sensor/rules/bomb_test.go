package rules

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

// TestBombs loads small files that would expand to gigantic ones.
func TestBombs(t *testing.T) {
	var aliases strings.Builder
	fmt.Fprintf(&aliases, "- list: a\n  items: &x [%s1]\n", strings.Repeat("1,", 3000))
	for i := range 3000 {
		fmt.Fprintf(&aliases, "- list: a%d\n  items: *x\n", i)
	}
	nested := "- &a [x]\n"
	for i := 'b'; i < 'k'; i++ {
		nested += fmt.Sprintf("- &%c [%s*%c]\n", i, strings.Repeat(fmt.Sprintf("*%c,", i-1), 9), i-1)
	}
	tests := []struct{ name, content, want string }{
		{"aliases", aliases.String(), "File has more than 2000000 values when its aliases are followed"},
		{"nested aliases", nested, "Unexpected element type"},
		{"deep yaml", strings.Repeat("[", 100_000), "exceeded max depth"},
		{"deep flow", "- list: a\n  items: " + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + "\n", "sequence value is not scalar"},
		{"parentheses", "- macro: m\n  condition: " + strings.Repeat("(", 1_000_000) + "\n", "exceeded max depth limit of 1000"},
		{"appends", "- macro: m\n  condition: evt.type = open\n" + strings.Repeat("- macro: m\n  condition: or evt.type = open and evt.type = close\n  override: {condition: append}\n", 20_000),
			"Text grows beyond 262144 bytes"},
		{"appends to a list", "- list: a\n  items: [x]\n" + strings.Repeat("- list: a\n  items: [x]\n  append: true\n", 50_000) + "- macro: m\n",
			"Item has no mapping for key 'condition'"},
		{"empty lists", "- list: none\n  items: []\n- macro: m\n  condition: proc.name in (" + strings.Repeat("none, ", 100_000) + "\n", "expected a ')' token"},
		{"unknown keys", "- macro: m\n" + strings.Repeat("- macro: m\n  condition: evt.type = open\n  x: y\n", 30_000), "Item has no mapping for key 'condition'"},
		{"nots", "- macro: m\n  condition: " + strings.Repeat("not ", 1_000_000) + "\n", "Undefined macro 'not' used"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			done := time.AfterFunc(time.Minute, func() { panic("hangs") })
			defer done.Stop()
			_, report := Load([]Source{{Name: tt.name, Content: []byte(tt.content)}}, Options{Lookup: field.Lookup})
			if err := report.Err(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %.200v, want %s", err, tt.want)
			}
		})
	}
}

func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		"- list: a\n  items: [b, c]\n- macro: m\n  condition: proc.name in (a)\n- rule: r\n  desc: d\n  condition: evt.type = open and m\n  output: o %fd.name\n  priority: INFO\n",
		"- rule: r\n  desc: d\n  condition: evt.type = open\n  output: o\n  priority: INFO\n  exceptions:\n    - name: e\n      fields: [proc.name, fd.name]\n      comps: [in, startswith]\n      values:\n        - [[a, b], /etc]\n",
		"- required_engine_version: 0.57.0\n- required_plugin_versions:\n    - name: container\n      version: 0.4.0\n",
		"- list: a\n  items: &x [b]\n- list: c\n  items: *x\n  override: {items: append}\n",
		"- macro: m\n  condition: \"evt.type = 'open\\\\'\"\n  append: true\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		set, report := Load([]Source{{Name: "f", Content: content}}, Options{Lookup: field.Lookup})
		if (set == nil) != (report.Err() != nil) {
			t.Fatal("a Set and an error, or neither")
		}
		if set == nil {
			return
		}
		if _, err := set.Describe("", alert.Options{}); err != nil {
			t.Fatal(err)
		}
	})
}
