package kubernetes

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// Each patch is YAML, with the figures of each kind in it.
func TestPatch(t *testing.T) {
	all := advice(t)
	for format, wants := range map[string][]string{
		"helm-values": {"nodeSelector: {node.kubernetes.io/instance-type: \"kind-00\"}", "limits: {cpu: 550m, memory: 192Mi}", "limits: {cpu: 850m, memory: 192Mi}", "# kind-02: no recommendation: it is cordoned"},
		"kustomize":   {"nameSuffix: -kind-00", "nameSuffix: -kind-01", "limits: {cpu: 850m, memory: 192Mi}", "includeSelectors: true"},
		"vpa":         {"maxAllowed: {cpu: 850m, memory: 192Mi}", "targetRef: {apiVersion: apps/v1, kind: DaemonSet, name: falco}", "namespace: security"},
	} {
		var text bytes.Buffer
		if err := WritePatch(&text, format, Target{"security", "falco", "falco"}, all); err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(text.String(), want) {
				t.Errorf("%s has no %q:\n%s", format, want, text.String())
			}
		}
		for decoder := yaml.NewDecoder(&text); ; {
			var doc struct {
				Kind    string
				Patches []struct{ Patch string }
			}
			if err := decoder.Decode(&doc); err != nil {
				if err.Error() != "EOF" {
					t.Errorf("%s: %v", format, err)
				}
				break
			}
			for _, p := range doc.Patches {
				var set struct{ Spec struct{ Template pod } }
				if err := yaml.Unmarshal([]byte(p.Patch), &set); err != nil {
					t.Errorf("%s: %v\n%s", format, err, p.Patch)
				}
			}
		}
	}
	if err := WritePatch(&bytes.Buffer{}, "helm", Target{}, all); err == nil || !strings.Contains(err.Error(), "helm-values, kustomize, vpa") {
		t.Errorf("an unknown format: %v", err)
	}
	if err := WritePatch(&bytes.Buffer{}, "vpa", Target{}, all[2:]); err == nil {
		t.Error("a patch without a recommendation")
	}
}

// Nodes without the label of their kind are not selected by it.
func TestPatchOfUnlabelled(t *testing.T) {
	c, client := newCluster(t, 2, 2)
	delete(c.nodes[1]["metadata"].(object)["labels"].(object), instanceType)
	const size = "amd64, 4 CPU, 8 GiB"
	seen, err := Observe(context.Background(), client, prometheus(t, map[string]float64{"node-0": 10e3, "node-1": 10e3}))
	if err != nil {
		t.Fatal(err)
	}
	nodes := fleet()
	nodes[1].Kind = size
	all := seen.Advise(nodes)
	for _, format := range []string{"helm-values", "kustomize"} {
		var text bytes.Buffer
		if err := WritePatch(&text, format, Target{"security", "falco", "falco"}, all); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(text.String(), instanceType+`: "`); n != 1 || !strings.Contains(text.String(), instanceType+`: "kind-00"`) {
			t.Errorf("%s: %d selectors\n%s", format, n, &text)
		}
		if !strings.Contains(text.String(), "# These nodes have no label "+instanceType+": give them one, and select it with a nodeSelector") {
			t.Errorf("%s does not say that a selector is needed:\n%s", format, &text)
		}
	}
}
