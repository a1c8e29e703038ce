package action

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Filter selects actions by their properties; "" selects all.
type Filter struct{ Tag, Risk, Bench, RuleSet string }

// Apply returns the actions that pass, or an error if none does.
func (f Filter) Apply(actions []*Action) ([]*Action, error) {
	for _, check := range []struct {
		name, value string
		known       []string
	}{
		{"risk", f.Risk, []string{string(NoRisk), string(FilesRisk), string(NetworkRisk)}},
		{"bench", f.Bench, []string{string(BenchYes), string(BenchSlow), string(BenchNo)}},
		{"ruleset", f.RuleSet, []string{string(Stable), string(Incubating), string(Sandbox), string(K8sAudit), string(NoRule)}},
	} {
		if check.value != "" && !slices.Contains(check.known, check.value) {
			return nil, fmt.Errorf("--%s %q: expected one of %s", check.name, check.value, strings.Join(check.known, ", "))
		}
	}
	var passed []*Action
	for _, a := range actions {
		if f.matches(a) {
			passed = append(passed, a)
		}
	}
	if len(passed) == 0 {
		return nil, fmt.Errorf("none of the %d selected actions passes the filters", len(actions))
	}
	return passed, nil
}

func (f Filter) matches(a *Action) bool {
	return (f.Tag == "" || slices.Contains(a.Tags, f.Tag)) && (f.Risk == "" || f.Risk == string(a.Risk())) &&
		(f.Bench == "" || f.Bench == string(a.Bench)) && (f.RuleSet == "" || f.RuleSet == string(a.RuleSet))
}

// WriteList writes actions as "table", "json", "markdown" or "name".
func WriteList(w io.Writer, actions []*Action, format string) error {
	switch format {
	case "name":
		for _, a := range actions {
			if _, err := fmt.Fprintln(w, a.Name); err != nil {
				return err
			}
		}
		return nil
	case "json":
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(rows(actions))
	case "table":
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "ACTION\tRULE\tRULE SET\tNEEDS\tCOST\tBENCH\tRISK")
		for _, r := range rows(actions) {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Name, r.ruleText(), r.RuleSet, r.needsText(), r.Cost, r.Bench, r.Risk)
		}
		return table.Flush()
	case "markdown":
		fmt.Fprintln(w, "| action | what it does | rule | rule set | needs | cost | bench | risk | default |\n|---|---|---|---|---|---|---|---|---|")
		for _, r := range rows(actions) {
			_, err := fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n",
				r.Name, r.Summary, r.ruleText(), r.RuleSet, r.needsText(), r.Cost, r.Bench, r.Risk, map[bool]string{true: "yes"}[r.Default])
			if err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("output format %q: expected table, json, markdown or name", format)
}

// row is an action as lists show it.
type row struct {
	*Action
	Risk Risk `json:"risk"`
}

func rows(actions []*Action) []row {
	list := make([]row, 0, len(actions))
	for _, a := range actions {
		list = append(list, row{a, a.Risk()})
	}
	return list
}

func (r row) ruleText() string {
	switch {
	case r.Rule == "":
		return "-"
	case r.RuleOff:
		return r.Rule + " (disabled)"
	}
	return r.Rule
}

func (r row) needsText() string {
	var needs []string
	if r.Needs.Place != Anywhere {
		needs = append(needs, string(r.Needs.Place))
	}
	if r.Needs.Root {
		needs = append(needs, "root")
	}
	if len(needs) == 0 {
		return "-"
	}
	return strings.Join(needs, ", ")
}
