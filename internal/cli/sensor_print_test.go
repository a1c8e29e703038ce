package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Output of the flags that print instead of running, in the form that tools for
// Falco parse.
func TestSensorPrints(t *testing.T) {
	rules := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(rules, []byte(testRules), 0o600); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "falco.yaml")
	if err := os.WriteFile(config, []byte(`append_output:
  - extra_output: exe=%proc.exe
    extra_fields: [proc.cwd, {who: "%user.name"}]
    match: {rule: Shell started}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		code int
		want []string // regular expressions in standard output and error
	}{
		{[]string{"--version"}, 0, []string{
			`Falco version: \d+\.\d+\.\d+`, `Libs version:\s+\d+\.\d+\.\d+`, `Plugin API:\s+\d+\.\d+\.\d+\n`, `Engine:\s+\d+\.\d+\.\d+`,
			`API version:\s+\d+\.\d+\.\d+`, `Schema version:\s+\d+\.\d+\.\d+`, `Default driver:\s+\d+\.\d+\.\d+`,
		}},
		{[]string{"--version", "-o", "json_output=true"}, 0, []string{`"plugin_api_version":"\d+\.\d+\.\d+"`, `"engine_version":"62"`}},
		{[]string{"--list-plugins"}, 0, []string{`^\d+ Plugins Loaded:`, `Name: container`}},
		{[]string{"--plugin-info", "container"}, 0, []string{`Name: container`, `Version: \d+\.\d+\.\d+`}},
		{[]string{"--plugin-info", "cloudtrail"}, 1, []string{`Error: --plugin-info cloudtrail: plugin not found`}},
		{[]string{"--config-schema"}, 0, []string{`draft-06/schema`, `"rule_matching"`}},
		{[]string{"--rule-schema"}, 0, []string{`draft-06/schema`, `"required_engine_version"`}},
		{[]string{"-L", "-r", rules, "-c", config, "-o", "json_output=true"}, 0, []string{
			`"output":"shell %proc.name"`, `"output_compiled":"shell %proc.name exe=%proc.exe"`,
			`"output_fields":\["proc.cwd","proc.exe","proc.name"\]`, `"extra_output_formatted_fields":{"who":"%user.name"}`,
		}},
		{[]string{"-L", "-r", rules, "-o", "json_output=true"}, 0, []string{`"output_compiled":"shell %proc.name container_id=%container.id`}},
		{[]string{"-l", "Shell started", "-r", rules, "-p", "pid=%proc.pid", "-o", "append_output=[]", "-o", "json_output=true"}, 0,
			[]string{`"output_compiled":"shell %proc.name pid=%proc.pid"`}},
		{[]string{"--dry-run", "-o", "rule_matching=any"}, 1, []string{`Unknown rule matching strategy`}},
		{[]string{"--dry-run", "-o", "syscall_event_drops.threshold=2"}, 1, []string{`threshold must be a double in the range`}},
	} {
		stdout, stderr, code := command(t, append([]string{"sensor"}, tt.args...)...)
		if code != tt.code {
			t.Errorf("%v: exit code %d: %s", tt.args, code, stderr)
		}
		for _, want := range tt.want {
			if !regexp.MustCompile(want).MatchString(stdout + stderr) {
				t.Errorf("%v: no %s in:\n%.2000s%s", tt.args, want, stdout, stderr)
			}
		}
		if strings.HasSuffix(tt.args[0], "-schema") && !json.Valid([]byte(stdout)) {
			t.Errorf("%v: no JSON", tt.args)
		}
	}
}
