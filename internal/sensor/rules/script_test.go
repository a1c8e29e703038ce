package rules

import (
	"fmt"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/test/support/script"
)

// The scripts of testdata/load load rules files. The input of
//
//	load SOURCE...
//
// is one file, or several, each after a line "== NAME". The arguments are the
// sources of events that exist, by default syscall alone. The output has the
// rules as evaluated, then errors and warnings.
func TestScripts(t *testing.T) {
	script.Run(t, *rewrite, "testdata/load/*.txt", func(*testing.T) func(*testing.T, script.Block) string {
		return func(t *testing.T, b script.Block) string {
			if b.Command != "load" {
				t.Fatalf("line %d: no command %q", b.Line, b.Command)
			}
			set, report := Load(split(b.Input), Options{Lookup: field.Lookup, Sources: b.Args})
			var out strings.Builder
			if set != nil {
				for _, r := range set.Rules {
					showRule(&out, r)
				}
				for _, r := range set.Foreign {
					fmt.Fprintf(&out, "foreign %s (%s)\n", r.Name, r.Source)
				}
			}
			for _, res := range report.Results {
				showIssues(&out, "error", res.Errors)
				showIssues(&out, "warning", res.Warnings)
				for _, w := range res.SchemaWarnings {
					fmt.Fprintf(&out, "schema %s: %s\n", res.Name, w)
				}
			}
			return out.String()
		}
	})
}

// split returns the files of an input.
func split(input string) (files []Source) {
	for line := range strings.Lines(input) {
		name, starts := strings.CutPrefix(line, "== ")
		switch {
		case starts:
			files = append(files, Source{Name: strings.TrimSpace(name)})
			continue
		case len(files) == 0:
			files = []Source{{Name: "rules.yaml"}}
		}
		last := &files[len(files)-1]
		last.Content = append(last.Content, line...)
	}
	return files
}

func showRule(out *strings.Builder, r *Rule) {
	fmt.Fprintf(out, "%s: %s\n", r.Name, r.AST)
	if r.Node.String() != r.AST.String() {
		fmt.Fprintf(out, "  evaluated: %s\n", r.Node)
	}
	fmt.Fprintf(out, "  %s, %s, %s, %s, %s:%d\n", r.Priority, map[bool]string{true: "enabled", false: "disabled"}[r.Enabled],
		r.Source, strings.Join(r.Tags, " "), r.File, r.Line)
	fmt.Fprintf(out, "  %s; %s\n", r.Desc, r.Output)
}

func showIssues(out *strings.Builder, kind string, issues []Issue) {
	for _, i := range issues {
		at := i.Locations[len(i.Locations)-1]
		fmt.Fprintf(out, "%s %s:%d:%d: %s: %s\n", kind, at.Name, at.Line, at.Column, i.Code, i.Message)
	}
}
