package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const testRules = `
- macro: shells
  condition: proc.name in (bash, sh)
- rule: Shell started
  desc: A shell was started.
  condition: evt.type = execve and shells
  output: shell %proc.name
  priority: NOTICE
  tags: [shell]
`

// command runs a command line and returns its output and exit code.
func command(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Main(Env{
		Args: args, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs,
		Getenv: func(string) string { return "" }, Context: context.Background(),
	})
	return out.String(), errs.String(), code
}

func TestRules(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("good.yaml", testRules)
	bad := write("bad.yaml", strings.Replace(testRules, "shells\n  output", "shels\n  output", 1))
	capture := write("empty.scap", "")
	tests := []struct {
		name string
		args []string
		code int
		want []string // parts of standard output and error
	}{
		{"check", []string{"check", good}, ExitOK, []string{"good.yaml: Ok"}},
		{"check the rules inside", []string{"check"}, ExitOK, []string{"embedded/base.yaml: Ok"}},
		{"check bad", []string{"check", bad}, ExitFailure, []string{"bad.yaml: Invalid", "LOAD_ERR_VALIDATE", "Undefined macro 'shels'", "rule 'Shell started'", "^"}},
		{"check in JSON", []string{"check", "--json", bad}, ExitFailure, []string{`{"falco_load_results":[{"errors":[{"code":"LOAD_ERR_VALIDATE"`}},
		{"check the schema", []string{"check", "--format", "json", good}, ExitOK, []string{`"schema_valid":true,"schema_warnings":[],"successful":true`}},
		{"check nothing", []string{"check", filepath.Join(dir, "none.yaml")}, ExitFailure, []string{"none.yaml"}},
		{"list", []string{"list", "-r", good}, ExitOK, []string{"RULE", "Shell started  Notice    true     shell"}},
		{"list by tag", []string{"list", "-r", good, "--tag", "other"}, ExitOK, []string{"RULE"}},
		{"list in JSON", []string{"list", "-r", good, "--format", "json"}, ExitOK, []string{`"name":"Shell started"`}},
		{"list bad", []string{"list", "-r", bad}, ExitFailure, []string{"Undefined macro", "the rules are invalid"}},
		{"explain", []string{"explain", "Shell started", "-r", good}, ExitOK, []string{"Events       execve, execveat", "exec     proc.name in (bash, sh)"}},
		{"explain a part of a name", []string{"explain", "shell", "-r", good}, ExitFailure, []string{`did you mean "Shell started"?`}},
		{"test without a capture", []string{"test", "Shell started", "-r", good}, ExitUsage, []string{"capture"}},
		{"test with an empty one", []string{"test", "Shell started", "-r", good, "--capture", capture}, ExitFailure, []string{"the file is empty"}},
		{"cost with an empty one", []string{"cost", "-r", good, "--capture", capture}, ExitFailure, []string{"the file is empty"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			stdout, stderr, code := command(t, append([]string{"rules"}, tt.args...)...)
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			for _, want := range tt.want {
				if !strings.Contains(stdout+stderr, want) {
					t.Errorf("no %q in\n%s%s", want, stdout, stderr)
				}
			}
		})
	}
}

// -V takes files and directories, several of them, in the order given.
func TestValidate(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"1.yaml": "- macro: m\n  condition: proc.name = x\n", "2.yml": strings.Replace(testRules, "and shells", "and shells and m", 1), "3.txt": "["} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	one, two := filepath.Join(dir, "1.yaml"), filepath.Join(dir, "2.yml")
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-V", dir}, ExitOK, one + ": Ok\n" + two + ": Ok\n"},
		{[]string{"-V", one + "," + two}, ExitOK, one + ": Ok\n" + two + ": Ok\n"},
		{[]string{"-V", one, "-V", two}, ExitOK, one + ": Ok\n" + two + ": Ok\n"},
		{[]string{"-V", two}, ExitFailure, two + ": Invalid\n"},
		{[]string{"-V", filepath.Join(dir, "none")}, ExitFailure, "none: no such file or directory"},
	} {
		stdout, stderr, code := command(t, append([]string{"sensor"}, tt.args...)...)
		if code != tt.code || !strings.Contains(stdout+stderr, tt.want) {
			t.Errorf("%q: exit code %d\n%s%s", tt.args, code, stdout, stderr)
		}
	}
}

// A command line that cannot be meant is exit code 2, before anything runs; the
// sensor has Falco's 1.
func TestUsageErrors(t *testing.T) {
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"nosuch", ExitUsage, `unknown command "nosuch"`},
		{"rules nosuch", ExitUsage, `unknown command "nosuch" for "peregrine rules"`},
		{"rules", ExitOK, "Usage:"},
		{"rules test", ExitUsage, "arguments: expected 1, got 0"},
		{"rules test x", ExitUsage, "capture"},
		{"rules cost", ExitUsage, "expected either --capture"},
		{"rules list --nosuch", ExitUsage, "unknown flag"},
		{"sensor nosuch", ExitFailure, "nosuch"},
		{"sensor --nosuch", ExitFailure, "unknown flag"},
		{"sensor status nosuch", ExitFailure, "nosuch"},
		{"sensor --list-syscall-events", ExitOK, "< openat("},
		{"sensor --list-fields-markdown", ExitOK, "## Field Class: evt"},
		{"sensor --list-events --markdown", ExitOK, "openat"},
		{"sensor --nodriver --gvisor-root /x --modern-bpf --page-size", ExitOK, "4096"},
		{"sensor --enable-source nosuch --version", ExitFailure, "the sources of events are syscall and k8s_audit"},
		{"sensor --enable-source k8s_audit --version", ExitFailure, "not configured"},
		{"sensor --enable-source k8s_audit --list=k8s_audit -o peregrine.k8s_audit.open=http://127.0.0.1:0/k", ExitOK, "ka.auditid"},
		{"sensor --list=nosuch", ExitFailure, "the sources of events are"},
		{"sensor --disable-source k8s_audit --page-size", ExitOK, "4096"},
		{"sensor --disable-source syscall --version", ExitFailure, "no source of events is left"},
		{"sensor --enable-source syscall --page-size", ExitOK, "4096"},
	} {
		stdout, stderr, code := command(t, strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(stdout+stderr, tt.want) {
			t.Errorf("%s: exit code %d\n%s%s", tt.args, code, stdout, stderr)
		}
	}
}
