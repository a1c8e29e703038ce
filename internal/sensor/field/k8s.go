package field

import "github.com/peregrine-sec/peregrine/internal/sensor/container"

// k8sFields are those of the pod that the process's container belongs to;
// missing outside Kubernetes.
func k8sFields() []Field {
	fields := []Field{
		ofPod("k8s.pod.name", "Name of the pod.", func(p *container.Pod) string { return p.Name }),
		ofPod("k8s.ns.name", "Namespace of the pod.", func(p *container.Pod) string { return p.Namespace }),
		ofPod("k8s.pod.id", "As k8s.pod.uid.", func(p *container.Pod) string { return p.UID }),
		ofPod("k8s.pod.uid", "Unique id of the pod.", func(p *container.Pod) string { return p.UID }),
		ofSandbox("k8s.pod.sandbox_id", "First 12 characters of the id of the pod's sandbox container; empty outside Kubernetes.", 12),
		ofSandbox("k8s.pod.full_sandbox_id", "Full id of the pod's sandbox container; empty outside Kubernetes.", 64),
		ofPod("k8s.pod.ip", "IP address of the pod.", func(p *container.Pod) string { return p.IP }),
		ofPod("k8s.pod.cni.json", "Result of the pod's network plugin, as JSON.", func(p *container.Pod) string { return p.CNI }),
		labelsField("k8s.pod.labels", "Labels of the pod, as NAME:VALUE separated by commas.", podLabels),
		labelField("k8s.pod.label", "One label of the pod, as in k8s.pod.label.app or k8s.pod.label[app].", podLabels),
	}
	for _, k := range kinds {
		fields = append(fields, k.fields("k8s."+k.name)...)
	}
	return append(fields, serviceFields()...)
}

func ofPod(name, doc string, get func(*container.Pod) string) Field {
	return str(name, AtExec, doc, func(c *Context) (string, bool) {
		p := c.Proc.Container.Pod
		if p == nil {
			return "", false
		}
		return get(p), true
	}).with(Metadata)
}

// ofSandbox is the id of the pod's sandbox, up to a length.
func ofSandbox(name, doc string, length int) Field {
	return ofContainer(name, doc, func(c *container.Container) string {
		if c.Pod == nil {
			return ""
		}
		return c.Pod.SandboxID[:min(len(c.Pod.SandboxID), length)]
	})
}

func podLabels(c *Context) (map[string]string, bool) {
	p := c.Proc.Container.Pod
	if p == nil {
		return nil, false
	}
	return p.Labels, true
}
