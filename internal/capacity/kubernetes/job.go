package kubernetes

import (
	"net"
	"strconv"
	"time"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/human"
)

// load is the Job that measures one limit on one node.
type load struct {
	run, sensor       string // values of their labels
	namespace, node   string
	image, pullPolicy string
	container         string // ID of the sensor's
	limit             capacity.Limit
	alerts, stats     string
	flags             []string // of capacity run
	length            time.Duration
}

// loadContainer is the name of the Job's one container.
const loadContainer = "load"

// grace is how long a Job may take beyond its rows: an image to be pulled, a
// sensor to be looked at.
const grace = 90 * time.Second

// job is the object. Its pod sees the node's processes and their cgroups, takes
// alerts at the node's address, and has no access to the API server.
func (l *load) job() object {
	spec := object{
		"restartPolicy": "Never", "automountServiceAccountToken": false, "enableServiceLinks": false,
		"hostPID": true, "hostNetwork": true, "terminationGracePeriodSeconds": 10,
		"tolerations": []any{object{"operator": "Exists"}},
		"containers": []any{object{
			"name": loadContainer, "image": l.image, "imagePullPolicy": l.pullPolicy, "args": l.args(),
			// Actions and their sandbox need nine capabilities (docs/guide/capacity-on-kubernetes.md). With
			// these alone, a container has a cgroup namespace of its own on cgroup v2 (containerd,
			// internal/cri: cgroup namespace is the host's only if privileged), and the sensor's is not
			// found by its path.
			"securityContext": object{"privileged": true, "runAsUser": 0},
			// Without a request it would get 2 shares of a busy CPU (cpu.shares).
			"resources": object{"requests": object{"cpu": "100m", "memory": "64Mi"}},
			"volumeMounts": []any{
				object{"name": "cgroup", "mountPath": "/sys/fs/cgroup", "readOnly": true},
				object{"name": "etc", "mountPath": "/etc/shadow", "subPath": "shadow"},
			},
		}},
		"volumes": []any{
			object{"name": "cgroup", "hostPath": object{"path": "/sys/fs/cgroup"}},
			// Actions open /etc/shadow, which the image does not have. It holds the pod's name.
			object{"name": "etc", "downwardAPI": object{"items": []any{object{"path": "shadow", "fieldRef": object{"fieldPath": "metadata.name"}}}}},
		},
	}
	pinTo(spec, l.node)
	labels := object{nameLabel: product, partOf: product, runLabel: l.run, sensorLabel: l.sensor}
	return object{
		"apiVersion": "batch/v1", "kind": "Job",
		"metadata": object{"generateName": product + "-", "namespace": l.namespace, "labels": labels},
		"spec": object{
			"backoffLimit":            0, // half a measurement is not repeated
			"activeDeadlineSeconds":   int((l.length + grace).Seconds()),
			"ttlSecondsAfterFinished": 3600,
			"template":                object{"metadata": object{"labels": labels}, "spec": spec},
		},
	}
}

// args are those of capacity run, for one row.
func (l *load) args() []any {
	args := []any{"capacity", "run", "--pod", l.container, "--alerts", l.alerts, "--format", "json", "--out", "/tmp/run",
		"--cpu", human.CPUs(l.limit.CPU), "--memory", human.Quantity(l.limit.Memory), "--max-duration", l.length.String()}
	if l.stats != "" {
		args = append(args, "--stats", l.stats)
	}
	for _, flag := range l.flags {
		args = append(args, flag)
	}
	return args
}

// alertsURL is where a node's sensor posts its alerts.
func alertsURL(address string, port int) string {
	return "http://" + net.JoinHostPort(address, strconv.Itoa(port))
}
