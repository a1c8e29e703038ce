package deploy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/test/kubernetes"
)

// falcoValues are values that users of Falco's chart set, of today and of before
// its container plugin.
const falcoValues = `
driver: {kind: modern_ebpf, modernEbpf: {leastPrivileged: true, bufSizePreset: 6, cpusForEachBuffer: 3}}
tty: true
podPriorityClassName: system-node-critical
controller: {daemonset: {updateStrategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 3}}}}
tolerations: [{operator: Exists}]
collectors:
  docker: {enabled: true, socket: /var/run/docker.sock}
  containerd: {enabled: true, socket: /run/k3s/containerd/containerd.sock}
  crio: {enabled: true, socket: /opt/crio/crio.sock}
falcosidekick: {enabled: true}
falcoctl: {artifact: {install: {enabled: false}, follow: {enabled: false}}}
metrics: {enabled: true, interval: 15m, outputRule: true, rulesCountersEnabled: true, kernelEventCountersPerCPUEnabled: true, convertMemoryToMB: false, libbpfStatsEnabled: false}
extra: {env: [{name: SKIP_DRIVER_LOADER, value: "yes"}], args: [--disable-source, k8s_audit]}
falco:
  priority: notice
  json_output: true
  http_output: {enabled: true, url: "http://collector:2801/"}
  load_plugins: []
`

// checkFalcoValues checks what the chart makes of these values: a configuration
// that means what they say.
func checkFalcoValues(t *testing.T, c *kubernetes.Cluster) {
	t.Helper()
	values := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(values, []byte(falcoValues), 0o600); err != nil {
		t.Fatal(err)
	}
	render := func(more ...string) string {
		return c.Run(t, c.Helm(append([]string{"template", "falco", "helm/peregrine", "--kube-version", "1.30.0", "--values", values}, more...)...))
	}
	rendered := render()
	f := loadRendered(t, rendered)
	for _, note := range f.Notes {
		if note.Severity != config.Note {
			t.Errorf("the configuration: %s", note)
		}
	}
	if m := f.Engine.Modern; m.BufSizePreset != 6 || m.CPUsForEachBuffer != 3 {
		t.Errorf("buffers %+v", m)
	}
	if m := f.Metrics; !m.Enabled || time.Duration(m.Interval) != 15*time.Minute || !m.OutputRule || !m.Rules || !m.PerCPU || m.ConvertToMB || m.LibbpfStats || !f.Webserver.Prometheus {
		t.Errorf("metrics %+v", m)
	}
	e := f.Plugins.Container.Engines
	if !slices.Equal(e.Docker.Sockets, []string{"/run/docker.sock"}) || !slices.Contains(e.CRI.Sockets, "/opt/crio/crio.sock") || !slices.Contains(e.CRI.Sockets, "/run/crio/crio.sock") {
		t.Errorf("sockets: docker %q, CRI %q", e.Docker.Sockets, e.CRI.Sockets)
	}
	seen := map[string]bool{}
	for _, socket := range e.CRI.Sockets {
		if seen[socket] {
			t.Errorf("%s twice in %q", socket, e.CRI.Sockets)
		}
		seen[socket] = true
	}
	for _, part := range []string{
		"mountPath: /host/opt/crio,", "priorityClassName: system-node-critical", "maxUnavailable: 3", "- operator: Exists", "name: SKIP_DRIVER_LOADER", `"--disable-source", "k8s_audit"`,
	} {
		if !strings.Contains(rendered, part) {
			t.Errorf("no %q in:\n%s", part, rendered)
		}
	}
	if disabled := render("--set", "collectors.crio.enabled=false"); strings.Contains(disabled, "/opt/crio") {
		t.Errorf("the socket of a disabled collector is asked:\n%s", disabled)
	}
}

// loadRendered is the configuration in the chart's ConfigMap.
func loadRendered(t *testing.T, rendered string) *config.Config {
	t.Helper()
	for document := range strings.SplitSeq(rendered, "\n---\n") {
		var object struct{ Data map[string]string }
		if err := yaml.Unmarshal([]byte(document), &object); err != nil || object.Data["falco.yaml"] == "" {
			continue
		}
		path := filepath.Join(t.TempDir(), "falco.yaml")
		if err := os.WriteFile(path, []byte(object.Data["falco.yaml"]), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(config.Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	t.Fatalf("no configuration in:\n%s", rendered)
	return nil
}
