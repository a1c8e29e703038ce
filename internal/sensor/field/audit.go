package field

import (
	"errors"
	"net/url"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/jsontext"
	"github.com/peregrine-sec/peregrine/internal/sensor/audit/record"
)

// auditFields are those of every request. Names and meanings are those of
// Falco's plugin k8saudit; docs/compatibility.md says where they differ.
func auditFields() []Field {
	return []Field{
		auditPart("ka.auditid", "Unique id of the request, the same in all stages.", record.AuditID),
		auditPart("ka.stage", "Stage of the request: ResponseComplete, ResponseStarted, RequestReceived or Panic.", record.Stage),
		auditNote("ka.auth.decision", "Decision of the authorization: allow or forbid.", "authorization.k8s.io/decision"),
		auditNote("ka.auth.reason", "Reason of the decision.", "authorization.k8s.io/reason"),
		auditNote("ka.auth.openshift.decision", "Decision of OpenShift's authentication.", "authentication.openshift.io/decision"),
		auditNote("ka.auth.openshift.username", "User that OpenShift authenticated.", "authentication.openshift.io/username"),
		auditNote("ka.validations.admission.policy.failure", "Failed validations of admission policies, as JSON.", "validation.policy.admission.k8s.io/validation_failure"),
		auditNote("ka.security.pod.violations", "Violations of the Pod Security Standards by a pod.", "pod-security.kubernetes.io/audit-violations"),
		auditPart("ka.user.name", "User who made the request.", record.UserName),
		auditList("ka.user.groups", "Groups of the user.", "user.groups[]", emitText),
		auditPart("ka.impuser.name", "Impersonated user, if any.", record.ImpersonatedName),
		auditPart("ka.verb", "Verb of the request: create, get, list, watch, update, patch, delete, ...", record.Verb),
		auditPart("ka.uri", "URI of the request, as the client sent it.", record.RequestURI),
		uriParam(),
		auditPart("ka.target.name", "Name of the object. Missing for names that the server generates: see ka.resp.name.", record.Name),
		auditPart("ka.target.namespace", "Namespace of the object.", record.Namespace),
		auditPart("ka.target.resource", "Resource of the request, as in the URI: pods, configmaps, ...", record.Resource),
		auditPart("ka.target.subresource", "Subresource of the object: exec, status, ...", record.Subresource),
		str("ka.target.pod.name", AtEvent, "Name of the pod, for requests on pods; also if the server generated it.", targetPod),
		auditPointer("ka.resp.name", "Name of the object in the response.", "/responseObject/metadata/name"),
		auditPart("ka.response.code", "HTTP status code of the response.", record.ResponseCode),
		auditPart("ka.response.reason", "Reason in the response; most responses with one are errors.", record.ResponseReason),
		auditPart("ka.useragent", "User agent that the client sent.", record.UserAgent),
		auditList("ka.sourceips", "Addresses of the client and of the proxies on the way. A client can forge all but the last.", "sourceIPs[]", emitText).indexed(),
		auditNote("ka.cluster.name", "Name of the cluster, if the provider adds it.", "cluster_name"),
	}
}

// auditPart is a field for a part of the event whose place is known.
func auditPart(name, doc string, p record.Part) Field {
	return str(name, AtEvent, doc, func(c *Context) (string, bool) { return c.jsonText(c.part(p)) })
}

// auditNote is a field for an annotation.
func auditNote(name, doc, key string) Field {
	return str(name, AtEvent, doc, func(c *Context) (string, bool) {
		return c.jsonText(c.part(record.Annotations).Get(key))
	})
}

func auditPointer(name, doc, pointer string) Field {
	p := jsontext.ParsePointer(pointer)
	return str(name, AtEvent, doc, func(c *Context) (string, bool) { return c.jsonText(c.follow(p)) })
}

var podName = jsontext.ParsePointer("/responseObject/metadata/name")

func targetPod(c *Context) (string, bool) {
	if !c.isText(c.part(record.Resource), "pods") || c.part(record.Subresource) != nil {
		return "", false
	}
	return c.jsonText(c.follow(podName))
}

func uriParam() Field {
	return argField("ka.uri.param", AtEvent, "Decoded value of a query parameter of the URI, as in ka.uri.param[command]; the first value if there are several.", func(c *Context, key string) (string, bool) {
		uri, _ := c.jsonText(c.part(record.RequestURI))
		_, query, _ := strings.Cut(uri, "?")
		query, _, _ = strings.Cut(query, "#")
		return queryParam(query, key)
	})
}

// queryParam returns the first value of key; it allocates only for escaped
// values.
func queryParam(query, key string) (string, bool) {
	for query != "" {
		var param string
		param, query, _ = strings.Cut(query, "&")
		name, value, _ := strings.Cut(param, "=")
		if strings.ContainsAny(name, "%+") {
			name, _ = url.QueryUnescape(name)
		}
		if name != key {
			continue
		}
		if strings.ContainsAny(value, "%+") {
			decoded, err := url.QueryUnescape(value)
			if err != nil {
				continue
			}
			return decoded, true
		}
		return value, true
	}
	return "", false
}

// elementIndex parses the index of an element: digits, without a zero in front.
func elementIndex(arg string) (int, error) {
	if len(arg) > 1 && arg[0] == '0' {
		return 0, errors.New("expected an index without leading zeros")
	}
	return index(arg)
}
