package runtimes

import (
	"flag"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// sevenActions are of several kinds: opens, writes below an overlay, programs,
// sockets, a user by name, and one that needs a privileged container.
const sevenActions = "^syscall.(ReadSensitiveFileUntrusted|CreateSymlinkOverSensitiveFiles|PacketSocketCreatedInContainer|DropAndExecuteNewBinaryInContainer|ClearLogActivities|DebugfsLaunchedInPrivilegedContainer|SystemUserInteractive)$"

var actions = flag.String("actions", sevenActions, "what the generator does in containers; \"^syscall\" for the whole test")

// The generator's actions fire their rules in real containers, which are gone
// afterwards with the image that was made for them.
func TestGenerateInContainers(t *testing.T) {
	e := startPodman(t)
	alerts := filepath.Join(t.TempDir(), "alerts.json")
	place(t, alerts, "")
	args := []string{"-o", "rule_matching=all", "-o", "file_output.enabled=true", "-o", "file_output.filename=" + alerts, "-o", "rules[]={enable: {rule: '*'}}"}
	for _, file := range defaultRules(t) {
		args = append(args, "-r", file)
	}
	startSensor(t, "", map[string]string{e.kind: e.socket}, args...)
	cmd := exec.Command(built.binary, "generate", "test", "--in-container", "helper", "--container-engine", e.kind, "--all", "--state-dir", t.TempDir(),
		"--alerts", alerts, "--test-timeout", "60s", "--settle", "100ms", *actions)
	cmd.Env = e.environment()
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !strings.Contains(string(out), "failed=0") || strings.Contains(string(out), "passed=0") {
		t.Errorf("exit %v; want no action failed, and some passed", err)
	}
	if *actions == sevenActions && !strings.Contains(string(out), "passed=7 skipped=0") {
		t.Error("want all 7 actions passed")
	}
	if left := e.cli(t, "ps", "-aq") + e.cli(t, "images", "-q", "localhost/peregrine/helper"); left != "" {
		t.Errorf("left over: %s", left)
	}
}

// So do those of bench, also in a privileged container, and every alert is found:
// none is late within a minute.
func TestBenchInContainers(t *testing.T) {
	e := startPodman(t)
	config := filepath.Join(t.TempDir(), "peregrine.yaml")
	place(t, config, configuration(t.TempDir(), map[string]string{"podman": e.socket}))
	args := []string{"bench", "run", "ReadSensitiveFileUntrusted|MountLaunchedInPrivilegedContainer", "--in-container", "helper", "--container-engine", "podman",
		"--rate", "10", "--round-duration", "2s", "--drain", "60s", "--no-preflight", "--out", "none", "--state-dir", t.TempDir(), "--", "-c", config}
	for _, file := range defaultRules(t) {
		args = append(args, "-r", file)
	}
	cmd := exec.Command(built.binary, args...)
	cmd.Env = e.environment()
	out, err := cmd.CombinedOutput() // a busy machine makes it inconclusive
	for _, action := range []string{"MountLaunchedInPrivilegedContainer", "ReadSensitiveFileUntrusted"} {
		done := regexp.MustCompile(action + ` +([1-9][0-9]*) +([0-9]+) +0 `).FindSubmatch(out)
		if done == nil || string(done[1]) != string(done[2]) {
			t.Errorf("%s: not each has its alert: %v\n%s", action, err, out)
		}
	}
	if left := e.cli(t, "ps", "-aq") + e.cli(t, "images", "-q", "localhost/peregrine/helper"); left != "" {
		t.Errorf("left over: %s", left)
	}
}
