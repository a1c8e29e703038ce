package audit

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/audit/record"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	embedded "github.com/peregrine-sec/peregrine/rules"
)

// request is the members of an audit event, by default of an administrator's
// request that succeeded.
func request(verb, target string, more ...string) string {
	members := []string{
		`"kind":"Event","auditID":"id","stage":"ResponseComplete","stageTimestamp":"2026-01-02T03:04:05Z"`,
		`"user":{"username":"admin","groups":["system:masters"]}`, `"responseStatus":{"code":201}`,
		`"verb":"` + verb + `"`, `"objectRef":{` + target + `}`,
	}
	return "{" + strings.Join(append(members, more...), ",") + "}"
}

const (
	pod      = `"resource":"pods","namespace":"shop","name":"p"`
	status   = `"subresource":"status",` + pod
	denied   = `"responseStatus":{"code":403}`
	started  = `"stage":"ResponseStarted"`
	received = `"stage":"RequestReceived"`
	system   = `"user":{"username":"system:serviceaccount:kube-system:x"}`
)

func object(resource string) string {
	return `"resource":"` + resource + `","namespace":"shop","name":"o"`
}

func podSpec(of string) string {
	return `"requestObject":{"spec":{` + of + `,"containers":[{"name":"c","image":"reg:5000/i:1"}]}}`
}

func roleRule(of string) string { return `"requestObject":{"rules":[{"verbs":["get"]},{` + of + `}]}` }

// ruleExamples have, for every rule, an event for which it is the first that
// fires, and one for which it does not.
var ruleExamples = []struct{ rule, yes, no string }{
	{"Disallowed K8s User", request("get", pod, `"user":{"username":"mallory"}`), request("get", pod)},
	{"Disallowed K8s User", request("get", pod, `"user":{"username":"mallory"}`), request("get", pod, `"user":{"username":"mallory"}`, received)},
	{"Disallowed K8s User", request("get", pod, `"user":{"username":"mallory"}`), request("get", pod, `"user":{"username":"eks:nodewatcher"}`)},
	{"Create Disallowed Pod", request("create", pod, podSpec(`"x":1`)), request("create", pod, `"requestObject":{"spec":{"containers":[{"image":"expected:1"}]}}`)},
	{"Create Privileged Pod", request("create", pod, podSpec(`"initContainers":[{"securityContext":{"privileged":true}}]`)), request("create", pod, podSpec(`"initContainers":[{"securityContext":{"privileged":false}}]`))},
	{"Create Privileged Pod", request("create", pod, podSpec(`"ephemeralContainers":[{"securityContext":{"privileged":true}}]`)), request("create", status, podSpec(`"ephemeralContainers":[{"securityContext":{"privileged":true}}]`))},
	{"Create Privileged Pod", request("create", pod, denied, `"requestObject":{"spec":{"containers":[{"image":"i"},{"securityContext":{"privileged":true}}]}}`), request("create", pod, `"requestObject":{"spec":{"containers":[{"image":"expected","securityContext":{"privileged":true}}]}}`)},
	{"Create Sensitive Mount Pod", request("create", pod, podSpec(`"volumes":[{"name":"a","emptyDir":{}},{"name":"b","hostPath":{"path":"/var/lib/kubelet"}}]`)), request("create", pod, podSpec(`"volumes":[{"name":"b","hostPath":{"path":"/var/lib"}}]`))},
	{"Create HostNetwork Pod", request("create", pod, podSpec(`"hostNetwork":true`)), request("create", pod, podSpec(`"hostNetwork":false`))},
	{"Create HostPid Pod", request("create", pod, podSpec(`"hostPID":true`)), request("update", pod, podSpec(`"hostPID":true`))},
	{"Create HostIPC Pod", request("create", pod, podSpec(`"hostIPC":true`)), request("create", pod, podSpec(`"hostPID":true`))},
	{"Create NodePort Service", request("create", object("services"), `"requestObject":{"spec":{"type":"NodePort"}}`), request("create", object("services"), `"requestObject":{"spec":{"type":"ClusterIP"}}`)},
	{"Create/Modify Configmap With Private Credentials", request("patch", object("configmaps"), `"requestObject":{"data":{"ui.properties":"p\u0061ssword=x"}}`), request("patch", object("configmaps"), `"requestObject":{"data":{"ui.properties":"color=red"}}`)},
	{"Create/Modify Configmap With Private Credentials", request("create", object("configmaps"), `"requestObject":{"data":{"AWS_ACCESS_KEY_ID":"x"}}`), request("delete", object("configmaps"), `"requestObject":{"data":{"AWS_ACCESS_KEY_ID":"x"}}`)},
	{"Anonymous Request Allowed", request("get", object("nodes"), `"user":{"username":"system:anonymous"},"requestURI":"/api/v1/nodes","annotations":{"authorization.k8s.io/decision":"allow"}`), request("get", "", `"user":{"username":"system:anonymous"},"requestURI":"/livez?verbose","annotations":{"authorization.k8s.io/decision":"allow"}`)},
	{"Anonymous Request Allowed", request("get", object("nodes"), `"user":{"username":"system:anonymous"},"requestURI":"/api/v1/nodes","annotations":{"authorization.k8s.io/decision":"allow"}`), request("get", object("nodes"), `"user":{"username":"system:anonymous"},"requestURI":"/api/v1/nodes","annotations":{"authorization.k8s.io/decision":"forbid"}`)},
	{"Attach/Exec Pod", request("get", `"subresource":"exec",`+pod, started, `"requestURI":"/exec?command=sh"`), request("get", `"subresource":"log",`+pod, started)},
	{"Attach/Exec Pod", request("create", `"subresource":"attach",`+pod, started), request("create", `"subresource":"attach",`+pod)},
	{"port-forward", request("create", `"subresource":"portforward",`+pod, started), request("create", `"subresource":"proxy",`+pod, started)},
	{"EphemeralContainers Created", request("patch", `"subresource":"ephemeralcontainers",`+pod), request("get", `"subresource":"ephemeralcontainers",`+pod)},
	{"Create Disallowed Namespace", request("create", `"resource":"namespaces","name":"odd"`), request("create", `"resource":"namespaces","name":"default"`)},
	{"Pod Created in Kube Namespace", request("create", `"resource":"pods","namespace":"kube-system"`, `"requestObject":{"spec":{"containers":[{"image":"expected"},{"image":"odd"}]}}`), request("create", `"resource":"pods","namespace":"kube-system"`, `"requestObject":{"spec":{"containers":[{"image":"registry.k8s.io/pause:3.10"}]}}`)},
	{"Service Account Created in Kube Namespace", request("create", `"resource":"serviceaccounts","namespace":"kube-public","name":"odd"`), request("create", `"resource":"serviceaccounts","namespace":"kube-system","name":"coredns"`)},
	{"System ClusterRole Modified/Deleted", request("delete", `"resource":"clusterroles","name":"system:node"`), request("delete", `"resource":"clusterroles","name":"system:coredns"`)},
	{"Attach to cluster-admin Role", request("create", object("clusterrolebindings"), `"requestObject":{"roleRef":{"name":"cluster-admin"}}`), request("create", object("clusterrolebindings"), `"requestObject":{"roleRef":{"name":"view"}}`)},
	{"ClusterRole With Wildcard Created", request("create", object("roles"), roleRule(`"resources":["*"]`)), request("create", object("roles"), roleRule(`"resources":["pods"]`))},
	{"ClusterRole With Wildcard Created", request("create", object("clusterroles"), roleRule(`"verbs":["*"]`)), request("update", object("clusterroles"), roleRule(`"verbs":["*"]`))},
	{"ClusterRole With Write Privileges Created", request("create", object("roles"), roleRule(`"verbs":["list","deletecollection"]`)), request("create", object("roles"), roleRule(`"verbs":["list","watch"]`))},
	{"ClusterRole With Pod Exec Created", request("create", object("clusterroles"), roleRule(`"resources":["pods/exec"]`)), request("create", object("clusterroles"), roleRule(`"resources":["pods/log"]`))},
	{"K8s Namespace Deleted", request("delete", object("namespaces")), request("delete", object("namespaces"), system)},
	{"K8s Namespace Created", request("create", `"resource":"namespaces","name":"default"`), request("create", `"resource":"namespaces","name":"default"`, denied)},
	{"K8s Secret Created", request("create", object("secrets")), request("create", object("secrets"), system)},
	{"K8s Secret Created", request("create", object("secrets")), request("create", `"resource":"secrets","namespace":"kube-system"`)},
	{"K8s Secret Deleted", request("delete", object("secrets")), request("delete", object("secrets"), denied)},
	{"K8s Secret Get Successfully", request("get", object("secrets")), request("list", object("secrets"))},
	{"K8s Secret Get Unsuccessfully Tried", request("get", object("secrets"), denied), request("get", object("secrets"))},
	{"All K8s Audit Events", request("watch", pod, received), ""},
	{"Full K8s Administrative Access", request("watch", pod), request("watch", pod, `"user":{"username":"kubelet"}`)},
	{"Ingress Object without TLS Certificate Created", request("create", object("ingresses"), `"requestObject":{"spec":{"rules":[]}}`), request("create", object("ingresses"), `"requestObject":{"spec":{"tls":[{"hosts":["h"]}]}}`)},
	{"Untrusted Node Successfully Joined the Cluster", request("create", `"resource":"nodes","name":"odd"`), request("create", `"resource":"nodes","name":"known"`)},
	{"Untrusted Node Unsuccessfully Tried to Join the Cluster", request("create", `"resource":"nodes","name":"odd"`, denied), request("create", `"resource":"nodes","name":"odd"`)},
}

// overrides enables the rules that are off, as a user would.
const overrides = `
- list: k8s_audit_privileged_images
  items: [expected]
- macro: allowed_k8s_containers
  condition: (ka.req.pod.containers.image.repository in (expected, registry.k8s.io/pause))
- list: allowed_k8s_nodes
  items: [known]
- macro: allow_all_k8s_nodes
  condition: (k8s_audit_never_true)
- macro: allowed_full_admin_users
  condition: (k8s_audit_never_true)
- macro: consider_all_events
  condition: (k8s_audit_always_true)
`

// defaultRules are the rules inside the binary, with some disabled ones
// enabled.
func defaultRules(t *testing.T, all bool, override string) *Ruleset {
	return ruleset(t, all, string(embedded.Read("k8s_audit.yaml"))+override)
}

func firedBy(t *testing.T, r *Ruleset, body string) []string {
	t.Helper()
	var batch record.Batch
	if err := batch.Parse([]byte(body), record.Limits{EventBytes: 1 << 20, Events: 1}); err != nil || len(batch.Records) != 1 {
		t.Fatalf("%s: %v %v", body, err, batch.Err)
	}
	var fired []string
	e := NewEngine(r, &field.Static{Source: field.K8sAuditSource}, func(a *alert.Alert) { fired = append(fired, a.Rule) })
	e.Handle(&batch.Records[0])
	return fired
}

// onlyFor are the overrides that a rule's example needs.
func onlyFor(rule string) string {
	needs := map[string][]string{
		"Create Disallowed Pod": {"allowed_k8s_containers"}, "Create Privileged Pod": {"k8s_audit_privileged_images"},
		"All K8s Audit Events": {"consider_all_events"}, "Full K8s Administrative Access": {"allowed_full_admin_users"},
		"Untrusted Node Successfully Joined the Cluster":          {"allow_all_k8s_nodes", "allowed_k8s_nodes"},
		"Untrusted Node Unsuccessfully Tried to Join the Cluster": {"allow_all_k8s_nodes", "allowed_k8s_nodes"},
	}
	var b strings.Builder
	for _, item := range strings.Split(overrides, "\n- ") {
		_, rest, _ := strings.Cut(item, ": ")
		name, _, _ := strings.Cut(rest, "\n")
		if slices.Contains(needs[rule], name) {
			b.WriteString("\n- " + item + "\n")
		}
	}
	return b.String()
}

func TestDefaultRules(t *testing.T) {
	examples := slices.Clone(ruleExamples)
	for kind, resource := range map[string]string{
		"Deployment": "deployments", "Service": "services", "ConfigMap": "configmaps", "Serviceaccount": "serviceaccounts", "Role": "roles",
		"ClusterRole": "clusterroles", "RoleBinding": "rolebindings", "ClusterRoleBinding": "clusterrolebindings",
	} {
		for verb, done := range map[string]string{"create": "Created", "delete": "Deleted"} {
			rule := fmt.Sprintf("K8s %s %s", kind, done)
			examples = append(examples, struct{ rule, yes, no string }{rule, request(verb, object(resource)), request(verb, object(resource), denied)},
				struct{ rule, yes, no string }{rule, request(verb, object(resource)), request(verb, object(resource+"x"))})
		}
	}
	seen := map[string]bool{}
	for _, tt := range examples {
		seen[tt.rule] = true
		override := onlyFor(tt.rule)
		if fired := firedBy(t, defaultRules(t, false, override), tt.yes); len(fired) != 1 || fired[0] != tt.rule {
			t.Errorf("%s: fired %q for %s", tt.rule, fired, tt.yes)
		}
		if tt.no == "" {
			continue
		}
		if fired := firedBy(t, defaultRules(t, true, override), tt.no); slices.Contains(fired, tt.rule) {
			t.Errorf("%s was fired for %s", tt.rule, tt.no)
		}
	}
	r := defaultRules(t, false, "")
	if len(r.Rules) != 48 {
		t.Errorf("%d rules, want 48", len(r.Rules))
	}
	for _, rule := range r.Rules {
		if !seen[rule.Name] {
			t.Errorf("%s has no example", rule.Name)
		}
	}
}

// Events that match no rule do not allocate.
func TestNoMatchDoesNotAllocate(t *testing.T) {
	var batch record.Batch
	body := []byte(request("create", pod, podSpec(`"volumes":[{"name":"a","hostPath":{"path":"/srv"}}]`)))
	if err := batch.Parse(body, record.Limits{EventBytes: 1 << 20, Events: 1}); err != nil || len(batch.Records) != 1 {
		t.Fatal(err, batch.Err)
	}
	e := NewEngine(defaultRules(t, false, ""), &field.Static{}, func(a *alert.Alert) { t.Fatal(a.Rule) })
	e.Handle(&batch.Records[0]) // its memory grows once
	if n := testing.AllocsPerRun(100, func() { e.Handle(&batch.Records[0]) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkHandle(b *testing.B) {
	var batch record.Batch
	body := []byte(request("create", pod, podSpec(`"volumes":[{"name":"a","hostPath":{"path":"/srv"}}]`)))
	if err := batch.Parse(body, record.Limits{EventBytes: 1 << 20, Events: 1}); err != nil {
		b.Fatal(err)
	}
	e := NewEngine(ruleset(b, false, string(embedded.Read("k8s_audit.yaml"))), &field.Static{}, func(*alert.Alert) {})
	b.ReportAllocs()
	for b.Loop() {
		e.Handle(&batch.Records[0])
	}
}
