package field

import (
	"strings"

	"github.com/peregrine-sec/peregrine/internal/jsontext"
)

var podSpec = jsontext.ParsePointer("/requestObject/spec")

// auditPodFields are the containers of pods in requests. There are three lists
// of containers in a pod, each with the same fields.
func auditPodFields() []Field {
	var fields []Field
	for _, list := range []struct{ key, of string }{
		{"containers", "containers"}, {"initContainers", "init containers"}, {"ephemeralContainers", "ephemeral containers"},
	} {
		fields = append(fields, containerList(list.key, list.of)...)
	}
	return fields
}

// containerList are the fields of one list of containers.
func containerList(key, of string) []Field {
	spec := "requestObject.spec." + key + "[]"
	security := spec + ".securityContext."
	name := func(field string) string { return "ka.req.pod." + key + "." + field }
	list := []Field{
		requiredOfAll(name("name"), "Names of the pod's "+of+".", key, "name"),
		requiredOfAll(name("image"), "Images of the pod's "+of+".", key, "image"),
		auditList(name("image.repository"), "Repositories of the images of the pod's "+of+": the image without tag and digest.", spec+".image", emitRepository),
		auditList(name("command"), "Commands of the pod's "+of+", the words joined by spaces.", spec+".command", emitWords),
		auditList(name("args"), "Arguments of the pod's "+of+", the words joined by spaces.", spec+".args", emitWords),
		auditList(name("privileged"), "Whether the pod's "+of+" are privileged, if set.", security+"privileged", emitText),
		auditList(name("allow_privilege_escalation"), "Whether the pod's "+of+" may gain privileges, if set.", security+"allowPrivilegeEscalation", emitText),
		auditList(name("read_only_fs"), "Whether the root file systems of the pod's "+of+" are read-only, if set.", security+"readOnlyRootFilesystem", emitText),
		auditList(name("run_as_user"), "User ids of the pod's "+of+", if set.", security+"runAsUser", emitText),
		auditList(name("run_as_group"), "Group ids of the pod's "+of+", if set.", security+"runAsGroup", emitText),
		effective(name("eff_run_as_user"), "User ids of the pod's "+of+": their own, or the pod's, or 0.", spec, "runAsUser"),
		effective(name("eff_run_as_group"), "Group ids of the pod's "+of+": their own, or the pod's, or 0.", spec, "runAsGroup"),
		auditList(name("proc_mount"), "How the pod's "+of+" mount /proc, if set.", security+"procMount", emitText),
		auditList(name("add_capabilities"), "Capabilities that the pod's "+of+" add.", security+"capabilities.add[]", emitText),
	}
	if key != "ephemeralContainers" { // these have no ports
		list = append(list, auditList(name("host_port"), "Host ports of the pod's "+of+"; the container's own port if hostPort is not set.", spec+".ports[]", emitHostPort))
	}
	for i := range list {
		list[i] = list[i].indexed()
	}
	return list
}

// requiredOfAll lists a member of every container: the field is missing if one
// of them lacks it.
func requiredOfAll(name, doc, containers, member string) Field {
	p := route{{each: true}, {key: member}}
	return listField(name, doc, func(c *Context, index int, yield func(string) bool) {
		list := c.follow(podSpec).Get(containers)
		for it := list.Parts(); it.Next(); {
			if it.Value.Get(member).Kind() != jsontext.String {
				return
			}
		}
		c.walk(list, p, index, emitText, yield)
	})
}

// effective lists the users or groups that containers run as.
func effective(name, doc, at, member string) Field {
	pod := jsontext.ParsePointer("/requestObject/spec/securityContext/" + member)
	return auditList(name, doc, at, func(c *Context, v jsontext.Value, yield func(string) bool) bool {
		s, ok := c.jsonText(v.Get("securityContext").Get(member))
		if !ok {
			s, ok = c.jsonText(c.follow(pod))
		}
		if !ok {
			s = "0"
		}
		return c.give(s, yield)
	})
}

// emitRepository gives the repository of an image: all before the digest and
// the tag, whose colon comes after the last slash.
func emitRepository(c *Context, v jsontext.Value, yield func(string) bool) bool {
	s, ok := c.jsonText(v)
	return !ok || c.give(repository(s), yield)
}

func repository(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') {
		image = image[:i]
	}
	return image
}

// emitWords gives the words of an array, joined by blanks.
func emitWords(c *Context, v jsontext.Value, yield func(string) bool) bool {
	if v.Kind() != jsontext.Array {
		return true
	}
	start := len(c.buf)
	for it := v.Parts(); it.Next(); {
		if len(c.buf) > start {
			c.buf = append(c.buf, ' ')
		}
		c.buf = it.Value.AppendText(c.buf)
	}
	return c.give(c.built(start), yield)
}

func emitHostPort(c *Context, v jsontext.Value, yield func(string) bool) bool {
	port := v.Get("hostPort")
	if port.Kind() == jsontext.Missing {
		port = v.Get("containerPort")
	}
	return c.giveText(port, yield)
}
