package sensor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
)

// Silent defects are logged at the start: rules that nothing can match, and
// unknown names of syscalls.
func TestWarnsAtStart(t *testing.T) {
	dir := t.TempDir()
	rules := filepath.Join(dir, "rules.yaml")
	write(t, rules, `
- {rule: Reads, desc: d, condition: evt.type=read, output: o, priority: INFO}
- {rule: Traces, desc: d, condition: evt.type=ptrace, output: o, priority: INFO}
- {rule: Lives, desc: d, condition: evt.type=unlink, output: o, priority: INFO}
`)
	log := &watched{}
	err := Run(t.Context(), Options{
		LoadConfig: func() (*config.Config, error) {
			return config.Load(config.Options{Path: "/dev/null", RulesFiles: []string{rules}, Overrides: []string{
				"base_syscalls.custom_set=[opne, \"!nosuch\", \"!ptrace\"]",
			}})
		},
		Stdout: os.Stdout, Stderr: log, Getenv: func(string) string { return "" }, DryRun: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`rule=Reads why="read: looked at with -A (base_syscalls.all) only"`,
		`rule=Traces why="ptrace: removed by base_syscalls.custom_set"`,
		"Invalid (positive) syscall names: warning (base_syscalls override): opne",
		"Invalid (negative) syscall names: warning (base_syscalls override): nosuch",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not have %s", want)
		}
	}
	if strings.Contains(log.String(), "rule=Lives") || t.Failed() {
		t.Errorf("%s", log)
	}
}
