package kubernetes

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// expected says which images pods may have: CreateDisallowedPod's is not among them.
const expected = `
- macro: allowed_k8s_containers
  condition: (ka.req.pod.containers.image.repository in (busybox, localhost/sleeper))
`

// TestAudit lets the generator do its 13 actions on a real cluster, whose API
// server sends its audit log, by the policy of the guide, to the sensor. Each
// action fires its rule, and no other; the objects of a killed run are removed.
// It shows a row of docs/compatibility.md.
func TestAudit(t *testing.T) {
	policy, err := os.ReadFile("../../deploy/audit-policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c := Up(t, Options{AuditPolicy: policy})
	dir := t.TempDir()
	binary := filepath.Join(dir, "peregrine")
	c.Run(t, exec.Command("go", "build", "-o", binary, "github.com/peregrine-sec/peregrine/cmd/peregrine"))
	alerts := startSensor(t, c, binary, dir)

	// The server's client tries again after a second: wait for its first event.
	c.Run(t, c.Kubectl("create", "configmap", "first"))
	waitFor(t, alerts, `configmap=first`)

	t.Run("actions", func(t *testing.T) {
		junit := filepath.Join(dir, "junit.xml")
		test := exec.Command(binary, "generate", "test", "^k8saudit", "--all", "--exact", "--alerts", alerts,
			"--kubeconfig", c.Kubeconfig, "--junit", junit, "--settle", "5s")
		out, err := test.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "passed=13") {
			t.Errorf("%v\n%s", err, out)
		}
		nothingLeft(t, c)
	})
	t.Run("rules", func(t *testing.T) { onlyThirteen(t, alerts) })
	t.Run("killed", func(t *testing.T) { killed(t, c, binary, alerts) })
	t.Run("exec", func(t *testing.T) { execInPod(t, c, alerts) })
}

// startSensor starts a sensor for audit events alone on the node, where plain
// HTTP comes from, and returns the file of its alerts.
func startSensor(t *testing.T, c *Cluster, binary, dir string) string {
	t.Helper()
	rules := filepath.Join(dir, "expected.yaml")
	if err := os.WriteFile(rules, []byte(expected), 0o600); err != nil {
		t.Fatal(err)
	}
	alerts, log := filepath.Join(dir, "alerts.json"), filepath.Join(dir, "sensor.log")
	config := filepath.Join(dir, "falco.yaml")
	text := fmt.Sprintf(`
plugins:
- {name: k8saudit, open_params: "http://127.0.0.1:9765/k8s-audit", init_config: ""}
- {name: json}
load_plugins: [k8saudit, json]
json_output: true
stdout_output: {enabled: false}
file_output: {enabled: true, filename: %s}
webserver: {enabled: false}
peregrine: {status_socket: %s}
`, alerts, filepath.Join(dir, "status"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	sensor := c.OnNode(binary, "sensor", "-c", config, "--disable-source", "syscall", "-r", "../../rules/k8s_audit.yaml", "-r", rules)
	sensor.Stdout, sensor.Stderr = out, out
	if err := sensor.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		sensor.Process.Signal(os.Interrupt)
		if err := sensor.Wait(); err != nil {
			text, _ := os.ReadFile(log)
			t.Errorf("sensor: %v\n%s", err, text)
		}
	})
	err = wait(20*time.Second, "the sensor", func() bool {
		text, _ := os.ReadFile(log)
		return strings.Contains(string(text), "receiving Kubernetes audit events")
	})
	if err != nil {
		text, _ := os.ReadFile(log)
		t.Fatalf("%v\n%s", err, text)
	}
	return alerts
}

func waitFor(t *testing.T, alerts, text string) {
	t.Helper()
	err := wait(60*time.Second, "an alert with "+text, func() bool {
		have, _ := os.ReadFile(alerts)
		return strings.Contains(string(have), text)
	})
	if err != nil {
		have, _ := os.ReadFile(alerts)
		t.Fatalf("%v\n%s", err, have)
	}
}

// onlyThirteen checks that the generator's actions fired 13 rules, once each,
// and that no other rule named its objects.
func onlyThirteen(t *testing.T, alerts string) {
	text, err := os.ReadFile(alerts)
	if err != nil {
		t.Fatal(err)
	}
	var fired []string
	for line := range strings.Lines(string(text)) {
		var alert struct{ Rule, Output string }
		if err := json.Unmarshal([]byte(line), &alert); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(alert.Output, "=peregrine-") {
			fired = append(fired, alert.Rule)
		}
	}
	slices.Sort(fired)
	want := []string{
		"ClusterRole With Pod Exec Created", "ClusterRole With Wildcard Created", "ClusterRole With Write Privileges Created",
		"Create Disallowed Pod", "Create HostNetwork Pod", "Create NodePort Service", "Create Privileged Pod", "Create Sensitive Mount Pod",
		"Create/Modify Configmap With Private Credentials", "K8s ConfigMap Created", "K8s Deployment Created", "K8s Service Created",
		"K8s Serviceaccount Created",
	}
	if !slices.Equal(fired, want) {
		t.Errorf("fired:\n%s\nwant:\n%s", strings.Join(fired, "\n"), strings.Join(want, "\n"))
	}
}

func nothingLeft(t *testing.T, c *Cluster) {
	t.Helper()
	out := c.Run(t, c.Kubectl("get", "pods,configmaps,services,serviceaccounts,deployments,roles",
		"-l", "app.kubernetes.io/part-of=peregrine-generator", "-o", "name"))
	if out != "" {
		t.Errorf("left:\n%s", out)
	}
}

// killed kills a run that makes objects, and lets cleanup find the rest.
func killed(t *testing.T, c *Cluster, binary, alerts string) {
	made := func() int {
		text, _ := os.ReadFile(alerts)
		return strings.Count(string(text), "-k8sconfigmapcreated-")
	}
	before := made()
	run := exec.Command(binary, "generate", "run", "k8saudit.K8SConfigMapCreated", "--all", "--loop", "--sleep", "0", "--kubeconfig", c.Kubeconfig)
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	err := wait(30*time.Second, "an object of the run", func() bool { return made() > before })
	run.Process.Kill()
	run.Wait()
	if err != nil {
		t.Fatal(err)
	}
	// The kill may or may not come between creation and deletion: make the
	// object that it leaves if so.
	c.Run(t, c.Kubectl("create", "configmap", "peregrine-dead"))
	c.Run(t, c.Kubectl("label", "configmap", "peregrine-dead", "app.kubernetes.io/part-of=peregrine-generator"))
	if out := c.Run(t, exec.Command(binary, "generate", "cleanup", "--kubeconfig", c.Kubeconfig)); !strings.Contains(out, "deleted what k8saudit") {
		t.Error(out)
	}
	nothingLeft(t, c)
}

// execInPod tests kubectl over WebSockets.
func execInPod(t *testing.T, c *Cluster, alerts string) {
	pause, err := programs[2].path()
	if err != nil {
		t.Fatal(err)
	}
	c.Import(t, Image{
		Tag: "localhost/sleeper:1", Files: map[string]string{"/bin/sleeper": pause, "/bin/busybox": "/bin/busybox"},
		Entrypoint: []string{"/bin/sleeper"},
	})
	c.Run(t, c.Kubectl("run", "target", "--image=localhost/sleeper:1", "--image-pull-policy=Never"))
	c.Run(t, c.Kubectl("wait", "pod/target", "--for=condition=Ready", "--timeout=5m"))
	if out := c.Run(t, c.Kubectl("exec", "target", "--", "/bin/busybox", "echo", "hello")); out != "hello\n" {
		t.Errorf("exec: %q", out)
	}
	waitFor(t, alerts, `action=exec command=/bin/busybox`)
}
