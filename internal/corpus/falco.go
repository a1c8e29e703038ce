package corpus

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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
