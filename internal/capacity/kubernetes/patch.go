package kubernetes

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/human"
)

// Patches are the forms of a recommendation that other programs read.
var Patches = []string{"helm-values", "kustomize", "vpa"}

// Target is the DaemonSet that a patch is for.
type Target struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Container string `json:"container"`
}

// WritePatch writes a recommendation as values for the sensor's chart, as an
// overlay for kustomize, or as a VerticalPodAutoscaler's bounds. A DaemonSet has one
// limit for all its pods: for several kinds of nodes there is one DaemonSet each.
func WritePatch(w io.Writer, format string, target Target, all []Advice) error {
	var given []Advice
	for _, a := range all {
		if a.Recommendation == nil {
			fmt.Fprintf(w, "# %s: no recommendation: %s\n", a.Kind, strings.Join(strings.Fields(a.Why), " "))
			continue
		}
		given = append(given, a)
	}
	if len(given) == 0 {
		return fmt.Errorf("no kind of node has a recommendation")
	}
	switch format {
	case "vpa":
		return writeVPA(w, target, given)
	case "helm-values", "kustomize":
	default:
		return fmt.Errorf("patch %q: expected %s", format, strings.Join(Patches, ", "))
	}
	for _, a := range given {
		fmt.Fprintf(w, "---\n# %s: %d nodes, busiest %s events/s, headroom %.1f\n", a.Kind, a.Nodes, human.Number(a.Observed.Max), a.Headroom)
		text := overlay(target, a, len(given) > 1)
		if format == "helm-values" {
			text = values(a, len(given) > 1)
		}
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
	}
	return nil
}

// values are those of a release of its own for a kind of nodes.
func values(a Advice, several bool) string {
	text := ""
	if several {
		text = fmt.Sprintf("# helm install NAME-%s CHART -f THIS\n%s\n", word(a.Kind), a.selector())
	}
	return text + "resources:\n" + a.quantities("  ")
}

// selector selects the nodes of a kind, or says that something has to.
func (a Advice) selector() string {
	if !a.Labelled {
		return fmt.Sprintf("# These nodes have no label %s: give them one, and select it with a nodeSelector.", instanceType)
	}
	return fmt.Sprintf("nodeSelector: {%s: %q}", instanceType, a.Kind)
}

func (a Advice) quantities(indent string) string {
	return fmt.Sprintf("%[1]srequests: {cpu: %[2]s, memory: %[3]s}\n%[1]slimits: {cpu: %[4]s, memory: %[5]s}\n", indent,
		human.Millis(a.RequestCPU), human.Quantity(a.RequestMemory), human.Millis(a.LimitCPU), human.Quantity(a.LimitMemory))
}

// overlay is a kustomization.yaml of a directory of its own for a kind of nodes. Its
// pods have a label more, so that two DaemonSets do not take each other's.
func overlay(t Target, a Advice, several bool) string {
	text := "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [../base]\n"
	selector := ""
	if several {
		text += fmt.Sprintf("nameSuffix: -%[1]s\nlabels:\n- pairs: {peregrine.dev/node-kind: %[1]s}\n  includeSelectors: true\n", word(a.Kind))
		selector = "          " + a.selector() + "\n"
	}
	return text + fmt.Sprintf(`patches:
- target: {kind: DaemonSet, name: %[1]s}
  patch: |-
    apiVersion: apps/v1
    kind: DaemonSet
    metadata: {name: %[1]s}
    spec:
      template:
        spec:
%[2]s          containers:
          - name: %[3]s
            resources:
%[4]s`, t.Name, selector, t.Container, a.quantities("              "))
}

// writeVPA bounds an autoscaler by the needs of the smallest kind and the limit
// of the largest.
func writeVPA(w io.Writer, t Target, all []Advice) error {
	least, most := *all[0].Recommendation, *all[0].Recommendation
	for _, a := range all {
		least.RequestCPU, least.RequestMemory = min(least.RequestCPU, a.RequestCPU), min(least.RequestMemory, a.RequestMemory)
		most.LimitCPU, most.LimitMemory = max(most.LimitCPU, a.LimitCPU), max(most.LimitMemory, a.LimitMemory)
	}
	_, err := fmt.Fprintf(w, `apiVersion: autoscaling.k8s.io/v1
kind: VerticalPodAutoscaler
metadata: {name: %[1]s, namespace: %[2]s}
spec:
  targetRef: {apiVersion: apps/v1, kind: DaemonSet, name: %[1]s}
  resourcePolicy:
    containerPolicies:
    - containerName: %[3]s
      minAllowed: {cpu: %[4]s, memory: %[5]s}
      maxAllowed: {cpu: %[6]s, memory: %[7]s}
`, t.Name, t.Namespace, t.Container, human.Millis(least.RequestCPU), human.Quantity(least.RequestMemory), human.Millis(most.LimitCPU), human.Quantity(most.LimitMemory))
	return err
}

var unfitForName = regexp.MustCompile(`[^a-z0-9]+`)

// word makes a kind fit for the name of an object.
func word(kind string) string {
	return strings.Trim(unfitForName.ReplaceAllString(strings.ToLower(kind), "-"), "-")
}
