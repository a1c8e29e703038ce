package rules

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/test/support/corpus"
)

func sources(t testing.TB, set corpus.RuleSet) (files []Source) {
	t.Helper()
	for _, path := range set.Files {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, Source{Name: filepath.Base(path), Content: content})
	}
	return files
}

// The rule files of the corpus load without an error, and with no warning
// except about unused definitions and the older ways to append.
func TestCorpusLoads(t *testing.T) {
	counts := map[string]int{"corpus base": 10, "corpus base and site": 10, "stable": 25, "stable and incubating": 56}
	for _, rs := range corpus.Rules(t) {
		set, report := Load(sources(t, rs), Options{Lookup: field.Lookup})
		if err := report.Err(); err != nil {
			t.Fatal(err)
		}
		if len(set.Rules) != counts[rs.Name] {
			t.Errorf("%s: %d rules, want %d", rs.Name, len(set.Rules), counts[rs.Name])
		}
		for _, res := range report.Results {
			for _, w := range res.Warnings {
				if w.Code != WarnUnusedMacro && w.Code != WarnUnusedList && (w.Code != WarnDeprecatedItem || rs.Name != "corpus base and site") {
					t.Errorf("%s: %s", rs.Name, w.Text())
				}
			}
		}
	}
}

func BenchmarkLoadUpstream(b *testing.B) {
	corpus.Need(b, "rules")
	sets := corpus.Rules(b)
	files := sources(b, sets[len(sets)-1])
	for b.Loop() {
		if _, report := Load(files, Options{Lookup: field.Lookup}); !report.OK() {
			b.Fatal(report.Err())
		}
	}
}
