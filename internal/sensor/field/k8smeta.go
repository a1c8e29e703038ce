package field

import "github.com/peregrine-sec/peregrine/internal/sensor/container"

// k8smetaFields are those of Falco's plugin k8smeta: labels, and all of
// services, are lists.
func k8smetaFields() []Field {
	fields := []Field{
		ofPod("k8smeta.pod.name", "Name of the pod.", func(p *container.Pod) string { return p.Name }),
		ofPod("k8smeta.pod.uid", "Unique id of the pod.", func(p *container.Pod) string { return p.UID }),
		ofPod("k8smeta.pod.ip", "IP address of the pod.", func(p *container.Pod) string { return p.IP }),
		labelField("k8smeta.pod.label", "One label of the pod, as in k8smeta.pod.label[app].", podLabels),
		labelList("k8smeta.pod.labels", "Labels of the pod, each as NAME:VALUE.", podLabels),
		ofPod("k8smeta.ns.name", "Namespace of the pod.", func(p *container.Pod) string { return p.Namespace }),
	}
	for _, k := range kinds {
		prefix := "k8smeta." + k.name
		if k.name != "ns" {
			fields = append(fields, k.nameField(prefix))
		}
		fields = append(fields,
			k.text(prefix+".uid", "Unique id of "+k.doc+fromAPI, func(o *container.Object) string { return o.UID }),
			labelField(prefix+".label", "One label of "+k.doc+", as in "+prefix+".label[app]"+fromAPI, k.labels),
			labelList(prefix+".labels", "Labels of "+k.doc+", each as NAME:VALUE"+fromAPI, k.labels))
	}
	return append(fields,
		serviceList("k8smeta.svc.name", "Names of the services that lead to the pod"+fromAPI, func(o *container.Object, yield func(string) bool) bool { return yield(o.Name) }),
		serviceList("k8smeta.svc.uid", "Unique ids of the services that lead to the pod"+fromAPI, func(o *container.Object, yield func(string) bool) bool { return yield(o.UID) }),
		serviceLabel(),
		serviceList("k8smeta.svc.labels", "Labels of the services that lead to the pod, each as NAME:VALUE"+fromAPI, func(o *container.Object, yield func(string) bool) bool {
			return yieldAll(labelTexts(o.Labels), yield)
		}),
	)
}

// labelList is labels, without annotations, as a list.
func labelList(name, doc string, get func(*Context) (map[string]string, bool)) Field {
	return stringList(name, doc, func(c *Context, yield func(string) bool) bool {
		labels, ok := get(c)
		if !ok || len(labels) == 0 {
			return false
		}
		yieldAll(labelTexts(withoutNames(labels)), yield)
		return true
	})
}

func yieldAll(list []string, yield func(string) bool) bool {
	for _, s := range list {
		if !yield(s) {
			return false
		}
	}
	return true
}

// serviceList yields the values of each for every service, until that returns
// false.
func serviceList(name, doc string, each func(*container.Object, func(string) bool) bool) Field {
	return stringList(name, doc, func(c *Context, yield func(string) bool) bool {
		list := podServices(c)
		for i := range list {
			if !each(&list[i], yield) {
				break
			}
		}
		return len(list) > 0
	})
}

func serviceLabel() Field {
	return Field{
		Name: "k8smeta.svc.label", Type: String, Match: List, Stage: AtExec, Arg: ArgRequired, dotted: true, Flags: Metadata,
		Doc: "One label of the services that lead to the pod, as in k8smeta.svc.label[app]" + fromAPI,
		Bind: func(arg string) (Extractor, error) {
			return Extractor{Type: String, Match: List, Stage: AtExec, Each: func(c *Context, yield func(string) bool) bool {
				found, more := false, true
				for _, o := range podServices(c) {
					if v, ok := o.Labels[arg]; ok && more {
						found, more = true, yield(v)
					}
				}
				return found
			}}, nil
		},
	}
}

func stringList(name, doc string, each func(*Context, func(string) bool) bool) Field {
	return fixed(name, AtExec, doc, Extractor{Type: String, Match: List, Each: each}).with(Metadata)
}
