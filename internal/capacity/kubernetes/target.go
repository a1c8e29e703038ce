package kubernetes

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/kubeapi"
	"github.com/peregrine-sec/peregrine/internal/nearest"
)

// daemonSet is the sensor as it is installed.
type daemonSet struct {
	Metadata meta `json:"metadata"`
	Spec     struct {
		Selector struct {
			MatchLabels map[string]string `json:"matchLabels"`
		} `json:"selector"`
		Template object `json:"template"`
	} `json:"spec"`
	Status struct {
		Desired int `json:"desiredNumberScheduled"`
		Updated int `json:"updatedNumberScheduled"`
	} `json:"status"`
}

// name is NAMESPACE/NAME.
func (d *daemonSet) name() string { return d.Metadata.Namespace + "/" + d.Metadata.Name }

// label is the name as a label's value: those have 63 characters and no slash.
func (d *daemonSet) label() string {
	name := d.Metadata.Namespace + "." + d.Metadata.Name
	const most = 63
	if len(name) <= most {
		return name
	}
	return fmt.Sprintf("%.40s-%x", name, sha256.Sum256([]byte(name)))[:most]
}

// knownSensors are the values of app.kubernetes.io/name that sensors have, and
// the names of their containers: those of Falco's and Peregrine's charts.
var knownSensors = []string{"falco", "peregrine"}

const nameLabel = "app.kubernetes.io/name"

// isSensor says whether a DaemonSet runs a known sensor. Falco's chart before 2.0, and
// manifests of others, have no such label.
func (d *daemonSet) isSensor() bool {
	return slices.Contains(knownSensors, d.Metadata.Labels[nameLabel]) ||
		slices.ContainsFunc(d.containers(), func(c container) bool { return slices.Contains(knownSensors, c.Name) })
}

func (d *daemonSet) containers() []container { return convert[pod](d.Spec.Template).Spec.Containers }

// findSensor returns the DaemonSet that is called NAMESPACE/NAME, or the only
// one of a known sensor if that is "".
func findSensor(ctx context.Context, client *kubeapi.Client, name string) (*daemonSet, error) {
	if name != "" {
		return namedSensor(ctx, client, name)
	}
	var all list[daemonSet]
	if err := client.Get(ctx, daemonSets, &all); err != nil {
		return nil, err
	}
	found := slices.DeleteFunc(all.Items, func(d daemonSet) bool { return !d.isSensor() })
	switch len(found) {
	case 0:
		return nil, refuse("no DaemonSet is a sensor's by its label %s or the name of its container (%s): name the sensor's with --daemonset NAMESPACE/NAME", nameLabel, strings.Join(knownSensors, " or "))
	case 1:
		return &found[0], nil
	}
	var names []string
	for _, d := range found {
		names = append(names, d.name())
	}
	return nil, refuse("several sensors are installed: choose one with --daemonset %s", strings.Join(names, " or "))
}

// daemonSets are those of all namespaces.
const daemonSets = "/apis/apps/v1/daemonsets"

func namedSensor(ctx context.Context, client *kubeapi.Client, name string) (*daemonSet, error) {
	namespace, short, ok := strings.Cut(name, "/")
	if !ok || namespace == "" || short == "" {
		return nil, refuse("DaemonSet %q: expected NAMESPACE/NAME%s", name, similar(ctx, client, daemonSets, name))
	}
	d := &daemonSet{}
	err := client.Get(ctx, kubeapi.In("apis/apps/v1", namespace, "daemonsets", short), d)
	if kubeapi.Is(err, 404) {
		err = refuse("there is no DaemonSet %s%s", name, similar(ctx, client, daemonSets, name))
	}
	return d, err
}

// similar is ", did you mean NAME?" if an object of a collection is called so;
// else, and if this user may not list them, "".
func similar(ctx context.Context, client *kubeapi.Client, collection, name string) string {
	var all list[struct{ Metadata meta }]
	if client.Get(ctx, fmt.Sprintf("%s?limit=%d", collection, pageSize), &all) != nil {
		return ""
	}
	var names []string
	for _, o := range all.Items {
		full := strings.TrimPrefix(o.Metadata.Namespace+"/"+o.Metadata.Name, "/")
		if o.Metadata.Name == name[strings.LastIndex(name, "/")+1:] {
			return fmt.Sprintf(", did you mean %s?", full)
		}
		names = append(names, full)
	}
	if near, ok := nearest.Name(name, names); ok {
		return fmt.Sprintf(", did you mean %s?", near)
	}
	return ""
}

// sensor finds the sensor's container in the template: the one of that name, the
// one that is called like a known sensor, or the only one.
func (d *daemonSet) sensor(name string) (container, error) {
	containers := d.containers()
	var names []string
	for _, c := range containers {
		names = append(names, c.Name)
	}
	at := slices.IndexFunc(names, func(n string) bool {
		return n == name || name == "" && (len(names) == 1 || slices.Contains(knownSensors, n))
	})
	if at < 0 {
		return container{}, refuse("DaemonSet %s has the containers %s: name the sensor's with --sensor-container", d.name(), strings.Join(names, ", "))
	}
	if c := containers[at]; c.inShell() {
		return c, refuse("container %s of DaemonSet %s starts the sensor by a shell: settings cannot be added to its arguments", c.Name, d.name())
	}
	return containers[at], nil
}

// Labels by which a DaemonSet's controller tells a pod's template (pkg/controller/daemon,
// IsPodUpdated).
const (
	generationLabel = "pod-template-generation"
	generation      = "deprecated.daemonset.template.generation"
)

// outdated refuses a pod of an earlier template: deleted, it would come back as another.
func (d *daemonSet) outdated(p *pod) error {
	now := d.Metadata.Annotations[generation]
	if d.Status.Updated >= d.Status.Desired || now == "" || p.Metadata.Labels[generationLabel] == now {
		return nil
	}
	return refuse("pod %s is of an earlier template of DaemonSet %s, and would come back as one of the present: wait for the rollout to end, or delete the pod yourself (updateStrategy OnDelete)", p.Metadata.Name, d.name())
}

// taint keeps pods off a node that do not tolerate it.
type taint struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Effect string `json:"effect"`
}

func (t taint) String() string {
	text := t.Key
	if t.Value != "" {
		text += "=" + t.Value
	}
	return text + ":" + t.Effect
}

type toleration struct {
	Key      string `json:"key"`
	Operator string `json:"operator"`
	Value    string `json:"value"`
	Effect   string `json:"effect"`
}

// tolerates is ToleratesTaint of k8s.io/api/core/v1.
func (t toleration) tolerates(x taint) bool {
	return (t.Effect == "" || t.Effect == x.Effect) && (t.Key == "" || t.Key == x.Key) && (t.Operator == "Exists" || t.Value == x.Value)
}

// repels is a taint of a node that lets the sensor's pod run on, and lets no new one
// come (NoSchedule); "" if absent.
func (d *daemonSet) repels(n *node) string {
	tolerations := convert[[]toleration](tolerateAsDaemon(member(convert[object](d.Spec.Template), "spec")))
	for _, t := range n.Spec.Taints {
		if t.Effect == "NoSchedule" && !slices.ContainsFunc(tolerations, func(own toleration) bool { return own.tolerates(t) }) {
			return t.String()
		}
	}
	return ""
}
