// Package capacity tries "peregrine capacity kubernetes" in a real Kubernetes.
package capacity

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/run"
	"github.com/peregrine-sec/peregrine/test/kubernetes"
)

// lab is a cluster with the sensor of our chart in it.
type lab struct {
	*kubernetes.Cluster
	program string
}

const namespace = "peregrine"

// values configure the chart for this test: no CRI, and a short readiness
// period.
const values = `
image: {tag: test, pullPolicy: Never}
healthChecks: {readinessProbe: {periodSeconds: 1}}
terminationGracePeriodSeconds: 3
`

// setUp starts a cluster, with the image of "make image" in it.
func setUp(t *testing.T) *lab {
	t.Helper()
	c := kubernetes.Up(t, kubernetes.Options{})
	l := &lab{Cluster: c, program: filepath.Join(t.TempDir(), "peregrine")}
	t.Setenv("CGO_ENABLED", "0")
	l.build(t, "go", "build", "-buildvcs=false", "-o", l.program, "../../../cmd/peregrine")
	archive := filepath.Join(t.TempDir(), "peregrine.tar")
	l.build(t, "go", "run", "../../../deploy/mkimage", "-tag", "localhost/peregrine:test", "-rules", "../../../rules", "-o", archive, l.program)
	l.build(t, "ctr", "--address", c.Socket, "--namespace", "k8s.io", "images", "import", archive)
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte(values), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Run(t, c.Helm("install", "peregrine", "../../../deploy/helm/peregrine", "--namespace", namespace, "--create-namespace", "--values", file, "--wait"))
	// Helm does not wait for the pods that maxUnavailable allows to be missing.
	c.Run(t, c.Kubectl("rollout", "status", "-n", namespace, "daemonset/peregrine", "--timeout=5m"))
	return l
}

func (l *lab) build(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// short are flags for rounds that are as short as they can be.
var short = []string{"--quick", "--confirm", "2s", "--precision", "0.5", "--force", "--start-rate", "500"}

// capacity is the command, with the flags for short rounds.
func (l *lab) capacity(args ...string) *exec.Cmd {
	args = append([]string{"capacity", "kubernetes", "--kubeconfig", l.Kubeconfig}, args...)
	return exec.Command(l.program, args...)
}

// dump logs the cluster's objects, for a test that has failed.
func (l *lab) dump(t *testing.T) {
	for _, args := range [][]string{
		{"get", "pods,jobs,daemonsets", "-A", "-o", "wide"}, {"get", "events", "-A", "--sort-by=.metadata.creationTimestamp"},
		{"logs", "-n", namespace, "daemonset/peregrine", "--tail=20"},
	} {
		out, _ := l.Kubectl(args...).CombinedOutput()
		t.Logf("kubectl %s\n%s", strings.Join(args, " "), out)
	}
}

// state is the state that a run must restore, without the names and times that
// Kubernetes makes.
func (l *lab) state(t *testing.T) string {
	t.Helper()
	l.Run(t, l.Kubectl("rollout", "status", "-n", namespace, "daemonset/peregrine", "--timeout=5m"))
	set := l.Run(t, l.Kubectl("get", "daemonset", "-n", namespace, "peregrine", "-o", `jsonpath={.metadata.generation} {.metadata.annotations} {.spec}`))
	pod := l.Run(t, l.Kubectl("get", "pods", "-n", namespace, "-o", `jsonpath={range .items[*]}{.metadata.labels} {.metadata.annotations} {.spec.containers[*].resources} {.spec.containers[*].args}{end}`))
	node := l.Run(t, l.Kubectl("get", "node", "node1", "-o", `jsonpath={.spec}`))
	rest := l.Run(t, l.Kubectl("get", "leases,configmaps", "-n", namespace, "-o", "name"))
	return strings.Join([]string{set, pod, node, rest}, "\n")
}

// as is a user who has a token, and nothing else.
func (l *lab) as(t *testing.T, token string, args ...string) *exec.Cmd {
	t.Helper()
	empty := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(empty, []byte("apiVersion: v1\nkind: Config\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"capacity", "kubernetes", "--kubeconfig", empty, "--server", "https://" + kubernetes.NodeIP, "--insecure-skip-tls-verify", "--token", token}, args...)
	return exec.Command(l.program, args...)
}

// fails checks that a command fails with an exit code, and says why.
func fails(t *testing.T, cmd *exec.Cmd, code int, why ...string) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != code {
		t.Errorf("%v, want exit code %d\n%s", err, code, out)
	}
	for _, want := range why {
		if !strings.Contains(string(out), want) {
			t.Errorf("the output does not say %q:\n%s", want, out)
		}
	}
}

// checkRun checks the directory of a run on one node.
func checkRun(t *testing.T, dir string, rows int) (capacities int) {
	t.Helper()
	for _, file := range []string{"report.html", "report.md", "report.csv", "report.txt"} {
		if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
			t.Error(err)
		}
	}
	return checkRows(t, dir, rows)
}

// checkRows checks that each row of a result was measured. It does not check
// the results: on a busy machine, not even the lowest rate may be clean.
func checkRows(t *testing.T, dir string, rows int) (capacities int) {
	t.Helper()
	r, err := run.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != rows || r.Partial {
		t.Errorf("%d rows, partial %v", len(r.Rows), r.Partial)
	}
	for _, row := range r.Rows {
		if row.Status == capacity.Failed || len(row.Trials) == 0 {
			t.Errorf("%s: %s in %d rounds: %s", row.Limit, row.Status, len(row.Trials), row.Error)
		}
		if row.Syscalls > 0 {
			capacities++
		}
		if !strings.HasPrefix(row.Place, "pod, cgroup") {
			t.Errorf("measured in %q", row.Place)
		}
	}
	return capacities
}
