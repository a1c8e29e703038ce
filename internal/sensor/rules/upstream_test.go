package rules

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

// sharedFile reads a file of the upstream data; the test is skipped where
// there is none.
func sharedFile(t testing.TB, name string) Source {
	t.Helper()
	dir := os.Getenv("PEREGRINE_SHARED")
	if dir == "" {
		wd, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for d := wd; d != filepath.Dir(d); d = filepath.Dir(d) {
			if _, err := os.Stat(filepath.Join(d, "shared", "testdata")); err == nil {
				dir = filepath.Join(d, "shared")
				break
			}
		}
	}
	content, err := os.ReadFile(filepath.Join(dir, "testdata", "rules", name))
	if os.IsNotExist(err) || dir == "" {
		t.Skip("no upstream rules here")
	}
	if err != nil {
		t.Fatal(err)
	}
	return Source{Name: name, Content: content}
}

func TestUpstreamLoads(t *testing.T) {
	stable, incubating := sharedFile(t, "falco_rules.yaml"), sharedFile(t, "falco-incubating_rules.yaml")
	for _, tt := range []struct {
		files []Source
		rules int
	}{{[]Source{stable}, 25}, {[]Source{incubating}, 31}, {[]Source{stable, incubating}, 56}} {
		set, report := Load(tt.files, Options{Lookup: field.Lookup})
		if err := report.Err(); err != nil {
			t.Fatal(err)
		}
		if len(set.Rules) != tt.rules {
			t.Errorf("%d rules, want %d", len(set.Rules), tt.rules)
		}
		for _, res := range report.Results {
			for _, w := range res.Warnings {
				if w.Code != WarnUnusedMacro && w.Code != WarnUnusedList {
					t.Errorf("%s", w.Text())
				}
			}
		}
	}
}

func BenchmarkLoadUpstream(b *testing.B) {
	files := []Source{sharedFile(b, "falco_rules.yaml"), sharedFile(b, "falco-incubating_rules.yaml")}
	for b.Loop() {
		if _, report := Load(files, Options{Lookup: field.Lookup}); !report.OK() {
			b.Fatal(report.Err())
		}
	}
}
