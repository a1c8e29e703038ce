package sensor

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
)

// An unknown name is logged once, and a name of this machine is resolved before
// the first event.
func TestHostsOfRules(t *testing.T) {
	text := "- rule: r\n  desc: d\n  condition: evt.type = connect and fd.sip.name in (localhost, nosuch.invalid)\n  output: o\n  priority: INFO\n"
	set, report := rules.Load([]rules.Source{{Name: "r.yaml", Content: []byte(text)}}, RuleOptions())
	if set == nil {
		t.Fatal(report.Err())
	}
	p, err := plan.New(set.Rules, plan.Options{Lookup: field.Lookup})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s := &sensor{log: slog.New(slog.NewTextHandler(&log, nil))}
	failed := s.findHosts(t.Context(), p.Hosts, nil)
	if len(failed) != 1 || failed["nosuch.invalid"] == nil {
		t.Errorf("not found: %v", failed)
	}
	failed = s.findHosts(t.Context(), p.Hosts, failed)
	failed["localhost"] = failed["nosuch.invalid"]
	s.findHosts(t.Context(), p.Hosts, failed)
	if got := log.String(); strings.Count(got, "host=nosuch.invalid") != 1 || strings.Count(got, "is known\" host=localhost") != 1 {
		t.Errorf("log:\n%s", got)
	}
}

// The sensor looks hosts up when it loads rules.
func TestHostsAreLookedUpAtLoad(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/r.yaml", "- rule: r\n  desc: d\n  condition: evt.type = connect and fd.rip.name = nosuch.invalid\n  output: o\n  priority: INFO\n")
	write(t, dir+"/falco.yaml", "rules_files: ["+dir+"/r.yaml]\nwebserver: {enabled: false}\n")
	stderr := &watched{}
	told := stderr.saw("host=nosuch.invalid")
	err := Run(t.Context(), Options{
		LoadConfig: func() (*config.Config, error) { return config.Load(config.Options{Path: dir + "/falco.yaml"}) },
		Stderr:     stderr, Getenv: func(string) string { return "" }, DryRun: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	<-told // the lookup ends by itself
}
