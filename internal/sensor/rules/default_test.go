package rules_test

import (
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
	embedded "github.com/peregrine-sec/peregrine/rules"
)

func loadDefaults(t testing.TB) *rules.Set {
	t.Helper()
	var files []rules.Source
	for _, name := range embedded.Names {
		files = append(files, rules.Source{Name: name, Content: embedded.Read(name)})
	}
	set, report := rules.Load(files, rules.Options{Lookup: field.Lookup, Sources: []string{field.SyscallSource, field.K8sAuditSource}})
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	for _, res := range report.Results {
		for _, w := range res.Warnings {
			// Two macros are there for local rules, which know them from Falco's.
			if last := w.Locations[len(w.Locations)-1]; last.ItemName != "never_true" && last.ItemName != "always_true" {
				t.Errorf("%s", w.Text())
			}
		}
	}
	return set
}

func TestDefaults(t *testing.T) {
	set := loadDefaults(t)
	for _, r := range set.Rules {
		if len(r.Tags) == 0 || r.Desc == "" {
			t.Errorf("%s has no tags or no description", r.Name)
		}
	}
}
