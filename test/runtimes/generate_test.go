package runtimes

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// inContainers are actions of several kinds: opens, writes below what an overlay
// covers, programs, sockets.
const inContainers = "^syscall.(ReadSensitiveFileUntrusted|CreateSymlinkOverSensitiveFiles|PacketSocketCreatedInContainer|DropAndExecuteNewBinaryInContainer|ClearLogActivities)$"

// The generator's actions fire their rules in real containers, which are gone
// afterwards with the image that was made for them.
func TestGenerateInContainers(t *testing.T) {
	e := startDocker(t)
	alerts := filepath.Join(t.TempDir(), "alerts.json")
	place(t, alerts, "")
	args := []string{"-o", "rule_matching=all", "-o", "file_output.enabled=true", "-o", "file_output.filename=" + alerts, "-o", "rules[]={enable: {rule: '*'}}"}
	for _, file := range defaultRules(t) {
		args = append(args, "-r", file)
	}
	startSensor(t, "", map[string]string{"docker": e.socket}, args...)
	cmd := exec.Command(built.binary, "generate", "test", "--in-container", "helper", "--container-engine", "docker", "--state-dir", t.TempDir(),
		"--alerts", alerts, "--test-timeout", "20s", "--settle", "100ms", inContainers)
	cmd.Env = append(os.Environ(), "DOCKER_HOST=unix://"+e.socket)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "passed=5") {
		t.Errorf("%v\n%s", err, out)
	}
	if left := e.cli(t, "ps", "-aq") + e.cli(t, "images", "-q", "localhost/peregrine/helper"); left != "" {
		t.Errorf("left over: %s", left)
	}
}
