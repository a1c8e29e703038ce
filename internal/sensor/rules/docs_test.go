package rules_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
)

const docs = "../../../docs/"

// TestDocs tries every example of docs/rules.md: files must load without a
// warning, conditions compile, and broken conditions give the error beside
// them.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile(docs + "rules.md")
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for i, block := range strings.Split(string(text), "\n```") {
		if i%2 == 0 {
			continue // text between blocks
		}
		kind, body, _ := strings.Cut(block, "\n")
		counts[kind]++
		switch kind {
		case "yaml":
			_, report := rules.Load([]rules.Source{{Name: "example", Content: []byte(body)}}, rules.Options{Lookup: field.Lookup})
			for _, res := range report.Results {
				for _, issue := range append(res.Errors, res.Warnings...) {
					if issue.Code != rules.WarnUnusedMacro && issue.Code != rules.WarnUnusedList {
						t.Errorf("%s\n%s", body, issue.Text())
					}
				}
			}
		case "condition":
			for _, line := range strings.Split(strings.TrimSpace(body), "\n") {
				if err := compileText(line); err != nil {
					t.Errorf("%s: %v", line, err)
				}
			}
		case "error":
			for _, line := range strings.Split(strings.TrimSpace(body), "\n") {
				cond, want, _ := strings.Cut(line, "#")
				if err := compileText(strings.TrimSpace(cond)); err == nil || err.Error() != strings.TrimSpace(want) {
					t.Errorf("%s: error %v", line, err)
				}
			}
		}
	}
	if counts["yaml"] < 4 || counts["condition"] < 4 || counts["error"] < 1 {
		t.Errorf("examples: %v", counts)
	}
}

func compileText(text string) error {
	n, err := filter.Parse(text)
	if err != nil {
		return err
	}
	if err := filter.Resolve(n, field.Lookup); err != nil {
		return err
	}
	_, err = filter.NewCompiler(field.Lookup).Compile(filter.Widen(n))
	return err
}

// TestDefaultDocs compares docs/rules-default.md with the rules inside the
// binary; PEREGRINE_UPDATE=1 rewrites it.
func TestDefaultDocs(t *testing.T) {
	var b strings.Builder
	b.WriteString("<!-- Generated from rules/*.yaml by: PEREGRINE_UPDATE=1 go test ./internal/sensor/rules -run DefaultDocs -->\n" +
		"# The default rules\n\n" +
		"These rules are inside the binary. They apply if the configuration names no rules files. They detect the same as\n" +
		"Falco's rules of the same names, but share no text with them. Rules marked *off* are noisy on many hosts; enable them\n" +
		"with `rules: [{enable: {rule: NAME}}]`. To adapt a rule, append to its lists, macros or condition in a rules file, or\n" +
		"give it exceptions: see [rules.md](rules.md).\n")
	file := ""
	for _, r := range loadDefaults(t).Rules {
		if r.File != file {
			file = r.File
			fmt.Fprintf(&b, "\n## %s\n\n| rule | priority | | events | finds | tags |\n|---|---|---|---|---|---|\n", strings.TrimSuffix(r.File, ".yaml"))
		}
		off := ""
		if !r.Enabled {
			off = "off"
		}
		events := r.Source
		if r.Source == field.SyscallSource {
			events = strings.Join(filter.Names(r.AST), " ")
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", r.Name, r.Priority, off, events,
			strings.ReplaceAll(strings.Join(strings.Fields(r.Desc), " "), "|", `\|`), strings.Join(r.Tags, " "))
	}
	name := docs + "rules-default.md"
	if os.Getenv("PEREGRINE_UPDATE") != "" {
		if err := os.WriteFile(name, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("%s is not up to date (-have +want):\n%s", name, diff)
	}
}
