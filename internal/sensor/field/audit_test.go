package field_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/audit/record"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

const noValue = "<NA>"

// auditContext is the context of one audit event with the given members.
func auditContext(t testing.TB, members string) *field.Context {
	t.Helper()
	body := `{"kind":"Event","stageTimestamp":"2026-01-02T03:04:05.678901Z"`
	if members != "" {
		body += "," + members
	}
	batch := new(record.Batch)
	if err := batch.Parse([]byte(body+"}"), record.Limits{EventBytes: 1 << 20, Events: 1}); err != nil || len(batch.Records) != 1 {
		t.Fatalf("%s: %v, %v", members, err, batch.Err)
	}
	r := &batch.Records[0]
	return &field.Context{Record: r, Time: r.Time, Num: 1, Static: &field.Static{Source: field.K8sAuditSource, Hostname: "h"}}
}

// read returns the text of a field, a list as (a,b).
func read(t testing.TB, c *field.Context, name string) string {
	t.Helper()
	_, x, err := field.K8sAudit.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	c.Reset()
	switch {
	case x.Match == field.List:
		var list []string
		if !x.Each(c, func(s string) bool { list = append(list, strings.Clone(s)); return true }) {
			return noValue
		}
		return "(" + strings.Join(list, ",") + ")"
	case x.Str != nil:
		if s, ok := x.Str(c); ok {
			return strings.Clone(s)
		}
	case x.Uint != nil:
		if n, ok := x.Uint(c); ok {
			return fmt.Sprint(n)
		}
	}
	return noValue
}

func spec(of string) string { return `"requestObject":{"spec":{` + of + `}}` }

// auditFields has examples of every field, those where a value is missing
// included. Every example is of an event with an auditID.
var auditFields = []struct{ field, members, want string }{
	{"ka.auditid", ``, "id"},
	{"ka.stage", `"stage":"ResponseComplete"`, "ResponseComplete"},
	{"ka.auth.decision", `"annotations":{"authorization.k8s.io/decision":"allow"}`, "allow"},
	{"ka.auth.reason", `"annotations":{"authorization.k8s.io/reason":"RBAC: \"x\""}`, `RBAC: "x"`},
	{"ka.auth.reason", `"annotations":{"authorization.k8s.io/decision":"allow"}`, noValue},
	{"ka.auth.openshift.decision", `"annotations":{"authentication.openshift.io/decision":"deny"}`, "deny"},
	{"ka.auth.openshift.username", `"annotations":{"authentication.openshift.io/username":"u"}`, "u"},
	{"ka.validations.admission.policy.failure", `"annotations":{"validation.policy.admission.k8s.io/validation_failure":"[]"}`, "[]"},
	{"ka.security.pod.violations", `"annotations":{"pod-security.kubernetes.io/audit-violations":"bad"}`, "bad"},
	{"ka.user.name", `"user":{"username":"jane"}`, "jane"},
	{"ka.user.name", `"user":{"username":""}`, ""},
	{"ka.user.groups", `"user":{"groups":["a","b"]}`, "(a,b)"},
	{"ka.user.groups", `"user":{"groups":[]}`, noValue},
	{"ka.user.groups", `"user":{"groups":["a",null,1]}`, "(a,1)"},
	{"ka.impuser.name", `"impersonatedUser":{"username":"joe"}`, "joe"},
	{"ka.verb", `"verb":"get"`, "get"},
	{"ka.verb", `"verb":"g\u0065t"`, "get"},
	{"ka.uri", `"requestURI":"/api?x=1"`, "/api?x=1"},
	{"ka.uri.param[command]", `"requestURI":"/exec?container=c&command=l%73+-l&command=id"`, "ls -l"},
	{"ka.uri.param[command]", `"requestURI":"/exec?c%6fmmand=sh"`, "sh"},
	{"ka.uri.param[command]", `"requestURI":"/exec?command"`, ""},
	{"ka.uri.param[command]", `"requestURI":"/exec?command=%zz&command=id"`, "id"},
	{"ka.uri.param[command]", `"requestURI":"/exec?commands=id#command=x"`, noValue},
	{"ka.uri.param[command]", `"requestURI":"/exec"`, noValue},
	{"ka.target.name", `"objectRef":{"name":"n"}`, "n"},
	{"ka.target.namespace", `"objectRef":{"namespace":"ns"}`, "ns"},
	{"ka.target.resource", `"objectRef":{"resource":"pods"}`, "pods"},
	{"ka.target.subresource", `"objectRef":{"subresource":"exec"}`, "exec"},
	{"ka.target.pod.name", `"objectRef":{"resource":"pods"},"responseObject":{"metadata":{"name":"p-x1"}}`, "p-x1"},
	{"ka.target.pod.name", `"objectRef":{"resource":"pods","subresource":"status"},"responseObject":{"metadata":{"name":"p"}}`, noValue},
	{"ka.target.pod.name", `"objectRef":{"resource":"jobs"},"responseObject":{"metadata":{"name":"p"}}`, noValue},
	{"ka.req.binding.subjects", `"requestObject":{"subjects":[{"kind": "User", "name":"u"}]}`, `({"kind":"User","name":"u"})`},
	{"ka.req.binding.subjects", `"requestObject":{"subjects":["x"]}`, `("x")`},
	{"ka.req.binding.subjects.user_names", subjects, "(u1,u2)"},
	{"ka.req.binding.subjects.serviceaccount_names", subjects, "(s)"},
	{"ka.req.binding.subjects.serviceaccount_ns_names", subjects, "(ns:s)"},
	{"ka.req.binding.subjects.group_names", subjects, "(g)"},
	{"ka.req.binding.subjects.group_names", `"requestObject":{"subjects":[{"kind":"User","name":"u"}]}`, noValue},
	{"ka.req.binding.subject.has_name[u2]", subjects, "true"},
	{"ka.req.binding.subject.has_name[u3]", subjects, "false"},
	{"ka.req.binding.role", `"requestObject":{"roleRef":{"name":"cluster-admin"}}`, "cluster-admin"},
	{"ka.req.configmap.name", `"objectRef":{"name":"n"}`, "n"},
	{"ka.req.configmap.obj", `"requestObject":{"data":{ "p\u0061ssword" : "x\n" }}`, `{"password":"x\n"}`},
	{"ka.req.pod.host_ipc", spec(`"hostIPC":true`), "true"},
	{"ka.req.pod.host_network", spec(`"hostNetwork":false`), "false"},
	{"ka.req.pod.host_network", spec(`"hostPID":true`), noValue},
	{"ka.req.container.host_network", spec(`"hostNetwork":true`), "true"},
	{"ka.req.pod.host_pid", spec(`"hostPID":true`), "true"},
	{"ka.req.pod.run_as_user", spec(`"securityContext":{"runAsUser":1000}`), "1000"},
	{"ka.req.pod.run_as_group", spec(`"securityContext":{"runAsGroup":0}`), "0"},
	{"ka.req.pod.fs_group", spec(`"securityContext":{"fsGroup":7}`), "7"},
	{"ka.req.pod.supplemental_groups", spec(`"securityContext":{"supplementalGroups":[1,2]}`), "(1,2)"},
	{"ka.req.container.image", spec(`"containers":[{"image":"a:1"},{"image":"b"}]`), "a:1"},
	{"ka.req.container.image.repository", spec(`"containers":[{"image":"r:5000/a:1@sha256:0"}]`), "r:5000/a"},
	{"ka.req.container.image.repository", spec(`"containers":[]`), noValue},
	{"ka.req.container.privileged", spec(`"containers":[{},{"securityContext":{"privileged":true}}]`), "true"},
	{"ka.req.container.privileged", spec(`"containers":[{"securityContext":{"privileged":false}}]`), "false"},
	{"ka.req.container.privileged", spec(`"containers":[]`), noValue},
	{"ka.req.role.rules", `"requestObject":{"rules":[{"verbs":["get"]},{"verbs":[]}]}`, `({"verbs":["get"]},{"verbs":[]})`},
	{"ka.req.role.rules.apiGroups", roleRules, "(,apps)"},
	{"ka.req.role.rules.apiGroups[1]", roleRules, "(apps)"},
	{"ka.req.role.rules.nonResourceURLs", roleRules, "(/metrics)"},
	{"ka.req.role.rules.verbs", roleRules, "(get,list,create)"},
	{"ka.req.role.rules.verbs[0]", roleRules, "(get,list)"},
	{"ka.req.role.rules.verbs[2]", roleRules, noValue},
	{"ka.req.role.rules.resources", roleRules, "(pods,deployments)"},
	{"ka.req.service.type", spec(`"type":"NodePort"`), "NodePort"},
	{"ka.req.service.ports", spec(`"ports":[{"port":80,"nodePort":30080},{"port":443}]`), "(80,443)"},
	{"ka.req.service.ports[1]", spec(`"ports":[{"port":80},{"port":443}]`), "(443)"},
	{"ka.req.pod.volumes.hostpath", volumes, "(/etc,/var)"},
	{"ka.req.pod.volumes.hostpath[0]", volumes, noValue},
	{"ka.req.pod.volumes.hostpath[1]", volumes, "(/etc)"},
	{"ka.req.pod.volumes.flexvolume_driver", volumes, "(d)"},
	{"ka.req.pod.volumes.volume_type", volumes, "(secret,hostPath,hostPath,flexVolume)"},
	{"ka.req.volume.hostpath[/etc]", volumes, "true"},
	{"ka.req.volume.hostpath[/e*]", volumes, "true"},
	{"ka.req.volume.hostpath[/e]", volumes, "false"},
	{"ka.req.volume.hostpath[/e]", `"requestObject":{}`, noValue},
	{"ka.resp.name", `"responseObject":{"metadata":{"name":"made"}}`, "made"},
	{"ka.response.code", `"responseStatus":{"code":403}`, "403"},
	{"ka.response.reason", `"responseStatus":{"reason":"Forbidden"}`, "Forbidden"},
	{"ka.useragent", `"userAgent":"kubectl"`, "kubectl"},
	{"ka.sourceips", `"sourceIPs":["10.0.0.1","::1"]`, "(10.0.0.1,::1)"},
	{"ka.sourceips[1]", `"sourceIPs":["10.0.0.1","::1"]`, "(::1)"},
	{"ka.cluster.name", `"annotations":{"cluster_name":"c"}`, "c"},
	{"jevt.value[/requestObject/spec/tls]", spec(`"tls":[{"hosts": ["h"]}]`), `[{"hosts":["h"]}]`},
	{"jevt.value[/requestObject/spec/tls/0/hosts/0]", spec(`"tls":[{"hosts":["h"]}]`), "h"},
	{"jevt.value[/annotations/a~1b]", `"annotations":{"a/b":"c"}`, "c"},
	{"jevt.value[/verb]", `"verb":null`, "null"},
	{"jevt.value[/verb]", ``, noValue},
	{"jevt.value[\"\"]", ``, `{"kind":"Event","stageTimestamp":"2026-01-02T03:04:05.678901Z","auditID":"id"}`},
	{"json.value[verb]", `"verb":"get"`, "get"},
	{"jevt.rawtime", ``, "1767323045678901000"},
	{"json.rawtime", ``, "1767323045678901000"},
	{"jevt.obj", ``, "{\n  \"kind\": \"Event\",\n  \"stageTimestamp\": \"2026-01-02T03:04:05.678901Z\",\n  \"auditID\": \"id\"\n}"},
	{"json.obj", ``, "{\n  \"kind\": \"Event\",\n  \"stageTimestamp\": \"2026-01-02T03:04:05.678901Z\",\n  \"auditID\": \"id\"\n}"},
	{"evt.pluginname", ``, "k8saudit"},
	{"evt.plugininfo", ` "verb" : "get"`, `{"kind":"Event","stageTimestamp":"2026-01-02T03:04:05.678901Z","auditID":"id","verb":"get"}`},
	{"evt.source", ``, "k8s_audit"},
	{"evt.is_async", ``, "0"},
	{"evt.asynctype", ``, noValue},
	{"evt.hostname", ``, "h"},
	{"evt.num", ``, "1"},
	{"evt.rawtime", ``, "1767323045678901000"},
}

const (
	subjects = `"requestObject":{"subjects":[{"kind":"User","name":"u1"},{"kind":"ServiceAccount","namespace":"ns","name":"s"},` +
		`{"kind":"User","name":"u2"},{"kind":"Group","name":"g"},{"kind":"User"},7]}`
	roleRules = `"requestObject":{"rules":[{"apiGroups":[""],"verbs":["get","list"],"resources":["pods"]},` +
		`{"apiGroups":["apps"],"verbs":["create"],"resources":["deployments"],"nonResourceURLs":["/metrics"]}]}`
	volumes = `"requestObject":{"spec":{"volumes":[{"name":"a","secret":{}},{"name":"b","hostPath":{"path":"/etc"}},` +
		`{"hostPath":{"path":"/var"},"name":"c"},{"name":"d","flexVolume":{"driver":"d"}},0]}}`
)

// containerFields are examples of one list of containers, wherever it is.
var containerFields = []struct{ field, containers, pod, want string }{
	{"name", `{"name":"a"},{"name":"b"}`, ``, "(a,b)"},
	{"name", `{"name":"a"},{}`, ``, noValue},
	{"image", `{"image":"x:1"},{"image":"y"}`, ``, "(x:1,y)"},
	{"image", `{"image":"x:1"},{"image":5}`, ``, noValue},
	{"image[1]", `{"image":"x:1"},{"image":"y"}`, ``, "(y)"},
	{"image[2]", `{"image":"x:1"},{"image":"y"}`, ``, noValue},
	{"image.repository", `{"image":"reg:5000/a/b:1"},{},{"image":"reg:5000/a/b"},{"image":"a@sha256:0"},{"image":"a:1@sha256:0"}`, ``, "(reg:5000/a/b,reg:5000/a/b,a,a)"},
	{"command", `{"command":["sh","-c","id"]},{},{"command":[]}`, ``, "(sh -c id,)"},
	{"args", `{"args":["a","b c"]},{"args":"d"}`, ``, "(a b c)"},
	{"privileged", `{"securityContext":{"privileged":true}},{},{"securityContext":{"privileged":false}}`, ``, "(true,false)"},
	{"privileged", `{}`, ``, noValue},
	{"allow_privilege_escalation", `{"securityContext":{"allowPrivilegeEscalation":false}}`, ``, "(false)"},
	{"read_only_fs", `{"securityContext":{"readOnlyRootFilesystem":true}}`, ``, "(true)"},
	{"run_as_user", `{"securityContext":{"runAsUser":0}},{}`, `"runAsUser":5`, "(0)"},
	{"run_as_group", `{"securityContext":{"runAsGroup":9}}`, ``, "(9)"},
	{"eff_run_as_user", `{"securityContext":{"runAsUser":7}},{}`, `"runAsUser":5`, "(7,5)"},
	{"eff_run_as_user", `{"securityContext":{"runAsUser":7}},{}`, ``, "(7,0)"},
	{"eff_run_as_user[1]", `{"securityContext":{"runAsUser":7}},{}`, `"runAsUser":5`, "(5)"},
	{"eff_run_as_group", `{}`, `"runAsGroup":3`, "(3)"},
	{"proc_mount", `{"securityContext":{"procMount":"Unmasked"}}`, ``, "(Unmasked)"},
	{"add_capabilities", `{"securityContext":{"capabilities":{"add":["NET_ADMIN","SYS_TIME"]}}},{"securityContext":{"capabilities":{"drop":["ALL"]}}}`, ``, "(NET_ADMIN,SYS_TIME)"},
	{"host_port", `{"ports":[{"hostPort":80,"containerPort":8080},{"containerPort":443}]}`, ``, "(80,443)"},
}

// TestAuditFields shows a row of docs/compatibility.md.
func TestAuditFields(t *testing.T) {
	seen := map[string]bool{}
	try := func(name, members, want string) {
		t.Helper()
		id := `"auditID":"id"`
		if members != "" {
			id += ","
		}
		if got := read(t, auditContext(t, id+members), name); got != want {
			t.Errorf("%s of %s: %q, want %q", name, members, got, want)
		}
		f, _, err := field.K8sAudit.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		seen[f.Name] = true
	}
	for _, tt := range auditFields {
		try(tt.field, tt.members, tt.want)
	}
	for _, list := range []string{"containers", "initContainers", "ephemeralContainers"} {
		for _, tt := range containerFields {
			if list == "ephemeralContainers" && tt.field == "host_port" {
				continue
			}
			try("ka.req.pod."+list+"."+tt.field, spec(`"`+list+`":[`+tt.containers+`],"securityContext":{`+tt.pod+`}`), tt.want)
		}
	}
	for _, f := range field.K8sAudit.All() {
		if !seen[f.Name] && f.Class() != "evt" && f.Class() != "static" {
			t.Errorf("%s has no example", f.Name)
		}
	}
}

// everyAuditField calls each with every field of the class ka, with an argument
// where it needs one.
func everyAuditField(each func(name string)) {
	for _, f := range field.K8sAudit.All() {
		name := f.Name
		if f.Arg == field.ArgRequired {
			name += "[x]"
		}
		if f.Class() == "ka" {
			each(name)
		}
	}
}

func TestAuditFieldsMissing(t *testing.T) {
	full := `"stage":"s","verb":"v","user":{"username":"u","groups":["g"]},"objectRef":{"resource":"pods","name":"n"},"sourceIPs":["i"],` +
		`"requestObject":{"spec":{"hostPID":true,"containers":[{"name":"n","image":"i"}]}},"responseObject":{"metadata":{"name":"n"}}`
	for name, members := range map[string]string{"no auditID": full, "nothing else": `"auditID":null`} {
		c := auditContext(t, members)
		everyAuditField(func(f string) {
			if got := read(t, c, f); got != noValue {
				t.Errorf("%s: %s is %q", name, f, got)
			}
		})
	}
	// Any part of a path to a value may have any JSON type.
	for _, of := range []string{"user", "objectRef", "annotations", "requestObject", "responseObject", "responseStatus", "impersonatedUser", "sourceIPs"} {
		for _, value := range []string{`1`, `"x"`, `null`, `true`, `[]`, `{}`, `[1,"x",null]`, `[[]]`, `[{}]`} {
			c := auditContext(t, `"auditID":"id","`+of+`":`+value)
			everyAuditField(func(f string) {
				got := read(t, c, f)
				if got != noValue && f != "ka.auditid" && !strings.HasPrefix(f, "ka.sourceips") {
					t.Errorf("%s of %s %s: %q", f, of, value, got)
				}
			})
		}
	}
	for _, value := range []string{`1`, `"x"`, `null`, `[]`, `{}`, `[1,"x",null,[],{}]`, `[[{}]]`} {
		for _, within := range []string{`"spec":%s`, `"spec":{"containers":%s}`, `"spec":{"containers":[{"securityContext":%s}]}`,
			`"spec":{"volumes":%s,"securityContext":%[1]s}`, `"rules":%s,"subjects":%[1]s,"roleRef":%[1]s,"data":%[1]s`, `"rules":[%s],"subjects":[%[1]s]`} {
			c := auditContext(t, `"auditID":"id","requestObject":{`+fmt.Sprintf(within, value)+`}`)
			everyAuditField(func(f string) { read(t, c, f) }) // must not panic
		}
	}
}

func TestAuditFieldsInError(t *testing.T) {
	for text, want := range map[string]string{
		"ka.nothing":             "nonexistent field",
		"proc.name":              "nonexistent field",
		"evt.type":               "nonexistent field",
		"container.id":           "nonexistent field",
		"ka.verb[1]":             "takes no argument",
		"ka.uri.param":           "requires an argument",
		"jevt.value":             "requires an argument",
		"ka.sourceips[01]":       "without leading zeros",
		"ka.sourceips[x]":        "expected a number",
		"ka.user.groups[0]":      "takes no argument",
		"ka.req.volume.hostpath": "requires an argument",
	} {
		if _, _, err := field.K8sAudit.Lookup(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if _, _, err := field.Lookup("ka.verb"); err == nil {
		t.Error("syscalls have ka.verb")
	}
}

// Reading values without escapes does not allocate.
func TestAuditFieldsDoNotAllocate(t *testing.T) {
	c := auditContext(t, `"auditID":"id","verb":"create","user":{"username":"u","groups":["g"]},"objectRef":{"resource":"pods"},"sourceIPs":["i"],`+
		`"requestURI":"/a?b=c","annotations":{"authorization.k8s.io/reason":"a \"b\""},"responseStatus":{"code":200},`+
		`"requestObject":{"data":{"a":"b"},"rules":[{"verbs":["get"]}],"subjects":[{"kind":"User","name":"u"}],`+
		`"spec":{"hostPID":true,"ports":[{"port":1}],"volumes":[{"name":"a","hostPath":{"path":"/a"}}],"containers":[{"name":"n","image":"r:5/i:1","command":["a","b"]}]}}`)
	stop := func(string) bool { return true }
	everyAuditField(func(name string) {
		_, x, err := field.K8sAudit.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		get := func() {
			c.Reset()
			if x.Each != nil {
				x.Each(c, stop)
			} else {
				x.Str(c)
			}
		}
		get() // the buffer grows once
		if n := testing.AllocsPerRun(100, get); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	})
}
