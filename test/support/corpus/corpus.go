// Package corpus provides the rule files and captures that test the claims of
// docs/compatibility.md: always those of this repository, and Falco's own, which
// are not part of it, if available.
package corpus

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// RuleSet is a list of rule files that are loaded in this order.
type RuleSet struct {
	Name  string
	Files []string // paths
}

// Rules returns the sets of rule files: of this repository, and of Falco.
func Rules(t testing.TB) []RuleSet {
	t.Helper()
	dir := own(t, "rules")
	base, site := filepath.Join(dir, "base.yaml"), filepath.Join(dir, "site.yaml")
	sets := []RuleSet{{"corpus base", []string{base}}, {"corpus base and site", []string{base, site}}}
	if upstream := Upstream(t, "rules"); upstream != "" {
		stable, incubating := filepath.Join(upstream, "falco_rules.yaml"), filepath.Join(upstream, "falco-incubating_rules.yaml")
		sets = append(sets, RuleSet{"stable", []string{stable}}, RuleSet{"stable and incubating", []string{stable, incubating}})
	}
	return sets
}

// Captures returns the paths of all capture files.
func Captures(t testing.TB) []string {
	t.Helper()
	files := glob(t, own(t, "captures"))
	if upstream := Upstream(t, "scap"); upstream != "" {
		files = append(files, glob(t, upstream)...)
	}
	return files
}

func glob(t testing.TB, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.scap"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatalf("no captures in %s", dir)
	}
	return files
}

// Upstream returns the path of a file or directory of Falco's project below
// PEREGRINE_SHARED/testdata, or below shared/testdata beside this repository;
// "" if it is not there.
func Upstream(t testing.TB, name string) string {
	t.Helper()
	shared := os.Getenv("PEREGRINE_SHARED")
	if shared == "" {
		shared = filepath.Join(filepath.Dir(root(t)), "shared")
	}
	path := filepath.Join(shared, "testdata", name)
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// Need is Upstream for a test that says nothing without it: the test is
// skipped. Its twin over the files of this repository runs always.
func Need(t testing.TB, name string) string {
	t.Helper()
	path := Upstream(t, name)
	if path == "" {
		t.Skipf("needs %s of Falco's project: set PEREGRINE_SHARED", name)
	}
	return path
}

func own(t testing.TB, name string) string {
	t.Helper()
	return filepath.Join(root(t), "test", "support", "corpus", "testdata", name)
}

// root is the directory of this repository: the first above the test's that
// holds a go.mod.
func root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
	}
	t.Fatal("no go.mod above the test's directory")
	return ""
}

// FalcoRule holds the public facts about a rule in Falco's rule files.
type FalcoRule struct {
	Name    string
	Enabled bool
	Tags    []string
}

// Maturity is the tag that says in which file the rule is, without its prefix.
func (r FalcoRule) Maturity() string {
	for _, tag := range r.Tags {
		if maturity, ok := strings.CutPrefix(tag, "maturity_"); ok {
			return maturity
		}
	}
	return ""
}

// FalcoRules lists Falco's stable and incubating rules.
func FalcoRules(t testing.TB) []FalcoRule {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(own(t, "rules"), "falco.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var list []FalcoRule
	for line := range strings.Lines(string(content)) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "#") {
			continue
		}
		parts := strings.Split(line, " | ")
		if len(parts) != 3 {
			t.Fatalf("%q: expected NAME | on or off | TAGS", line)
		}
		list = append(list, FalcoRule{Name: parts[0], Enabled: parts[1] == "on", Tags: strings.Fields(parts[2])})
	}
	return list
}
