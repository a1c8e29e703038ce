package e2e

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/test/support/corpus"
)

// notHere are the actions that cannot run on every machine, with the reason
// that they give.
var notHere = map[string]string{
	"syscall.DebugfsLaunchedInPrivilegedContainer": "only applicable to containers", // that a container engine calls privileged
	"syscall.MountLaunchedInPrivilegedContainer":   "only applicable to containers",
}

// With everything enabled, every action fires its rule and no other, and noise
// fires none.
//
// It shows a row of docs/compatibility.md.
func TestActionsFireTheirRule(t *testing.T) {
	known := filepath.Join(t.TempDir(), "sandbox.yaml")
	write(t, known, "- macro: generator_sandbox\n  condition: (proc.args startswith \"peregrine-run=\")\n  override: {condition: replace}\n")
	checkActions(t, listRules(t), ".", append(defaultRules(), "-r", known)...)
}

// The same with Falco's own rule files, unmodified, where they are at hand. The rules of the sandbox
// set are not among them.
func TestActionsFireUpstreamRules(t *testing.T) {
	dir := corpus.Need(t, "rules")
	args := []string{"-r", filepath.Join(dir, "falco_rules.yaml"), "-r", filepath.Join(dir, "falco-incubating_rules.yaml")}
	known := listRules(t, args...)
	var names []string
	for _, a := range listActions(t) {
		if a.Rule == "" || slices.Contains(known, a.Rule) {
			names = append(names, regexpQuote(a.Name))
		}
	}
	checkActions(t, known, "^("+strings.Join(names, "|")+")$", args...)
}

func regexpQuote(name string) string { return strings.ReplaceAll(name, ".", `\.`) }

// checkActions runs the actions that match with a sensor whose rules are the
// given ones.
func checkActions(t *testing.T, rules []string, match string, rulesArgs ...string) {
	requireBPF(t)
	if testing.Short() {
		t.Skip("half a minute")
	}
	dir := t.TempDir()
	generator, scope := scoped(t, dir, rules)
	s := startSensor(t, append(slices.Clone(rulesArgs), "-r", scope, "-o", "rules[].enable.rule=*", "-o",
		`append_output[].extra_fields=[evt.time, evt.type, proc.pid, proc.ppid, thread.tid, "proc.apid[2]", "proc.apid[3]"]`)...)
	// Other work on this machine may overload the sensor. It reports losses, and
	// the lost actions are tried again.
	for range 3 {
		failed, log := testActions(t, generator, s, match)
		if len(failed) == 0 {
			return
		}
		var names []string
		for name, why := range failed {
			t.Logf("%s: %s", name, why)
			names = append(names, regexpQuote(name))
		}
		if match = "^(" + strings.Join(names, "|") + ")$"; !strings.Contains(s.stderr.String(), "syscall event drop") {
			t.Fatalf("generator:\n%s\nsensor:\n%s", log, s.stderr)
		}
	}
	t.Errorf("not once without a drop:\n%s", s.stderr)
}

// testActions runs peregrine generate test and returns why actions failed.
func testActions(t *testing.T, generator string, s *sensor, match string) (failed map[string]string, log string) {
	t.Helper()
	dir := t.TempDir()
	report := filepath.Join(dir, "junit.xml")
	cmd := exec.Command(generator, "generate", "test", match, "--all", "--exclude", "^(helper|k8saudit)", "--exact", "--alerts", s.alerts,
		"--container", "host", "--test-timeout", "20s", "--junit", report, "--state-dir", filepath.Join(dir, "state"))
	out, err := cmd.CombinedOutput()
	var suite struct {
		Tests int `xml:"tests,attr"`
		Cases []struct {
			Name    string   `xml:"name,attr"`
			Failure *message `xml:"failure"`
			Error   *message `xml:"error"`
			Skipped *message `xml:"skipped"`
		} `xml:"testcase"`
	}
	if xerr := xml.Unmarshal([]byte(read(t, report)), &suite); xerr != nil {
		t.Fatalf("%v\n%s", xerr, out)
	}
	failed = map[string]string{}
	skipped := 0
	for _, c := range suite.Cases {
		switch {
		case c.Failure != nil:
			failed[c.Name] = c.Failure.Text
		case c.Error != nil:
			failed[c.Name] = c.Error.Text
		case c.Skipped != nil && c.Skipped.Text != notHere[c.Name]:
			t.Errorf("%s: skipped: %s", c.Name, c.Skipped.Text)
		case c.Skipped != nil:
			skipped++
		}
	}
	if suite.Tests != len(suite.Cases) || suite.Tests == skipped {
		t.Errorf("%d tests, %d cases, %d skipped", suite.Tests, len(suite.Cases), skipped)
	}
	if (err != nil) != (len(failed) > 0) {
		t.Errorf("generate test: %v, with %d failures\n%s", err, len(failed), out)
	}
	return failed, string(out)
}

type message struct {
	Text string `xml:"message,attr"`
}

// scoped restricts the rules to one generator, so that other work on this
// machine neither fires them nor floods the sensor: it returns that generator,
// the binary under a name of its own, and a file of rules that restricts each
// rule to it and its descendants.
func scoped(t *testing.T, dir string, rules []string) (generator, file string) {
	t.Helper()
	name := fmt.Sprintf("e2e-%d", os.Getpid())
	generator, file = filepath.Join(filepath.Dir(binary), name), filepath.Join(dir, "scope.yaml")
	if err := os.Link(binary, generator); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(generator) })
	var text strings.Builder
	for _, rule := range rules {
		fmt.Fprintf(&text, "- rule: %q\n  condition: and (proc.name=%[2]s or proc.aname=%[2]s)\n  override: {condition: append}\n", rule, name)
	}
	write(t, file, text.String())
	return generator, file
}

// listRules returns the names of the rules of the syscall source.
func listRules(t *testing.T, args ...string) []string {
	t.Helper()
	var names []string
	for _, r := range describeRules(t, args...) {
		names = append(names, r.Name)
	}
	return names
}

type ruleInfo struct {
	Name, Description, Priority, Source string
	Tags                                []string
}

func describeRules(t *testing.T, args ...string) []ruleInfo {
	t.Helper()
	code, out, stderr := peregrine(t, append([]string{"sensor", "-L", "-o", "json_output=true"}, args...)...)
	if code != 0 {
		t.Fatalf("sensor -L: exit code %d\n%s", code, stderr)
	}
	var list struct {
		Rules []struct {
			Info ruleInfo `json:"info"`
		} `json:"rules"`
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	var rules []ruleInfo
	for _, r := range list.Rules {
		if r.Info.Source == "syscall" {
			rules = append(rules, r.Info)
		}
	}
	if len(rules) == 0 {
		t.Fatalf("no rules in\n%.500s", out)
	}
	return rules
}

type actionInfo struct{ Name, Rule string }

func listActions(t *testing.T) []actionInfo {
	t.Helper()
	code, out, stderr := peregrine(t, "generate", "list", "--all", "-o", "json")
	if code != 0 {
		t.Fatalf("generate list: exit code %d\n%s", code, stderr)
	}
	var actions []actionInfo
	if err := json.Unmarshal([]byte(out), &actions); err != nil {
		t.Fatalf("%v\n%.500s", err, out)
	}
	return actions
}
