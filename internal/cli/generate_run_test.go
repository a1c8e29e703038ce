package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/generator"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// execute runs a command line in this process.
func execute(t *testing.T, getenv map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	env := Env{Args: args, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &err, Context: t.Context(),
		Getenv: func(name string) string { return getenv[name] }}
	code = Main(env)
	return code, out.String(), err.String()
}

func needRoot(t *testing.T) {
	t.Helper()
	needs.Root(t)
}

// Errors in a command line are reported before anything runs.
func TestGenerateUsage(t *testing.T) {
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"run nosuch", ExitUsage, "no events matching 'nosuch'"},
		{"run (", ExitUsage, "missing closing )"},
		{"run WriteBelowEtc", ExitUsage, "is disabled by default, add --all"},
		{"run A B", ExitUsage, "expected one regular expression, got 2"},
		{"run --rate -1", ExitUsage, "-1"},
		{"run --rate 1e12", ExitUsage, "expected at most 1G"},
		{"run --rate 5 --sleep 1s", ExitUsage, "are mutually exclusive"},
		{"run --ramp 1,2", ExitUsage, "--ramp needs"},
		{"run --ramp 1 --for 1s", ExitUsage, "--ramp needs"},
		{"run --workers 100000", ExitUsage, "100000 workers"},
		{"run --order backwards", ExitUsage, "backwards"},
		{"run --weights Nosuch=1", ExitUsage, "no such action"},
		{"run --weights ClearLogActivities=x", ExitUsage, "NAME=N"},
		{"run --container maybe", ExitUsage, "expected auto, host or container"},
		{"run --container-engine docker", ExitUsage, "needs --in-container"},
		{"plan --in-container helper --no-sandbox", ExitUsage, "are mutually exclusive"},
		{"test --in-container helper --container host", ExitUsage, "are mutually exclusive"},
		{"run --in-container helper --container-engine rkt", ExitPreflight, "expected docker, podman, containerd"},
		{"run --nosuchflag", ExitUsage, "unknown flag"},
		{"run --loglevel loud", ExitUsage, "log level"},
		{"run --logformat xml", ExitUsage, "text or json"},
		{"run --config /nonexistent.yaml", ExitUsage, "configuration"},
		{"run CreatePrivilegedPod --all", ExitPreflight, "needs a Kubernetes cluster"},
		{"run UserMgmtBinaries --all --container container", ExitPreflight, "only applicable to hosts"},
		{"list --bench maybe", ExitUsage, "expected one of yes, slow, no"},
		{"list -o xml", ExitUsage, "expected table, json, markdown or name"},
		{"plan nosuch", ExitUsage, "no events matching"},
		{"plan -o xml", ExitUsage, "expected text or json"},
		{"test", ExitPreflight, "--alerts FILE"},
		{"test --alerts /nonexistent", ExitPreflight, "no such file"},
	} {
		code, _, stderr := execute(t, nil, append([]string{"generate"}, strings.Fields(test.args)...)...)
		if code != test.code || !strings.Contains(stderr, test.want) {
			t.Errorf("%s: exit %d, %s; want %d, %s", test.args, code, stderr, test.code, test.want)
		}
	}
}

func TestGenerateList(t *testing.T) {
	code, stdout, _ := execute(t, nil, "generate", "list", "--all", "-o", "name")
	if code != ExitOK || strings.Count(stdout, "\n") != 86 {
		t.Errorf("exit %d, %d lines", code, strings.Count(stdout, "\n"))
	}
	code, stdout, _ = execute(t, nil, "generate", "list", "--bench", "yes", "--ruleset", "stable", "-o", "name")
	if code != ExitOK || !strings.Contains(stdout, "syscall.ReadSensitiveFileUntrusted\n") || strings.Contains(stdout, "ForkExec") {
		t.Errorf("exit %d\n%s", code, stdout)
	}
}

func TestGeneratePlan(t *testing.T) {
	code, stdout, _ := execute(t, nil, "generate", "plan", "WriteBelowEtc|PacketSocket|RunShellUntrusted|CreatePrivilegedPod", "--all", "--container", "host")
	for _, want := range []string{"files      peregrine-* in /etc", "where      container look-alike", "processes  httpd, sh", "skipped    needs a Kubernetes cluster", "private /tmp"} {
		if code != ExitOK || !strings.Contains(stdout, want) {
			t.Errorf("exit %d, no %q in\n%s", code, want, stdout)
		}
	}
	// Actions in containers are planned without asking an engine.
	code, stdout, _ = execute(t, nil, "generate", "plan", "MountLaunchedInPrivileged|PacketSocket|SuspiciousNetworkToolOnHost", "--all", "--in-container", "helper")
	for _, want := range []string{"sandbox  real containers of image helper", "where      real container\n", "where      real container, privileged\n", "skipped    only applicable to hosts"} {
		if code != ExitOK || !strings.Contains(stdout, want) {
			t.Errorf("exit %d, no %q in\n%s", code, want, stdout)
		}
	}
	code, stdout, _ = execute(t, nil, "generate", "plan", "WriteBelowEtc", "--all", "--no-sandbox", "-o", "json")
	var plan generator.Plan
	if err := json.Unmarshal([]byte(stdout), &plan); code != ExitOK || err != nil || len(plan.Actions) != 1 || !strings.Contains(plan.Actions[0].Cleanup, "undo journal") {
		t.Errorf("exit %d, %v, %+v", code, err, plan)
	}
}

func TestGenerateRun(t *testing.T) {
	needRoot(t)
	state := t.TempDir()
	code, _, stderr := execute(t, nil, "generate", "run", "ClearLogActivities|PacketSocket", "--sleep", "1ms", "--state-dir", state)
	for _, want := range []string{
		"INFO sleep for 1ms                                 action=syscall.ClearLogActivities\n",
		"INFO action executed                               action=syscall.ClearLogActivities\n",
		"INFO action executed                               action=syscall.PacketSocketCreatedInContainer\n",
		"completed=2",
	} {
		if code != ExitOK || !strings.Contains(stderr, want) {
			t.Errorf("exit %d, no %q in\n%s", code, want, stderr)
		}
	}
	// Flags may come from event-generator's environment and file.
	config := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, []byte("sleep: 2ms\nlogformat: json\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr = execute(t, map[string]string{"FALCO_EVENT_GENERATOR_SLEEP": "3ms"}, "generate", "run", "ClearLogActivities", "--state-dir", state, "--config", config)
	if code != ExitOK || !strings.HasPrefix(stderr, `{"action":"syscall.ClearLogActivities","level":"info","msg":"sleep for 3ms"}`) {
		t.Errorf("exit %d\n%s", code, stderr)
	}
}

func TestGenerateRunAtARate(t *testing.T) {
	needRoot(t)
	report := filepath.Join(t.TempDir(), "report.json")
	code, _, stderr := execute(t, nil, "generate", "run", "ClearLogActivities|ReadSensitiveFileUntrusted", "--rate", "1000", "--for", "200ms",
		"--weights", "ClearLogActivities=3", "--noise", "5000", "--workers", "2", "--seed", "1", "--state-dir", t.TempDir(), "--report", report)
	if code != ExitOK {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	content, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Target, Completed uint64
		Actions           []struct{ Completed uint64 }
	}
	if err := json.Unmarshal(content, &got); err != nil || got.Target != 200 || got.Completed != 200 || got.Actions[0].Completed != 150 {
		t.Errorf("%v: %+v\n%s", err, got, content)
	}
}

func TestGenerateRunIsInterrupted(t *testing.T) {
	needRoot(t)
	for args, want := range map[string]int{"--loop": ExitOK, "--for 1h": ExitInterrupted} {
		ctx, cancel := context.WithCancel(t.Context())
		var stderr bytes.Buffer
		log := writerFunc(func(p []byte) (int, error) {
			if bytes.Contains(p, []byte("action executed")) {
				cancel()
			}
			return stderr.Write(p)
		})
		env := Env{Args: append([]string{"generate", "run", "ClearLogActivities", "--sleep", "10ms", "--state-dir", t.TempDir()}, strings.Fields(args)...),
			Stdin: strings.NewReader(""), Stdout: &bytes.Buffer{}, Stderr: log, Context: ctx, Getenv: func(string) string { return "" }}
		if code := Main(env); code != want || !strings.Contains(stderr.String(), "run finished") {
			t.Errorf("%s: exit %d, want %d\n%s", args, code, want, &stderr)
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestGenerateTest(t *testing.T) {
	needRoot(t)
	junit := filepath.Join(t.TempDir(), "report.xml")
	alerts := filepath.Join(t.TempDir(), "alerts.json")
	if err := os.WriteFile(alerts, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	// No sensor: noise passes, an action does not.
	code, _, stderr := execute(t, nil, "generate", "test", "OpenClose|ClearLogActivities|ExecLs", "--alerts", alerts, "--test-timeout", "50ms", "--settle", "10ms", "--junit", junit, "--state-dir", state)
	for _, want := range []string{"test passed                                   action=noise.OpenClose", "test skipped for helpers", "action error                                  action=syscall.ClearLogActivities", "failed=1 passed=1 skipped=1"} {
		if code != ExitFailure || !strings.Contains(stderr, want) {
			t.Errorf("exit %d, no %q in\n%s", code, want, stderr)
		}
	}
	if content, err := os.ReadFile(junit); err != nil || !bytes.Contains(content, []byte(`failures="1"`)) {
		t.Errorf("%v\n%s", err, content)
	}
	if code, _, stderr = execute(t, nil, "generate", "test", "noise.Stat", "--alerts", alerts, "--settle", "10ms", "--state-dir", state); code != ExitOK {
		t.Errorf("exit %d\n%s", code, stderr)
	}
}

func TestGenerateCleanup(t *testing.T) {
	state := t.TempDir()
	code, stdout, _ := execute(t, nil, "generate", "cleanup", "--state-dir", state)
	if code != ExitOK || stdout != "nothing to clean up\n" {
		t.Errorf("exit %d: %s", code, stdout)
	}
	left := filepath.Join(t.TempDir(), "left")
	for name, content := range map[string]string{left: "", filepath.Join(state, "generate-x.journal"): `{"owner_pid":999999999,"owner_start":1}` + "\n" + `{"artifact":{"path":"` + left + `","kind":"file"}}` + "\n"} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, stdout, _ = execute(t, nil, "generate", "cleanup", "--state-dir", state)
	if code != ExitOK || stdout != "removed "+left+"\n" {
		t.Errorf("exit %d: %s", code, stdout)
	}
}

// Alerts arrive over HTTP as well, which event-generator listens to.
func TestGenerateTestOverHTTP(t *testing.T) {
	needRoot(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	// A sensor that sees an alert all the time: one of them is in the action.
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		// There is one for every 5 ms, no matter how late this runs.
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for at := time.Now(); ; {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			for now := time.Now(); at.Before(now); at = at.Add(5 * time.Millisecond) {
				body := fmt.Sprintf(`{"rule":"Clear Log Activities","source":"syscall","time":%q}`, at.Format(time.RFC3339Nano))
				if response, err := http.Post("http://"+address, "application/json", strings.NewReader(body)); err == nil {
					_ = response.Body.Close()
				}
			}
		}
	}()
	code, _, stderr := execute(t, nil, "generate", "test", "ClearLogActivities", "--http-server-address", address, "--settle", "1ms", "--state-dir", t.TempDir())
	close(stop)
	<-done
	if code != ExitOK || !strings.Contains(stderr, "passed=1") {
		t.Errorf("exit %d\n%s", code, stderr)
	}
}
