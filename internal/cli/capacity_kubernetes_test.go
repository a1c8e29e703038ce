package cli

import (
	"strings"
	"testing"
)

// What is wrong with the flags is said before a cluster is asked.
func TestCapacityKubernetesFlags(t *testing.T) {
	for line, want := range map[string]struct {
		code int
		text string
	}{
		"":                                    {ExitUsage, "--each-node-kind"},
		"--node a --each-node-kind":           {ExitUsage, "--each-node-kind"},
		"--node a b":                          {ExitUsage, "no arguments expected"},
		"--node a --cpu none":                 {ExitUsage, "CPU limit"},
		"--node a --memory 5":                 {ExitUsage, "memory limit"},
		"--node a --load half":                {ExitUsage, "load"},
		"--node a --format html":              {ExitUsage, "expected text, markdown, csv, json"},
		"--node a,b --format csv":             {ExitUsage, "expected text, markdown, json"},
		"--node a --format helm-values":       {ExitUsage, "--observed"},
		"--node a --kubeconfig /nowhere/none": {ExitPreflight, "find the Kubernetes cluster"},
	} {
		code, _, stderr := execute(t, nil, append([]string{"capacity", "kubernetes"}, strings.Fields(line)...)...)
		if code != want.code || !strings.Contains(stderr, want.text) {
			t.Errorf("%q: exit %d, %s; want %d, %q", line, code, stderr, want.code, want.text)
		}
	}
}

func TestCapacityKubernetesRBAC(t *testing.T) {
	code, stdout, stderr := execute(t, nil, "capacity", "kubernetes", "rbac", "--sensor-namespace", "falco", "-n", "load")
	if code != ExitOK || strings.Count(stdout, "---\n") != 8 {
		t.Fatalf("exit %d\n%s%s", code, stdout, stderr)
	}
	for _, want := range []string{"namespace: falco", "namespace: load", "pods/resize", "pod-security.kubernetes.io/enforce: privileged"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
}
