package cli

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/peregrine-sec/peregrine/internal/capacity/kubernetes"
)

// Errors in flags are reported before a cluster is contacted.
func TestCapacityKubernetesFlags(t *testing.T) {
	for line, want := range map[string]struct {
		code int
		text string
	}{
		"":                              {ExitUsage, "--each-node-kind"},
		"--node a --each-node-kind":     {ExitUsage, "--each-node-kind"},
		"--node a b":                    {ExitUsage, "no arguments expected"},
		"--node a --cpu none":           {ExitUsage, "CPU limit"},
		"--node a --memory 5":           {ExitUsage, "memory limit"},
		"--node a --load half":          {ExitUsage, "load"},
		"--node a --format html":        {ExitUsage, "expected text, markdown, csv, json"},
		"--node a,b --format csv":       {ExitUsage, "expected text, markdown, json"},
		"--node a --format helm-values": {ExitUsage, "--observed"},
		"--node a --alerts file":        {ExitUsage, "expected http or socket"},
		"--node a --margin 3":           {ExitUsage, "unknown flag: --margin"},
		"--node a --alert-rate 5":       {ExitUsage, "unknown flag: --alert-rate"},
		"--node a --web 0":              {ExitUsage, "unknown flag: --web"},
		"--node a,a --format csv --kubeconfig /nowhere/none": {ExitPreflight, "find the Kubernetes cluster"},
		"--node a --kubeconfig /nowhere/none":                {ExitPreflight, "find the Kubernetes cluster"},
	} {
		code, _, stderr := execute(t, nil, append([]string{"capacity", "kubernetes"}, strings.Fields(line)...)...)
		if code != want.code || !strings.Contains(stderr, want.text) {
			t.Errorf("%q: exit %d, %s; want %d, %q", line, code, stderr, want.code, want.text)
		}
	}
}

// kubernetesOptions are the options that a command line stands for.
func kubernetesOptions(t *testing.T, line string) (kubernetes.Options, *pflag.FlagSet) {
	t.Helper()
	f, cmd := &capacityKubernetesFlags{}, &cobra.Command{}
	f.add(cmd)
	if err := cmd.ParseFlags(strings.Fields(line)); err != nil {
		t.Fatal(err)
	}
	o, _ := f.options(Env{Args: strings.Fields(line)}, cmd, nil) // the error is that there is no cluster
	return o, cmd.Flags()
}

// --max-duration is for all rows of a node, repeated ones too.
func TestCapacityKubernetesDuration(t *testing.T) {
	for line, want := range map[string]time.Duration{
		"--node a --cpu 1 --max-duration 1h":                             time.Hour,
		"--node a --cpu 1,2,4 --max-duration 1h":                         20 * time.Minute,
		"--node a --cpu 1,2,4 --max-duration 1h --repeat 6":              200 * time.Second,
		"--node a --cpu 1,2 --memory 0,1Gi --max-duration 1h --repeat 0": 15 * time.Minute,
	} {
		if o, _ := kubernetesOptions(t, line); o.Row != want {
			t.Errorf("%s: %v a row, want %v", line, o.Row, want)
		}
	}
}

// A node that is named twice is one node.
func TestCapacityKubernetesNodes(t *testing.T) {
	o, _ := kubernetesOptions(t, "--node b --node a,b --node a --parallel 2")
	if got := strings.Join(o.Nodes, " "); got != "b a" {
		t.Errorf("nodes %s", got)
	}
}

// Each flag of how to measure does something: it is passed on, or read here.
func TestCapacityKubernetesMethod(t *testing.T) {
	read := []string{"cpu", "memory", "max-duration", "repeat", "quiet"}
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	(&capacityRunFlags{}).addMethod(flags)
	flags.VisitAll(func(flag *pflag.Flag) {
		if !slices.Contains(read, flag.Name) && !slices.Contains(methodFlags, flag.Name) {
			t.Errorf("--%s does nothing", flag.Name)
		}
	})
	_, own := kubernetesOptions(t, "--node a")
	for _, never := range []string{"recorded workload", "profile"} {
		if usage := own.Lookup("load").Usage; strings.Contains(usage, never) {
			t.Errorf("--load offers what is refused: %s", usage)
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
