package corpus

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

var update = flag.Bool("update", false, "write the list of Falco's rules anew")

// Every file that the corpus names exists, with Falco's files and without.
func TestCorpus(t *testing.T) {
	shared := t.TempDir()
	t.Setenv("PEREGRINE_SHARED", shared)
	rules, captures := len(Rules(t)), len(Captures(t))
	if rules != 2 || captures < 5 || Upstream(t, "rules") != "" {
		t.Errorf("%d sets of rules and %d captures without Falco's", rules, captures)
	}
	for path, content := range map[string]string{"rules/falco_rules.yaml": "[]", "scap/a.scap": ""} {
		path = filepath.Join(shared, "testdata", path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if r, c := len(Rules(t)), len(Captures(t)); r != rules+2 || c != captures+1 {
		t.Errorf("%d sets of rules and %d captures with Falco's, %d and %d without", r, c, rules, captures)
	}
	for _, set := range Rules(t)[:rules] {
		for _, file := range set.Files {
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: %v", set.Name, err)
			}
		}
	}
}

// The list of Falco's rules agrees with its files, if present.
func TestFalcoRules(t *testing.T) {
	if n := len(FalcoRules(t)); n != 56 {
		t.Errorf("%d rules, want 25 stable and 31 incubating", n)
	}
	dir := Need(t, "rules")
	var got strings.Builder
	got.WriteString("# Falco's stable and incubating rules: NAME | on or off | TAGS\n")
	for _, name := range []string{"falco_rules.yaml", "falco-incubating_rules.yaml"} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		var items []struct {
			Rule    string
			Tags    []string
			Enabled *bool
		}
		if err := yaml.Unmarshal(content, &items); err != nil {
			t.Fatal(err)
		}
		for _, item := range items {
			state := "on"
			if item.Enabled != nil && !*item.Enabled {
				state = "off"
			}
			if item.Rule != "" {
				fmt.Fprintf(&got, "%s | %s | %s\n", item.Rule, state, strings.Join(item.Tags, " "))
			}
		}
	}
	path := filepath.Join("testdata", "rules", "falco.txt")
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("rules (-list +files):\n%s", diff)
	}
}
