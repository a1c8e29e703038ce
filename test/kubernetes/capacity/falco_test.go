package capacity

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/test/kubernetes"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// standIn is a DaemonSet as Falco's chart makes it, with a player in Falco's place.
const standIn = `
apiVersion: v1
kind: Namespace
metadata: {name: falco}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: falco, namespace: falco, labels: {app.kubernetes.io/name: falco}}
spec:
  selector: {matchLabels: {app.kubernetes.io/name: falco, app.kubernetes.io/instance: falco}}
  template:
    metadata: {labels: {app.kubernetes.io/name: falco, app.kubernetes.io/instance: falco}}
    spec:
      hostPID: true
      terminationGracePeriodSeconds: 2
      containers:
      - name: falco
        image: localhost/falco:0.44.1
        imagePullPolicy: Never
        args: [/usr/bin/falco]
        env: [{name: FALCO_PLAYER_SENSOR, value: /usr/bin/peregrine}]
        resources: {requests: {cpu: 100m, memory: 128Mi}, limits: {cpu: 1000m, memory: 1024Mi}}
        securityContext: {privileged: true}
`

// falco measures a stand-in for Falco.
func (l *lab) falco(t *testing.T) {
	player := filepath.Join(t.TempDir(), "falcoplayer")
	l.build(t, "go", "build", "-buildvcs=false", "-o", player, "../../falcoplayer")
	l.Import(t, kubernetes.Image{Tag: "localhost/falco:0.44.1", Files: map[string]string{"/usr/bin/falco": player, "/usr/bin/peregrine": l.program}})
	apply := l.Kubectl("apply", "-f", "-")
	apply.Stdin = strings.NewReader(standIn)
	l.Run(t, apply)
	l.Run(t, l.Kubectl("rollout", "status", "-n", "falco", "daemonset/falco", "--timeout=5m"))
	fails(t, l.capacity("--node", "node1", "--out", t.TempDir()), 3, "several sensors are installed", "falco/falco", namespace+"/peregrine")
	l.chart(t)
	l.Run(t, l.Kubectl("delete", "namespace", "falco", "capacity"))
	l.Run(t, l.Kubectl("delete", "persistentvolume", "capacity"))
}

// volume is one that a pod of any user may write to.
const volume = `
apiVersion: v1
kind: PersistentVolume
metadata: {name: capacity}
spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: %q}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: reports, namespace: capacity}
spec: {storageClassName: "", volumeName: capacity, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
`

// chart measures the stand-in in the cluster, by the CronJob of the chart, and reads the
// ConfigMap and the volume.
func (l *lab) chart(t *testing.T) {
	args, err := json.Marshal(append(slices.Clone(short), "--max-duration", "10s"))
	if err != nil {
		t.Fatal(err)
	}
	file := l.write(t, t.TempDir(), "values.yaml", "image: {tag: test, pullPolicy: Never}\nsensor: {namespace: falco, daemonset: falco}\nnodes: [node1]\nlimits: {cpu: ['0.7']}\n"+
		"schedule: 0 0 1 1 *\nreportClaim: reports\nextraArgs: "+string(args)+"\n")
	l.Run(t, l.Helm("install", "capacity", chart, "--namespace", "capacity", "--create-namespace", "--values", file))
	reports := t.TempDir()
	if err := os.Chmod(reports, 0o777); err != nil {
		t.Fatal(err)
	}
	apply := l.Kubectl("apply", "-f", "-")
	apply.Stdin = strings.NewReader(fmt.Sprintf(volume, reports))
	l.Run(t, apply)
	l.Run(t, l.Kubectl("wait", "-n", "capacity", "pvc/reports", "--for=jsonpath={.status.phase}=Bound", "--timeout=5m"))
	l.Run(t, l.Kubectl("create", "job", "-n", "capacity", "once", "--from=cronjob/capacity"))
	out := filepath.Join(t.TempDir(), "run")
	if !needs.Within(2*time.Minute, func() bool {
		text, err := l.Kubectl("get", "configmap", "-n", "capacity", "capacity-report", "-o", `jsonpath={.data.result\.json}`).Output()
		if err != nil {
			return false
		}
		if err := os.WriteFile(out, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return true
	}) {
		logs, _ := l.Kubectl("logs", "-n", "capacity", "job/once").CombinedOutput()
		t.Fatalf("no report:\n%s", logs)
	}
	t.Log(l.Run(t, l.Kubectl("logs", "-n", "capacity", "job/once")))
	checkRows(t, out, 1)
	kept, err := filepath.Glob(filepath.Join(reports, "peregrine-capacity-*"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("the volume has %q, %v", kept, err)
	}
	checkRun(t, kept[0], 1)
}
