package rules_test

import (
	"os"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
)

// BenchmarkCompile loads the upstream rules and compiles them for every kind
// of event, as the sensor does at its start.
func BenchmarkCompile(b *testing.B) {
	dir := os.Getenv("PEREGRINE_SHARED")
	if dir == "" {
		dir = "../../../../shared"
	}
	var files []rules.Source
	for _, name := range []string{"falco_rules.yaml", "falco-incubating_rules.yaml"} {
		content, err := os.ReadFile(dir + "/testdata/rules/" + name)
		if err != nil {
			b.Skip(err)
		}
		files = append(files, rules.Source{Name: name, Content: content})
	}
	for b.Loop() {
		set, report := rules.Load(files, rules.Options{Lookup: field.Lookup})
		if !report.OK() {
			b.Fatal(report.Err())
		}
		p, err := plan.New(set.Rules, plan.Options{Lookup: field.Lookup})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(p.Programs()), "programs")
		b.ReportMetric(float64(p.MemoWords), "words")
		b.ReportMetric(float64(p.ProcMemoWords), "procwords")
	}
}
