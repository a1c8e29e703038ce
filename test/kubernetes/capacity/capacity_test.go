package capacity

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// TestCapacity shares one cluster: starting one takes longer than most of its
// parts.
func TestCapacity(t *testing.T) {
	l := setUp(t)
	for _, part := range []struct {
		name string
		do   func(*lab, *testing.T)
	}{
		{"rights of the chart", (*lab).rights},
		{"no permission", (*lab).noPermission},
		{"a limit that the node cannot give", (*lab).tooLarge},
		{"patches", (*lab).patches},
		{"killed", (*lab).killed},
		{"namespace deleted", (*lab).namespaceDeleted},
		{"drained", (*lab).drained},
		{"never ready", (*lab).neverReady},
		{"whole run", (*lab).wholeRun},
		{"socket", (*lab).socket},
		{"falco", (*lab).falco},
	} {
		before := l.state(t)
		t.Run(part.name, func(t *testing.T) { part.do(l, t) })
		if after := l.state(t); after != before {
			t.Errorf("%s: left over:\n%s\nbefore:\n%s", part.name, after, before)
		}
		if t.Failed() {
			l.dump(t)
			return
		}
	}
}

func (l *lab) noPermission(t *testing.T) {
	token := strings.TrimSpace(l.Run(t, l.Kubectl("create", "token", "default")))
	fails(t, l.as(t, token, "--node", "node1", "--daemonset", namespace+"/peregrine"), 3, "forbidden", "daemonsets.apps")
	l.Run(t, l.Kubectl("create", "role", "reader", "-n", namespace, "--verb=get", "--resource=daemonsets.apps"))
	l.Run(t, l.Kubectl("create", "rolebinding", "reader", "-n", namespace, "--role=reader", "--serviceaccount=default:default"))
	fails(t, l.as(t, token, "--node", "node1", "--daemonset", namespace+"/peregrine"), 3,
		"get nodes in the whole cluster", "patch pods/resize in namespace peregrine", "create pods in namespace peregrine", "get pods/log in namespace peregrine-capacity", "nothing was changed", "capacity kubernetes rbac")
}

func (l *lab) tooLarge(t *testing.T) {
	fails(t, l.capacity("--node", "node1", "--memory", "4096Gi", "--out", t.TempDir()), 3, "4Ti is more memory than node node1 gives to pods")
	fails(t, l.capacity("--node", "node2", "--out", t.TempDir()), 3, "there is no node node2")
}

// wholeRun measures three limits with the role that rbac prints, and leaves a
// table and the reports.
func (l *lab) wholeRun(t *testing.T) {
	// The run before has deleted its namespace, which takes Kubernetes a while.
	_ = l.Kubectl("wait", "namespace/peregrine-capacity", "--for=delete", "--timeout=120s").Run() // or it is gone
	role := l.Run(t, exec.Command(l.program, "capacity", "kubernetes", "rbac", "--sensor-namespace", namespace))
	apply := l.Kubectl("apply", "-f", "-")
	apply.Stdin = strings.NewReader(role)
	l.Run(t, apply)
	token := strings.TrimSpace(l.Run(t, l.Kubectl("create", "token", "-n", "peregrine-capacity", "peregrine-capacity")))
	out := filepath.Join(t.TempDir(), "run")
	prometheus := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"node":"node1"},"value":[1,"1000"]}]}}`)
	}))
	defer prometheus.Close()
	text, err := l.as(t, token, append([]string{"--each-node-kind", "--observed", prometheus.URL, "--format", "helm-values", "--cpu", "0.3,0.5,0.7", "--max-duration", "30s", "--out", out}, short...)...).CombinedOutput()
	t.Logf("%s\n%v", text, err)
	found := checkRun(t, filepath.Join(out, "node1"), 3)
	if found > 0 && !strings.Contains(string(text), "resources:\n  requests: {cpu: ") {
		t.Error("there is no recommendation as values")
	}
	table, err := os.ReadFile(filepath.Join(out, "fleet.md"))
	if err != nil || strings.Count(string(table), "| node1 |") != 3 {
		t.Errorf("table %v:\n%s", err, table)
	}
	if events := l.Run(t, l.Kubectl("get", "events", "-n", namespace, "-o", "jsonpath={.items[*].reason}")); !strings.Contains(events, "CapacityTestStarted") || !strings.Contains(events, "CapacityMeasured") {
		t.Errorf("events %s", events)
	}
}

// long keeps a run from its end: a cluster may take a minute to delete a
// namespace.
var long = []string{"--confirm", "5m", "--max-duration", "10m"}

// begin starts a run of one limit, and returns when the kubectl command lists
// something.
func (l *lab) begin(t *testing.T, kubectl ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	args := []string{"-n", killedNamespace, "--node", "node1", "--cpu", "0.7", "--out", filepath.Join(t.TempDir(), "run")}
	cmd := l.capacity(slices.Concat(args, short, long)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	needs.Eventually(t, "something to `kubectl "+strings.Join(kubectl, " ")+"`", func() bool {
		found, err := l.Kubectl(kubectl...).Output()
		return err == nil && len(bytes.TrimSpace(found)) > 0
	})
	return cmd, &out
}

// killedNamespace is made by the runs that are killed.
const killedNamespace = "capacity-killed"

// The moments of a run: its namespace is there, the copy is there, the load runs.
var (
	namespaceMade = []string{"get", "namespace", killedNamespace, "-o", "name"}
	copyMade      = []string{"get", "pods", "-n", namespace, "-l", "peregrine.dev/capacity-run", "-o", "name"}
	loadRuns      = []string{"get", "pods", "-n", killedNamespace, "--field-selector", "status.phase=Running", "-o", "name"}
)

// killed kills a run at three moments. Two are undone by the next run, and the
// third by restore.
func (l *lab) killed(t *testing.T) {
	for _, moment := range [][]string{namespaceMade, copyMade, loadRuns} {
		cmd, _ := l.begin(t, moment...)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
	}
	restore := l.capacity("restore", "--daemonset", namespace+"/peregrine") // which knows the namespace of the load
	out, err := restore.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "deleted the copy") || !strings.Contains(string(out), "deleted namespace "+killedNamespace) {
		t.Errorf("restore: %v\n%s", err, out)
	}
	l.Run(t, l.Kubectl("wait", "pods", "-n", namespace, "-l", "peregrine.dev/capacity-run", "--for=delete", "--timeout=5m"))
	// The next run would take the load that goes for its own.
	l.Run(t, l.Kubectl("wait", "namespace", killedNamespace, "--for=delete", "--timeout=5m"))
}

// namespaceDeleted deletes the namespace of a run.
func (l *lab) namespaceDeleted(t *testing.T) {
	cmd, out := l.begin(t, loadRuns...)
	l.Run(t, l.Kubectl("delete", "namespace", killedNamespace))
	if err := cmd.Wait(); err == nil || !strings.Contains(out.String(), "namespace "+killedNamespace+" of the load was deleted") {
		t.Errorf("the run ended with %v\n%s", err, out)
	}
}

// socket measures a limit with alerts by a socket in the sensor's pod.
func (l *lab) socket(t *testing.T) {
	out := filepath.Join(t.TempDir(), "run")
	text, err := l.capacity(append([]string{"--node", "node1", "--alerts", "socket", "--cpu", "0.7", "--max-duration", "10s", "--out", out}, short...)...).CombinedOutput()
	t.Logf("%s\n%v", text, err)
	checkRun(t, out, 1)
}

// drained drains the node while the load runs.
func (l *lab) drained(t *testing.T) {
	cmd, out := l.begin(t, loadRuns...)
	l.Run(t, l.Kubectl("drain", "node1", "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=5m"))
	err := cmd.Wait()
	l.Run(t, l.Kubectl("uncordon", "node1"))
	if err == nil || !strings.Contains(out.String(), "it is cordoned") {
		t.Errorf("the run ended with %v\n%s", err, out)
	}
}

func (l *lab) neverReady(t *testing.T) {
	fails(t, l.capacity("--node", "node1", "--cpu", "0.7", "--ready-timeout", "8s", "--out", t.TempDir(), "--", "--no-such-flag"), 1, "is not ready after 8s", "container peregrine")
}
