package audit

import (
	"os"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/audit/record"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

const anonymous = `"user":{"username":"system:anonymous"},"annotations":{"authorization.k8s.io/decision":"allow"}`

// The idioms of Falco's rules for audit events mean the same here.
func TestIdioms(t *testing.T) {
	text, err := os.ReadFile("testdata/idioms.yaml")
	if err != nil {
		t.Fatal(err)
	}
	r := ruleset(t, true, string(text))
	for _, tt := range []struct{ event, want string }{
		{request("create", pod, podSpec(`"hostNetwork":true`), `"responseObject":{"metadata":{"name":"p-1"}}`), "host network (user=admin pod=p-1 images=(reg:5000/i:1))"},
		{request("create", pod, podSpec(`"hostNetwork":false`)), ""},
		{request("create", pod, `"requestObject":{"spec":{"hostNetwork":true,"containers":[{"image":"quay.io/good/image:1"},{"image":"docker.io/good/image@sha256:0"}]}}`), ""},
		{request("create", pod, `"requestObject":{"spec":{"hostNetwork":true,"containers":[{"image":"quay.io/good/image:1"},{"image":"odd"}]}}`), "host network (user=admin pod=<NA> images=(quay.io/good/image:1,odd))"},
		{request("create", pod, podSpec(`"hostNetwork":true`), received), ""},
		{request("create", object("roles"), `"requestObject":{"rules":[{"verbs":["get"],"resources":["*"]}]}`), `wildcard (role=o rules=({"verbs":["get"],"resources":["*"]}))`},
		{request("create", object("ingresses"), `"requestObject":{"spec":{"rules":[{"host":"h"}]}}`), "no TLS (user=admin ingress=o ns=shop first=h)"},
		{request("create", object("ingresses"), `"requestObject":{"spec":{"tls":null}}`), ""},
		{request("get", `"subresource":"exec",`+pod, started, `"requestURI":"/exec?command=ls+-l&stdin=true","userAgent":"kubectl"`), "exec (command=ls -l agent=kubectl)"},
		{request("get", "", anonymous, `"requestURI":"/api"`), "anonymous (uri=/api reason=<NA>))"},
		{request("get", "", anonymous, `"requestURI":"/healthz?verbose"`), ""},
		{request("patch", pod, podSpec(`"volumes":[{"name":"v","hostPath":{"path":"/"}}]`)), `mounts (volumes=[{"name":"v","hostPath":{"path":"/"}}])`},
		{request("patch", pod, podSpec(`"volumes":[{"name":"v","hostPath":{"path":"/"}}]`), `"user":{"username":"joe"}`), ""},
		{request("patch", pod, podSpec(`"volumes":[{"name":"v","hostPath":{"path":"/srv"}}]`)), ""},
	} {
		var batch record.Batch
		if err := batch.Parse([]byte(tt.event), record.Limits{EventBytes: 1 << 20, Events: 1}); err != nil || len(batch.Records) != 1 {
			t.Fatal(err, batch.Err)
		}
		var got []string
		e := NewEngine(r, &field.Static{Source: field.K8sAuditSource}, func(a *alert.Alert) { got = append(got, a.Message) })
		e.Handle(&batch.Records[0])
		if strings.Join(got, "|") != tt.want {
			t.Errorf("%s:\n%q, want %q", tt.event, got, tt.want)
		}
	}
}
