package kubernetes

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/falco"
	"github.com/peregrine-sec/peregrine/internal/human"
)

// copied says how the copy of a sensor's pod differs from the original.
type copied struct {
	run       string
	node      string
	container string // which runs the sensor
	limit     capacity.Limit
	labels    map[string]string // of the pod that it replaces
	release   falco.Release     // of the sensor
	url       string            // where alerts go; "" for socketPath
	statsFile bool              // statistics go to statsPath, for want of a metrics endpoint
	deadline  time.Duration
	extra     []string // more arguments of the sensor
}

// ownDir is a directory of its own in the sensor's container.
const (
	ownDir     = "/peregrine-capacity"
	statsPath  = ownDir + "/stats.json"
	socketPath = ownDir + "/alerts.sock"
)

// revisionLabels are those by which a DaemonSet's controller tells pods of its present
// template from older ones. A copy has them, or it would be rolled out.
var revisionLabels = []string{"controller-revision-hash", generationLabel}

// makeCopy is the pod of a DaemonSet's template on one node, with another limit.
func (d *daemonSet) makeCopy(c copied) object {
	template := convert[object](d.Spec.Template)
	metadata, spec := member(template, "metadata"), member(template, "spec")
	labels := member(metadata, "labels")
	for _, name := range revisionLabels {
		if value, ok := c.labels[name]; ok {
			labels[name] = value
		}
	}
	labels[runLabel] = c.run
	note, _ := json.Marshal(map[string]string{"run": c.run, "copy-of": d.name(), "limit": c.limit.String()})
	member(metadata, "annotations")[record] = string(note)
	metadata["namespace"] = d.Metadata.Namespace
	metadata["generateName"] = d.Metadata.Name + "-capacity-"
	metadata["ownerReferences"] = []any{object{
		"apiVersion": "apps/v1", "kind": "DaemonSet", "name": d.Metadata.Name, "uid": d.Metadata.UID, "controller": true,
	}}
	pinTo(spec, c.node)
	// When it is over, the controller replaces the pod, even if the run is gone.
	spec["activeDeadlineSeconds"] = int(c.deadline.Seconds())
	for _, each := range spec["containers"].([]any) {
		if one := each.(object); one["name"] == c.container {
			c.change(one, spec)
		}
	}
	return object{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
}

// member is an object within an object, which is made if it is not there.
func member(of object, name string) object {
	inner, ok := of[name].(object)
	if !ok {
		inner = object{}
		of[name] = inner
	}
	return inner
}

// change gives the sensor's container its limit, and sends its alerts to us.
func (c *copied) change(one, spec object) {
	one["resources"] = limited(convert[resources](member(one, "resources")), c.limit)
	sensor := convert[container](one)
	var args []any
	for _, arg := range slices.Concat(sensor.arguments(), c.settings(), c.extra) {
		args = append(args, arg)
	}
	one["args"] = args
	if c.statsFile || c.url == "" {
		volumes, _ := spec["volumes"].([]any)
		spec["volumes"] = append(volumes, object{"name": product, "emptyDir": object{"sizeLimit": "16Mi"}})
		mounts, _ := one["volumeMounts"].([]any)
		one["volumeMounts"] = append(mounts, object{"name": product, "mountPath": ownDir})
	}
}

// settings are the arguments by which the copy differs: alerts come as JSON to us,
// in place of one output of the sensor's own. Where its other outputs send them
// stays as it is; they write JSON too.
func (c *copied) settings() []string {
	args := c.release.Alerts()
	if c.url == "" {
		args = append(args, falco.Set("grpc.enabled=true", "grpc.bind_address=unix://"+socketPath, "grpc_output.enabled=true")...)
	} else {
		args = append(args, falco.Set("http_output.enabled=true", "http_output.url="+c.url, "http_output.keep_alive=true",
			"http_output.compress_uploads=false", "http_output.echo=false")...)
	}
	if c.statsFile {
		return append(args, c.release.StatsFile(statsPath)...)
	}
	return append(args, c.release.StatsEndpoint()...)
}

// limited are a container's resources under a limit. Requests are no more than
// before: they alone decide whether a node has room, and the CPU's also how
// much of a busy node the sensor gets.
func limited(r resources, l capacity.Limit) resources {
	now := resources{map[string]string{}, map[string]string{}}
	maps.Copy(now.Limits, r.Limits)
	maps.Copy(now.Requests, r.Requests)
	set := func(name, quantity string, limit float64, read func(string) (float64, error)) {
		if limit <= 0 {
			delete(now.Limits, name)
			return
		}
		now.Limits[name] = quantity
		// Kubernetes takes the limit for a request that is not there.
		asked := cmp.Or(now.Requests[name], r.Limits[name], "0")
		if n, err := read(asked); err == nil && n > limit {
			asked = quantity
		}
		now.Requests[name] = asked // also one that is not read here, such as "0" or "5e7n"
	}
	set("cpu", human.Millis(l.CPU), l.CPU, human.ParseCPUs)
	set("memory", strconv.FormatInt(l.Memory, 10), float64(l.Memory), func(s string) (float64, error) {
		n, err := human.ParseSize(s)
		return float64(n), err
	})
	return now
}

// pinTo lets a pod run on one node only, in the way of the DaemonSet controller
// (pkg/controller/daemon/util: ReplaceDaemonSetPodNodeNameNodeAffinity and
// AddOrUpdateDaemonPodTolerations).
func pinTo(spec object, node string) {
	affinity := member(member(spec, "affinity"), "nodeAffinity")
	affinity["requiredDuringSchedulingIgnoredDuringExecution"] = object{"nodeSelectorTerms": []any{object{
		"matchFields": []any{object{"key": "metadata.name", "operator": "In", "values": []any{node}}},
	}}}
	spec["tolerations"] = tolerateAsDaemon(spec)
}

// tolerateAsDaemon are the tolerations of a pod, and those that every pod of a
// DaemonSet has besides.
func tolerateAsDaemon(spec object) []any {
	tolerations, _ := spec["tolerations"].([]any)
	tolerate := func(name, effect string) {
		tolerations = append(tolerations, object{"key": "node.kubernetes.io/" + name, "operator": "Exists", "effect": effect})
	}
	tolerate("not-ready", "NoExecute")
	tolerate("unreachable", "NoExecute")
	for _, name := range []string{"disk-pressure", "memory-pressure", "pid-pressure", "unschedulable"} {
		tolerate(name, "NoSchedule")
	}
	if spec["hostNetwork"] == true {
		tolerate("network-unavailable", "NoSchedule")
	}
	return tolerations
}
