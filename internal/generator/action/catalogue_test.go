package action

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/test/support/corpus"
)

// The catalogue holds event-generator's actions under their names, with their
// defaults, and besides them only noise.
func TestCatalogueIsEventGenerators(t *testing.T) {
	content, err := os.ReadFile("testdata/event-generator.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, line := range strings.Split(strings.TrimSpace(string(content)), "\n") {
		if name, state, found := strings.Cut(line, " "); found && name != "#" {
			want[name] = state == "enabled"
		}
	}
	if len(want) != 86 {
		t.Fatalf("the list has %d actions, not 86", len(want))
	}
	for name, enabled := range want {
		a, ok := Lookup(name)
		if !ok {
			t.Errorf("%s is missing", name)
		} else if a.Default != enabled {
			t.Errorf("%s is enabled: %v, want %v", name, a.Default, enabled)
		}
	}
	for _, a := range All() {
		if _, known := want[a.Name]; !known && a.Collection() != "noise" {
			t.Errorf("%s is not event-generator's", a.Name)
		}
	}
}

func TestCatalogueIsComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range All() {
		collection, short, _ := cutName(a.Name)
		switch {
		case seen[a.Name]:
			t.Errorf("%s is there twice", a.Name)
		case a.Summary == "" || a.RuleSet == "" || a.Needs.Place == "" || a.Cost == "" || a.Bench == "":
			t.Errorf("%s says not enough of itself: %+v", a.Name, a)
		case (a.Rule == "") != (a.RuleSet == NoRule), (collection == "syscall") != (a.RuleSet == Stable || a.RuleSet == Incubating || a.RuleSet == Sandbox):
			t.Errorf("%s: rule %q of %s", a.Name, a.Rule, a.RuleSet)
		case a.Bench != BenchYes && a.BenchWhy == "":
			t.Errorf("%s does not say why it is not fit for bench", a.Name)
		case a.Cost == Process && len(a.Spawns) == 0:
			t.Errorf("%s starts processes without names", a.Name)
		case a.prepare == nil && a.Needs.Place != Cluster:
			t.Errorf("%s cannot be prepared", a.Name)
		}
		seen[a.Name] = true
		// event-generator finds the action of an alert by this. Three rules
		// have been renamed since, or their action shortens them.
		letters := strings.Map(func(r rune) rune {
			if strings.ContainsRune(" /()_-+", r) {
				return -1
			}
			return r
		}, a.Rule)
		if a.Rule != "" && !strings.EqualFold(letters, short) {
			t.Errorf("%s: rule %q does not give its name", a.Name, a.Rule)
		}
	}
}

// Every stable and incubating rule that an action names is one of Falco's, with
// the tags that the action gives.
func TestRulesExist(t *testing.T) {
	rules := map[string]corpus.FalcoRule{}
	for _, r := range corpus.FalcoRules(t) {
		rules[r.Name] = r
	}
	for _, a := range All() {
		if a.RuleSet != Stable && a.RuleSet != Incubating {
			continue
		}
		rule, ok := rules[a.Rule]
		if !ok {
			t.Errorf("%s: no rule %q", a.Name, a.Rule)
			continue
		}
		if rule.Maturity() != string(a.RuleSet) {
			t.Errorf("%s: rule is of %v, not %s", a.Name, rule.Tags, a.RuleSet)
		}
		for _, tag := range a.Tags {
			if !slices.Contains(rule.Tags, tag) {
				t.Errorf("%s: rule has no tag %s: %v", a.Name, tag, rule.Tags)
			}
		}
		if rule.Enabled == a.RuleOff {
			t.Errorf("%s: rule is enabled: %v", a.Name, rule.Enabled)
		}
	}
}
