package capacity

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// chart runs the command in the cluster.
const chart = "../../../deploy/helm/peregrine-capacity"

// rights checks that the chart gives the rights that rbac prints.
func (l *lab) rights(t *testing.T) {
	printed := l.Run(t, exec.Command(l.program, "capacity", "kubernetes", "rbac", "--report-configmap", "--sensor-namespace", "falco", "-n", "capacity"))
	rendered := l.Run(t, l.Helm("template", "capacity", chart, "--namespace", "capacity", "--kube-version", "1.30.0", "--set", "sensor.namespace=falco"))
	if diff := cmp.Diff(rules(t, printed), rules(t, rendered)); diff != "" {
		t.Errorf("the chart's rights are not those of rbac (-rbac +chart):\n%s", diff)
	}
	once, scheduled := l.rendered(t, "Job"), l.rendered(t, "CronJob", "--set", "schedule=0 3 * * 6")
	if diff := cmp.Diff(once, scheduled["jobTemplate"].(map[string]any)["spec"]); diff != "" || scheduled["schedule"] != "0 3 * * 6" {
		t.Errorf("scheduled is another Job (-once +scheduled):\n%s", diff)
	}
}

// rendered is the specification of the only object of its kind in the chart.
func (l *lab) rendered(t *testing.T, kind string, args ...string) map[string]any {
	t.Helper()
	args = append([]string{"template", "capacity", chart, "--kube-version", "1.30.0", "--show-only", "templates/job.yaml"}, args...)
	var found struct {
		Kind string
		Spec map[string]any
	}
	if err := yaml.Unmarshal([]byte(l.Run(t, l.Helm(args...))), &found); err != nil || found.Kind != kind {
		t.Fatalf("%s, %v, want a %s", found.Kind, err, kind)
	}
	return found.Spec
}

// rules are those of the roles in a manifest, as "kind namespace rule".
func rules(t *testing.T, manifest string) []string {
	t.Helper()
	var found []string
	for decoder := yaml.NewDecoder(strings.NewReader(manifest)); ; {
		var role struct {
			Kind     string
			Metadata struct{ Namespace string }
			Rules    []struct {
				Groups    []string `yaml:"apiGroups"`
				Resources []string
				Verbs     []string
			}
		}
		if err := decoder.Decode(&role); errors.Is(err, io.EOF) {
			slices.Sort(found)
			return found
		} else if err != nil {
			t.Fatal(err)
		}
		for _, rule := range role.Rules {
			if role.Metadata.Namespace == "" && role.Kind == "Role" {
				role.Metadata.Namespace = "capacity" // helm's
			}
			found = append(found, fmt.Sprint(role.Kind, role.Metadata.Namespace, rule))
		}
	}
}
