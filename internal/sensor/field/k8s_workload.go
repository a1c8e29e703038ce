package field

import (
	"slices"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
)

// kind is a kind of objects that the API server tells of a pod. The fields of
// Falco's plugin k8smeta, and those that Falco had before, are made of them.
type kind struct {
	name, doc string
	of        func(*container.Workload) *container.Object
}

var kinds = []kind{
	{"ns", "the pod's namespace", func(w *container.Workload) *container.Object { return &w.Namespace }},
	{"deployment", "the pod's deployment", func(w *container.Workload) *container.Object { return &w.Deployment }},
	{"rs", "the pod's replica set", func(w *container.Workload) *container.Object { return &w.ReplicaSet }},
	{"rc", "the pod's replication controller", func(w *container.Workload) *container.Object { return &w.ReplicationController }},
}

// fromAPI ends the texts about fields that the runtime does not tell.
const fromAPI = "; from the API server (-k)."

// fields are those of Falco before 0.37: k8s.rs.name, id, labels, label.
func (k kind) fields(prefix string) []Field {
	fields := []Field{
		k.text(prefix+".id", "Unique id of "+k.doc+fromAPI, func(o *container.Object) string { return o.UID }),
		labelsField(prefix+".labels", "Labels of "+k.doc+", as NAME:VALUE separated by commas"+fromAPI, k.labels),
		labelField(prefix+".label", "One label of "+k.doc+", as in "+prefix+".label.app or "+prefix+".label[app]"+fromAPI, k.labels),
	}
	if k.name == "ns" { // the runtime tells its name
		return fields
	}
	return append([]Field{k.nameField(prefix)}, fields...)
}

func (k kind) nameField(prefix string) Field {
	return k.text(prefix+".name", "Name of "+k.doc+fromAPI, func(o *container.Object) string { return o.Name })
}

func (k kind) object(c *Context) *container.Object {
	p := c.Proc.Container.Pod
	if p == nil || p.Workload == nil {
		return nil
	}
	if o := k.of(p.Workload); o.Name != "" {
		return o
	}
	return nil
}

func (k kind) text(name, doc string, get func(*container.Object) string) Field {
	return str(name, AtExec, doc, func(c *Context) (string, bool) {
		o := k.object(c)
		if o == nil {
			return "", false
		}
		return get(o), true
	}).with(Metadata)
}

func (k kind) labels(c *Context) (map[string]string, bool) {
	o := k.object(c)
	if o == nil {
		return nil, false
	}
	return o.Labels, true
}

// serviceFields are those of Falco before 0.37. Several services may lead to a
// pod: their values are joined.
func serviceFields() []Field {
	return []Field{
		ofServices("k8s.svc.name", "Names of the services that lead to the pod, separated by commas"+fromAPI, func(o *container.Object) string { return o.Name }),
		ofServices("k8s.svc.id", "Unique ids of the services that lead to the pod, separated by commas"+fromAPI, func(o *container.Object) string { return o.UID }),
		ofServices("k8s.svc.labels", "Labels of the services that lead to the pod, as NAME:VALUE separated by commas"+fromAPI, func(o *container.Object) string {
			return strings.Join(labelTexts(o.Labels), ", ")
		}),
		argField("k8s.svc.label", AtExec, "One label of the services that lead to the pod, separated by commas, as in k8s.svc.label.app or k8s.svc.label[app]"+fromAPI, func(c *Context, arg string) (string, bool) {
			return joinServices(c, func(o *container.Object) string { return o.Labels[arg] })
		}).afterDot().with(Metadata),
	}
}

func ofServices(name, doc string, get func(*container.Object) string) Field {
	return str(name, AtExec, doc, func(c *Context) (string, bool) { return joinServices(c, get) }).with(Metadata)
}

// joinServices joins the values of the pod's services; missing if none has one.
func joinServices(c *Context, get func(*container.Object) string) (string, bool) {
	start := len(c.buf)
	for i := range podServices(c) {
		text := get(&podServices(c)[i])
		if text == "" {
			continue
		}
		if len(c.buf) > start {
			c.buf = append(c.buf, ", "...)
		}
		c.buf = append(c.buf, text...)
	}
	return c.built(start), len(c.buf) > start
}

func podServices(c *Context) []container.Object {
	if p := c.Proc.Container.Pod; p != nil && p.Workload != nil {
		return p.Workload.Services
	}
	return nil
}

// labelTexts are labels as NAME:VALUE, sorted.
func labelTexts(labels map[string]string) []string {
	texts := make([]string, 0, len(labels))
	for k, v := range labels {
		if v != "" {
			k += ":" + v
		}
		texts = append(texts, k)
	}
	slices.Sort(texts)
	return texts
}
