package cli

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/test/support/corpus"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// pidFields make alerts tell whose process they are about.
const pidFields = `json_output: true
append_output:
  - match: {source: syscall}
    extra_fields: [proc.pid, proc.ppid, "proc.apid[2]", "proc.apid[3]"]
`

// With our sensor and Falco's rules running, every action fires exactly its
// rule, and the noise none. The rules of the sandbox set are our own, for the
// behaviour that Falco's describe. e2e.TestActionsFireTheirRule is the same
// with the default rules, wherever Falco's are not at hand.
func TestEveryActionFiresExactlyItsRule(t *testing.T) {
	needRoot(t)
	if testing.Short() {
		t.Skip("takes some 20 s")
	}
	rules := corpus.Need(t, "rules")
	dir := t.TempDir()
	config, alerts, junit := filepath.Join(dir, "config.yaml"), filepath.Join(dir, "alerts.json"), filepath.Join(dir, "report.xml")
	if err := os.WriteFile(config, []byte(pidFields), 0o600); err != nil {
		t.Fatal(err)
	}
	startSensor(t, alerts, "-c", config, "-r", filepath.Join(rules, "falco_rules.yaml"), "-r", filepath.Join(rules, "falco-incubating_rules.yaml"),
		"-r", filepath.FromSlash("../generator/testdata/sandbox_rules.yaml"))
	code, _, stderr := execute(t, nil, "generate", "test", ".", "--all", "--exclude", "^k8saudit", "--exact", "--alerts", alerts,
		"--test-timeout", "10s", "--settle", "3s", "--junit", junit, "--container", "host", "--state-dir", filepath.Join(dir, "state"))
	if code != ExitOK || !strings.Contains(stderr, "errors=0 failed=0 passed=72 skipped=9") {
		t.Errorf("exit %d\n%s", code, stderr)
	}
}

// startSensor runs this test binary as the sensor, until the test ends, with
// its alerts in a file.
func startSensor(t *testing.T, alerts string, args ...string) {
	t.Helper()
	out, err := os.Create(alerts)
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, append([]string{"sensor", "-U"}, args...)...)
	cmd.Env = append(os.Environ(), "PEREGRINE_TEST_MAIN=1")
	cmd.Stdout = out
	messages, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		_ = out.Close()
	})
	late := time.AfterFunc(3*time.Minute, func() { _ = cmd.Process.Kill() })
	var said []string
	words := bufio.NewScanner(messages)
	for words.Scan() {
		said = append(said, words.Text())
		if strings.Contains(words.Text(), "ready: ") {
			late.Stop()
			go func() {
				for words.Scan() { // read on, so that its output does not block it
				}
			}()
			return
		}
	}
	needs.That(t, "a sensor that starts", errors.New(strings.Join(said, "\n")))
}
