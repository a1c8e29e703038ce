package deploy

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/test/kubernetes"
)

// certificates puts certificates for gRPC into the cluster: the sensor's, which is
// called sensor there, and a client's in another namespace.
func certificates(t *testing.T, c *kubernetes.Cluster) {
	t.Helper()
	dir := t.TempDir()
	if err := kubernetes.Certificates(dir, "sensor"); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []struct{ namespace, name string }{{namespace, "server"}, {"reader", "client"}} {
		c.Run(t, c.Kubectl("create", "namespace", secret.namespace))
		args := []string{"create", "secret", "generic", secret.name, "-n", secret.namespace}
		for _, file := range []string{secret.name + ".key", secret.name + ".crt", "ca.crt"} {
			args = append(args, "--from-file="+file+"="+filepath.Join(dir, file))
		}
		c.Run(t, c.Kubectl(args...))
	}
}

// reader does what a rule detects, and waits for the alert by gRPC. The image has
// no /tmp.
const reader = `
apiVersion: v1
kind: Pod
metadata: {name: reader, namespace: reader}
spec:
  restartPolicy: Never
  hostAliases: [{ip: ADDRESS, hostnames: [sensor]}]
  containers:
  - name: reader
    image: localhost/peregrine:test
    imagePullPolicy: Never
    args: [generate, test, ClearLogActivities, --grpc-hostname, sensor, --grpc-port, "5060", --test-timeout, 60s, --settle, 100ms, --state-dir, /state]
    securityContext: {privileged: true}
    volumeMounts:
    - {name: certs, mountPath: /etc/falco/certs}
    - {name: tmp, mountPath: /tmp}
  volumes:
  - {name: certs, secret: {secretName: client}}
  - {name: tmp, emptyDir: {}}
`

// checkGRPC checks that a pod gets the sensor's alerts by gRPC.
func checkGRPC(t *testing.T, c *kubernetes.Cluster, write func(name, text string) string) {
	t.Helper()
	c.Run(t, c.Kubectl("apply", "-f", write("reader.yaml", strings.Replace(reader, "ADDRESS", address(t, c), 1))))
	ended := c.Kubectl("wait", "pod/reader", "-n", "reader", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=5m").Run()
	if logs := c.Run(t, c.Kubectl("logs", "-n", "reader", "reader")); ended != nil || !strings.Contains(logs, "passed=1") {
		t.Errorf("alerts by gRPC: %v\n%s", ended, logs)
	}
}
