package field

import (
	"strings"

	"github.com/peregrine-sec/peregrine/internal/jsontext"
	"github.com/peregrine-sec/peregrine/internal/sensor/audit/record"
)

// auditObjectFields are single values of the objects in requests.
func auditObjectFields() []Field {
	flag := func(name, doc, member string) Field {
		return auditPointer(name, doc+" Missing if the pod does not set it.", "/requestObject/spec/"+member)
	}
	return []Field{
		auditPointer("ka.req.binding.role", "Role of a binding.", "/requestObject/roleRef/name"),
		hasSubject().with(Deprecated),
		str("ka.req.configmap.name", AtEvent, "Name of the config map, or of any other object.", func(c *Context) (string, bool) {
			return c.jsonText(c.part(record.Name))
		}),
		auditPointer("ka.req.configmap.obj", "Data of the config map, as JSON.", "/requestObject/data"),
		flag("ka.req.pod.host_ipc", "Whether the pod shares the host's IPC namespace.", "hostIPC"),
		flag("ka.req.pod.host_network", "Whether the pod shares the host's network.", "hostNetwork"),
		flag("ka.req.pod.host_pid", "Whether the pod shares the host's pid namespace.", "hostPID"),
		flag("ka.req.container.host_network", "Same as ka.req.pod.host_network.", "hostNetwork"),
		flag("ka.req.pod.run_as_user", "User id of the pod's processes.", "securityContext/runAsUser"),
		flag("ka.req.pod.run_as_group", "Group id of the pod's processes.", "securityContext/runAsGroup"),
		flag("ka.req.pod.fs_group", "Group id that owns the pod's volumes.", "securityContext/fsGroup"),
		auditPointer("ka.req.container.image", "Image of the pod's first container.", "/requestObject/spec/containers/0/image").with(Deprecated),
		str("ka.req.container.image.repository", AtEvent, "Repository of the image of the pod's first container.", func(c *Context) (string, bool) {
			image, ok := c.jsonText(c.follow(firstImage))
			return repository(image), ok
		}).with(Deprecated),
		str("ka.req.container.privileged", AtEvent, "Whether any container of the pod is privileged.", anyPrivileged).with(Deprecated),
		auditPointer("ka.req.service.type", "Type of the service: ClusterIP, NodePort, ...", "/requestObject/spec/type"),
		hostPath().with(Deprecated),
	}
}

var (
	firstImage = jsontext.ParsePointer("/requestObject/spec/containers/0/image")
	subjects   = jsontext.ParsePointer("/requestObject/subjects")
)

// anyPrivileged is missing for requests without containers.
func anyPrivileged(c *Context) (string, bool) {
	containers := c.follow(podSpec).Get("containers")
	answer, ok := "false", false
	for it := containers.Parts(); it.Next(); {
		ok = true
		if string(it.Value.Get("securityContext").Get("privileged")) == "true" {
			answer = "true"
		}
	}
	return answer, ok
}

// hasSubject says whether a binding names someone.
func hasSubject() Field {
	return argField("ka.req.binding.subject.has_name", AtEvent, "Whether a subject of the binding has the name in brackets.", func(c *Context, name string) (string, bool) {
		list := c.follow(subjects)
		answer := "false"
		for it := list.Parts(); it.Next(); {
			if c.isText(it.Value.Get("name"), name) {
				answer = "true"
			}
		}
		return answer, list.Kind() == jsontext.Array
	})
}

// hostPath says whether a pod mounts a path of the host. A star at the end of
// the path stands for anything.
func hostPath() Field {
	return argField("ka.req.volume.hostpath", AtEvent, "Whether the pod mounts the host's path in brackets; a * at its end matches any text.", func(c *Context, path string) (string, bool) {
		volumes := c.follow(podSpec).Get("volumes")
		prefix, wild := strings.CutSuffix(path, "*")
		answer := "false"
		for it := volumes.Parts(); it.Next(); {
			mounted, ok := c.jsonText(it.Value.Get("hostPath").Get("path"))
			if ok && (mounted == path || wild && strings.HasPrefix(mounted, prefix)) {
				answer = "true"
			}
		}
		return answer, volumes.Kind() == jsontext.Array
	})
}
