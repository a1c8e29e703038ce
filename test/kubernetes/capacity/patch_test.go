package capacity

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	fleet "github.com/peregrine-sec/peregrine/internal/capacity/kubernetes"
)

// sensorChart is the one of our sensor.
const sensorChart = "../../../deploy/helm/peregrine"

// patches has a recommendation for two kinds of nodes checked by the programs that read
// it: Helm, kustomize, and the API server, which changes nothing.
func (l *lab) patches(t *testing.T) {
	advice := func(kind string, cpu float64) fleet.Advice {
		return fleet.Advice{Kind: kind, Nodes: 3, Labelled: true, Recommendation: &capacity.Recommendation{
			RequestCPU: cpu / 2, LimitCPU: cpu, RequestMemory: 96 << 20, LimitMemory: 192 << 20, Headroom: 1.3}}
	}
	all := []fleet.Advice{advice("m5.large", 0.5), advice("m5.xlarge", 0.75)}
	render := func(format string) []string {
		var text bytes.Buffer
		if err := fleet.WritePatch(&text, format, fleet.Target{Namespace: namespace, Name: "peregrine", Container: "peregrine"}, all); err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimPrefix(text.String(), "---\n"), "---\n")
	}
	const shown = `jsonpath={.metadata.name}{" "}{.spec.template.spec.nodeSelector.node\.kubernetes\.io/instance-type}{" "}{.spec.template.spec.containers[0].resources.limits.cpu}{" "}{.spec.selector.matchLabels.peregrine\.dev/node-kind}`
	base := t.TempDir()
	l.write(t, base, "base/daemonset.yaml", l.Run(t, l.Helm("template", "peregrine", sensorChart, "--namespace", namespace, "--kube-version", "1.30.0", "--show-only", "templates/workload.yaml")))
	l.write(t, base, "base/kustomization.yaml", "namespace: "+namespace+"\nresources: [daemonset.yaml]\n")
	for i, overlay := range render("kustomize") {
		dir := filepath.Dir(l.write(t, base, fmt.Sprintf("kind%d/kustomization.yaml", i), overlay))
		want := []string{"peregrine-m5-large m5.large 500m m5-large", "peregrine-m5-xlarge m5.xlarge 750m m5-xlarge"}[i]
		if got := l.Run(t, l.Kubectl("apply", "--dry-run=server", "-k", dir, "-o", shown)); got != want {
			t.Errorf("kustomize makes %q, want %q", got, want)
		}
	}
	for i, values := range render("helm-values") {
		file := l.write(t, base, fmt.Sprintf("values%d.yaml", i), values)
		apply := l.Kubectl("apply", "--dry-run=server", "-o", shown, "-f", "-")
		apply.Stdin = strings.NewReader(l.Run(t, l.Helm("template", fmt.Sprintf("kind%d", i), sensorChart, "--namespace", namespace, "--kube-version", "1.30.0", "--show-only", "templates/workload.yaml", "--values", file)))
		want := []string{"kind0-peregrine m5.large 500m ", "kind1-peregrine m5.xlarge 750m "}[i]
		if got := l.Run(t, apply); got != want {
			t.Errorf("the chart makes %q, want %q", got, want)
		}
	}
	l.autoscaler(t, l.write(t, base, "vpa.yaml", render("vpa")[0]))
}

// write writes a file below a directory.
func (l *lab) write(t *testing.T, dir, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// autoscalers is the type of a VerticalPodAutoscaler, as far as a patch uses it.
const autoscalers = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: verticalpodautoscalers.autoscaling.k8s.io, annotations: {api-approved.kubernetes.io: "https://github.com/kubernetes/kubernetes/pull/63797"}}
spec:
  group: autoscaling.k8s.io
  scope: Namespaced
  names: {kind: VerticalPodAutoscaler, plural: verticalpodautoscalers}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [targetRef]
            properties:
              targetRef: {type: object, required: [kind, name], properties: {apiVersion: {type: string}, kind: {type: string}, name: {type: string}}}
              resourcePolicy:
                type: object
                properties:
                  containerPolicies:
                    type: array
                    items:
                      type: object
                      properties:
                        containerName: {type: string}
                        minAllowed: &quantities {type: object, additionalProperties: {anyOf: [{type: integer}, {type: string}], x-kubernetes-int-or-string: true, pattern: '^[0-9.]+([mkMGT]i?)?$'}}
                        maxAllowed: *quantities
`

// autoscaler has the API server check a patch that is a VerticalPodAutoscaler.
func (l *lab) autoscaler(t *testing.T, file string) {
	apply := l.Kubectl("apply", "-f", "-")
	apply.Stdin = strings.NewReader(autoscalers)
	l.Run(t, apply)
	const name = "crd/verticalpodautoscalers.autoscaling.k8s.io"
	l.Run(t, l.Kubectl("wait", "--for=condition=Established", name, "--timeout=5m"))
	got := l.Run(t, l.Kubectl("apply", "--dry-run=server", "--validate=strict", "-f", file, "-o",
		"jsonpath={.spec.targetRef.name} {.spec.resourcePolicy.containerPolicies[0].minAllowed.cpu} {.spec.resourcePolicy.containerPolicies[0].maxAllowed.cpu}"))
	if want := "peregrine 250m 750m"; got != want {
		t.Errorf("the autoscaler has %q, want %q", got, want)
	}
	l.Run(t, l.Kubectl("delete", name))
}
