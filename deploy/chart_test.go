package deploy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/test/kubernetes"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

const namespace = "peregrine"

// chartImage is the image of "make image", in the cluster, and one for pods
// that are watched.
func chartImage(t *testing.T, c *kubernetes.Cluster) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "peregrine")
	t.Setenv("CGO_ENABLED", "0")
	run(t, "go", "build", "-buildvcs=false", "-o", binary, "../cmd/peregrine")
	archive := filepath.Join(t.TempDir(), "peregrine.tar")
	run(t, "go", "run", "./mkimage", "-tag", "localhost/peregrine:test", "-rules", "../rules", "-o", archive, binary)
	run(t, "ctr", "--address", c.Socket, "--namespace", "k8s.io", "images", "import", archive)
	c.Import(t, kubernetes.Image{
		Tag: "localhost/shop/web:v1", Files: map[string]string{"/bin/busybox": "/bin/busybox"},
		Links: map[string]string{"/bin/sh": "busybox", "/bin/cat": "busybox", "/bin/sleep": "busybox"}, Entrypoint: []string{"/bin/sleep", "1000"},
	})
}

// values are what the chart needs here: the image, and the cluster's runtime.
func values(c *kubernetes.Cluster) string {
	return `
image: {tag: test, pullPolicy: Never}
collectors: {containerEngine: {engines: {cri: {sockets: [` + c.Socket + `]}}}, kubernetes: {enabled: true}}
metrics: {enabled: true}
grafana: {dashboards: {enabled: true}}
certs: {existingSecret: server}
falco:
  peregrine: {metadata_wait: 30000}
  grpc: {enabled: true, bind_address: "0.0.0.0:5060", private_key: /etc/falco/certs/server.key, cert_chain: /etc/falco/certs/server.crt, root_certs: /etc/falco/certs/ca.crt}
  grpc_output: {enabled: true}
customRules:
  shop.yaml: |
    - rule: Shop reads a secret
      desc: a rule of the user's own, beside the default ones
      condition: evt.type in (open, openat) and fd.name=/etc/secret and k8s.ns.name=shop and k8s.pod.label[app]=web
      output: secret read by %k8s.pod.name
      priority: WARNING
    - rule: Deployment reads
      desc: what only the API server tells
      condition: evt.type in (open, openat) and fd.name=/etc/deployed and k8s.deployment.name=api and k8smeta.svc.name intersects (front)
      output: >
        read by %k8s.deployment.name %k8s.rs.name %k8s.ns.label[team] %k8s.deployment.label[part] %k8s.svc.name %k8s.svc.label[public]
        %k8smeta.deployment.name %k8smeta.ns.labels
      priority: WARNING
`
}

const shop = `
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: store}}
---
apiVersion: v1
kind: Service
metadata: {name: front, namespace: shop, labels: {public: "yes"}}
spec: {selector: {app: api}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: shop, labels: {part: backend}}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      # Its first process opens the file, before it could be asked about.
      - {name: api, image: "localhost/shop/web:v1", imagePullPolicy: Never, command: [/bin/sh, -c, "cat /etc/deployed; exec sleep 1000"]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: shop, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: web, image: "localhost/shop/web:v1", imagePullPolicy: Never}
`

// TestChart installs the chart by Helm in a real Kubernetes, upgrades it and
// removes it.
func TestChart(t *testing.T) {
	c := kubernetes.Up(t, kubernetes.Options{})
	checkDriverless(t, c)
	checkFalcoValues(t, c)
	chartImage(t, c)
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	g := newGuide(t, c, write("values.yaml", values(c)))
	certificates(t, c)
	g.try("helm install peregrine deploy/helm/peregrine --namespace peregrine --create-namespace --values values.yaml --wait")
	g.try("kubectl rollout status --namespace peregrine daemonset/peregrine")
	g.try("kubectl label namespace peregrine pod-security.kubernetes.io/enforce=privileged")
	c.Run(t, c.Kubectl("apply", "-f", write("shop.yaml", shop)))
	c.Run(t, c.Kubectl("wait", "pod/web-1", "-n", "shop", "--for=condition=Ready", "--timeout=5m"))
	c.Run(t, c.Kubectl("exec", "-n", "shop", "web-1", "--", "/bin/sh", "-c", "cat /etc/secret; echo x > /etc/shadow; cat /etc/shadow"))

	a := alertOf(t, c, "Shop reads a secret")
	for field, want := range map[string]string{
		"k8s.pod.name": "web-1", "k8s.ns.name": "shop", "container.name": "web",
		"container.image.repository": "localhost/shop/web", "container.image.tag": "v1",
	} {
		if a.Fields[field] != want {
			t.Errorf("%s is %v, want %s", field, a.Fields[field], want)
		}
	}
	if a.Hostname != "node1" {
		t.Errorf("hostname %q", a.Hostname)
	}
	checkWorkload(t, c)
	alertOf(t, c, "Read sensitive file untrusted") // the rules in the image apply too
	checkMetrics(t, scrape(t, c))
	checkGRPC(t, c, write)
	if logs := g.try("kubectl logs --namespace peregrine daemonset/peregrine"); !strings.Contains(logs, "Shop reads a secret") {
		t.Errorf("logs:\n%s", logs)
	}
	if status := g.try("kubectl exec --namespace peregrine daemonset/peregrine -- /usr/bin/peregrine sensor status"); !strings.Contains(status, "cri at /host"+c.Socket+": connected") || !strings.Contains(status, "kubernetes at https://10.96.0.1:443: connected") {
		t.Errorf("status:\n%s", status)
	}

	write("values.yaml", values(c)+"configReload: rollout\n")
	g.try("helm upgrade peregrine deploy/helm/peregrine --namespace peregrine --values values.yaml --wait")
	c.Run(t, c.Kubectl("rollout", "status", "-n", namespace, "daemonset/peregrine", "--timeout=5m"))
	g.try("helm uninstall peregrine --namespace peregrine --wait")
	c.Run(t, c.Kubectl("wait", "pods", "-n", namespace, "--all", "--for=delete", "--timeout=5m"))
	g.done()
	left := c.Run(t, c.Kubectl("get", "all,configmaps,secrets,serviceaccounts,clusterroles,clusterrolebindings", "-n", namespace, "-o", "name", "-l", "app.kubernetes.io/instance=peregrine"))
	if strings.TrimSpace(left) != "" {
		t.Errorf("left over: %s", left)
	}
}

// checkWorkload checks that the first process of a deployment's pod has what the
// API server tells, and that the sensor may ask for no more than that.
func checkWorkload(t *testing.T, c *kubernetes.Cluster) {
	t.Helper()
	a := alertOf(t, c, "Deployment reads")
	set := c.Run(t, c.Kubectl("get", "replicasets", "-n", "shop", "-o", "jsonpath={.items[0].metadata.name}"))
	for field, want := range map[string]string{
		"k8s.deployment.name": "api", "k8s.rs.name": set, "k8s.ns.label[team]": "store", "k8s.deployment.label[part]": "backend",
		"k8s.svc.name": "front", "k8s.svc.label[public]": "yes", "k8smeta.deployment.name": "api",
	} {
		if a.Fields[field] != want {
			t.Errorf("%s is %v, want %s", field, a.Fields[field], want)
		}
	}
	for right, want := range map[string]string{"get secrets": "no", "create pods": "no", "delete pods": "no", "get pods/exec": "no", "watch pods": "yes", "list services": "yes"} {
		args := append([]string{"auth", "can-i", "--as", "system:serviceaccount:" + namespace + ":peregrine", "-A"}, strings.Fields(right)...)
		out, _ := c.Kubectl(args...).Output() // "no" is an error
		if strings.TrimSpace(string(out)) != want {
			t.Errorf("may the sensor %s? %s, want %s", right, out, want)
		}
	}
}

// checkDriverless checks that the chart gives the sensor something of the node
// only if it reads syscalls.
func checkDriverless(t *testing.T, c *kubernetes.Cluster) {
	t.Helper()
	pod := func(driver string) string {
		return c.Run(t, c.Helm("template", "peregrine", "helm/peregrine", "--kube-version", "1.30.0", "--set", "controller.kind=deployment",
			"--set", "collectors.containerEngine.engines.cri.sockets={/elsewhere/cri.sock}", "--set", "driver.enabled="+driver))
	}
	with, without := pod("true"), pod("false")
	if strings.Contains(with, "ClusterRole") || !strings.Contains(with, "automountServiceAccountToken: false") {
		t.Errorf("rights without collectors.kubernetes:\n%s", with)
	}
	for _, part := range []string{"hostPID: true", "HOST_ROOT", "hostPath:", "mountPath: /host", "add: ["} {
		if !strings.Contains(with, part) {
			t.Errorf("with the driver, the pod has no %q:\n%s", part, with)
		}
		if strings.Contains(without, part) {
			t.Errorf("without the driver, the pod has %q:\n%s", part, without)
		}
	}
	if !strings.Contains(without, "capabilities: {drop: [ALL]}") {
		t.Errorf("without the driver, the pod keeps capabilities:\n%s", without)
	}
}

type alertLine struct {
	Rule, Hostname string
	Fields         map[string]any `json:"output_fields"`
}

// alertOf waits for an alert of a rule in the sensor's log.
func alertOf(t *testing.T, c *kubernetes.Cluster, rule string) (found alertLine) {
	t.Helper()
	logs := ""
	if !needs.Within(2*time.Minute, func() bool {
		logs = c.Run(t, c.Kubectl("logs", "-n", namespace, "daemonset/peregrine"))
		for line := range strings.Lines(logs) {
			found = alertLine{}
			if json.Unmarshal([]byte(line), &found) == nil && found.Rule == rule && found.Fields["k8s.ns.name"] == "shop" {
				return true
			}
		}
		return false
	}) {
		t.Fatalf("no alert of %q:\n%s", rule, logs)
	}
	return found
}

// scrape reads the sensor's metrics as Prometheus does, from another pod.
func scrape(t *testing.T, c *kubernetes.Cluster) string {
	t.Helper()
	return c.Run(t, c.Kubectl("exec", "-n", "shop", "web-1", "--", "/bin/busybox", "wget", "-qO-", "http://"+address(t, c)+":8765/metrics"))
}

// address is that of the sensor's pod.
func address(t *testing.T, c *kubernetes.Cluster) string {
	t.Helper()
	return strings.TrimSpace(c.Run(t, c.Kubectl("get", "pods", "-n", namespace, "-o", "jsonpath={.items[0].status.podIP}")))
}

// names are names of the sensor's metrics in expressions.
var names = regexp.MustCompile(`\b(?:peregrine|falcosecurity)_[a-z0-9_]+`)

// checkMetrics checks that the sensor gives every metric that the dashboard and
// the alert rules ask for.
func checkMetrics(t *testing.T, text string) {
	t.Helper()
	given := map[string]bool{}
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			given[strings.FieldsFunc(line, func(r rune) bool { return r == '{' || r == ' ' })[0]] = true
		}
	}
	for _, file := range []string{"grafana/sensor.json", "prometheus/alerts.yaml"} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		asked := names.FindAllString(string(content), -1)
		if len(asked) < 4 {
			t.Errorf("%s asks for %d metrics", file, len(asked))
		}
		for _, name := range asked {
			if !given[name] {
				t.Errorf("%s asks for %s, which the sensor does not give", file, name)
			}
		}
	}
}
