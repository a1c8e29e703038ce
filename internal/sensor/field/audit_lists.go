package field

import "github.com/peregrine-sec/peregrine/internal/jsontext"

// auditListFields are lists in the objects of requests, containers apart.
func auditListFields() []Field {
	const rules, volumes = "requestObject.rules[]", "requestObject.spec.volumes[]"
	return []Field{
		auditList("ka.req.binding.subjects", "Subjects of a binding, each as JSON.", "requestObject.subjects[]", emitJSON),
		subjectNames("ka.req.binding.subjects.user_names", "Names of the users of a binding.", "User", false),
		subjectNames("ka.req.binding.subjects.serviceaccount_names", "Names of the service accounts of a binding.", "ServiceAccount", false),
		subjectNames("ka.req.binding.subjects.serviceaccount_ns_names", "Service accounts of a binding, as namespace:name.", "ServiceAccount", true),
		subjectNames("ka.req.binding.subjects.group_names", "Names of the groups of a binding.", "Group", false),
		auditList("ka.req.pod.supplemental_groups", "Supplemental group ids of the pod's processes.", "requestObject.spec.securityContext.supplementalGroups[]", emitText),
		auditList("ka.req.role.rules", "Rules of a role, each as JSON.", rules, emitJSON),
		auditList("ka.req.role.rules.apiGroups", "API groups in the rules of a role.", rules+".apiGroups[]", emitText).indexed(),
		auditList("ka.req.role.rules.nonResourceURLs", "Non-resource URLs in the rules of a role.", rules+".nonResourceURLs[]", emitText).indexed(),
		auditList("ka.req.role.rules.verbs", "Verbs in the rules of a role.", rules+".verbs[]", emitText).indexed(),
		auditList("ka.req.role.rules.resources", "Resources in the rules of a role.", rules+".resources[]", emitText).indexed(),
		auditList("ka.req.service.ports", "Ports of a service.", "requestObject.spec.ports[].port", emitText).indexed(),
		auditList("ka.req.pod.volumes.hostpath", "Paths of the host that a pod mounts.", volumes+".hostPath.path", emitText).indexed(),
		auditList("ka.req.pod.volumes.flexvolume_driver", "Drivers of a pod's flex volumes.", volumes+".flexVolume.driver", emitText).indexed(),
		auditList("ka.req.pod.volumes.volume_type", "Types of a pod's volumes: hostPath, secret, ...", volumes, emitVolumeType).indexed(),
	}
}

// subjectNames are the names of a binding's subjects of one kind.
func subjectNames(name, doc, kind string, namespaced bool) Field {
	return auditList(name, doc, "requestObject.subjects[]", func(c *Context, v jsontext.Value, yield func(string) bool) bool {
		if !c.isText(v.Get("kind"), kind) {
			return true
		}
		if !namespaced {
			return c.giveText(v.Get("name"), yield)
		}
		start := len(c.buf)
		c.buf = append(v.Get("namespace").AppendText(c.buf), ':')
		c.buf = v.Get("name").AppendText(c.buf)
		return c.give(c.built(start), yield)
	})
}

// emitVolumeType yields the keys of a volume other than its name.
func emitVolumeType(c *Context, v jsontext.Value, yield func(string) bool) bool {
	if v.Kind() != jsontext.Object {
		return true
	}
	for it := v.Parts(); it.Next(); {
		if key, _ := c.jsonText(it.Key); key != "name" && !c.give(key, yield) {
			return false
		}
	}
	return true
}
