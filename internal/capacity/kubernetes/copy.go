package kubernetes

import (
	"cmp"
	"encoding/json"
	"strconv"
	"time"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/human"
)

// copied says how the copy of a sensor's pod differs from the original.
type copied struct {
	run       string
	node      string
	container string // which runs the sensor
	limit     capacity.Limit
	labels    map[string]string // of the pod that it replaces
	url       string            // where alerts go
	statsFile bool              // statistics go to a file, for want of a metrics endpoint
	deadline  time.Duration
	extra     []string // more arguments of the sensor
}

// statsDir is a directory of its own in the sensor's container, for statsPath.
const (
	statsDir  = "/peregrine-capacity"
	statsPath = statsDir + "/stats.json"
)

// revisionLabels are those by which a DaemonSet's controller tells pods of its present
// template from older ones. A copy has them, or it would be rolled out.
var revisionLabels = []string{"controller-revision-hash", "pod-template-generation"}

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
	// When it is over, the controller replaces the pod, whoever else is still there.
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
	args, _ := one["args"].([]any)
	for _, setting := range c.settings() {
		args = append(args, "-o", setting)
	}
	for _, arg := range c.extra {
		args = append(args, arg)
	}
	one["args"] = args
	if c.statsFile {
		volumes, _ := spec["volumes"].([]any)
		spec["volumes"] = append(volumes, object{"name": product, "emptyDir": object{"sizeLimit": "16Mi"}})
		mounts, _ := one["volumeMounts"].([]any)
		one["volumeMounts"] = append(mounts, object{"name": product, "mountPath": statsDir})
	}
}

// settings are the keys of the sensor's configuration that differ in the copy:
// alerts come as JSON by HTTP too, with the thread's id. They are Falco's, and
// ours; its versions skip those that they do not know. A URL of its own for HTTP is
// replaced. Where other outputs send alerts stays as it is; they write JSON too.
func (c *copied) settings() []string {
	settings := []string{
		"json_output=true",
		"http_output.enabled=true",
		"http_output.url=" + c.url,
		"http_output.keep_alive=true",
		"append_output[]={match: {source: syscall}, extra_fields: [proc.pid, thread.tid]}",
		"metrics.enabled=true",
		"metrics.kernel_event_counters_enabled=true",
		"metrics.resource_utilization_enabled=true",
	}
	if c.statsFile {
		return append(settings, "metrics.interval=1s", "metrics.output_file="+statsPath)
	}
	return append(settings, "webserver.enabled=true", "webserver.prometheus_metrics_enabled=true")
}

// limited are a container's resources under a limit. Requests are no more than
// before: they alone decide whether a node has room, and the CPU's also how
// much of a busy node the sensor gets.
func limited(r resources, l capacity.Limit) resources {
	now := r.clone()
	if now.Limits == nil {
		now.Limits = map[string]string{}
	}
	if now.Requests == nil {
		now.Requests = map[string]string{}
	}
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
	spec["tolerations"] = tolerations
}
