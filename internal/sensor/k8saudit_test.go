package sensor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
)

const auditRule = `
- rule: %s
  desc: d
  condition: ka.verb = get
  output: "%%ka.user.name %%evt.source %%evt.hostname"
  priority: WARNING
  source: k8s_audit
  tags: [k8s]
`

func auditEvent(user string) string {
	return `{"kind":"Event","auditID":"id","stageTimestamp":"2026-01-02T03:04:05Z","verb":"get","user":{"username":"` + user + `"}}`
}

// auditConfig takes audit events, and no syscalls.
func auditConfig(t *testing.T, dir, open string) *config.Config {
	t.Helper()
	c := config.Default()
	c.Engine.Kind, c.Stdout.Enabled, c.Webserver.Enabled, c.JSON = "nodriver", false, false, true
	c.Peregrine.StatusSocket, c.Peregrine.K8sAudit.Open = "", open
	c.File.Enabled, c.File.Filename, c.RulesFiles = true, filepath.Join(dir, "alerts"), []string{filepath.Join(dir, "rules.yaml")}
	return c
}

func writeRule(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "rules.yaml"), fmt.Appendf(nil, auditRule, name), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A file of audit events is read without root, and the sensor ends with it.
func TestAuditFile(t *testing.T) {
	dir := t.TempDir()
	writeRule(t, dir, "a")
	log := filepath.Join(dir, "log")
	if err := os.WriteFile(log, []byte(auditEvent("jane")+"\n"+auditEvent("joe")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var summary strings.Builder
	out, err := os.Create(filepath.Join(dir, "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	err = Run(t.Context(), Options{
		LoadConfig: func() (*config.Config, error) { return auditConfig(t, dir, log), nil },
		Stdout:     out, Stderr: &summary, Getenv: func(string) string { return "" },
	})
	if err != nil {
		t.Fatal(err, summary.String())
	}
	text, err := os.ReadFile(filepath.Join(dir, "alerts"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d alerts: %s", len(lines), text)
	}
	var got struct {
		Rule, Source, Time string
		Fields             map[string]any `json:"output_fields"`
	}
	if err := json.Unmarshal([]byte(lines[0]), &got); err != nil {
		t.Fatal(err)
	}
	if got.Rule != "a" || got.Source != "k8s_audit" || !strings.HasPrefix(got.Time, "2026-01-02T03:04:05") || got.Fields["ka.user.name"] != "jane" {
		t.Errorf("%s", lines[0])
	}
	if text, _ := os.ReadFile(out.Name()); !strings.Contains(string(text), "   a: 2\n") {
		t.Errorf("summary: %s", text)
	}
}

// One reload changes the rules of the webhook that is running; the counters go on.
func TestAuditReload(t *testing.T) {
	dir := t.TempDir()
	writeRule(t, dir, "a")
	s, _ := idleSensor(t, func() (*config.Config, error) { return auditConfig(t, dir, "http://127.0.0.1:0/k8s-audit"), nil })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	post := func() {
		t.Helper()
		resp, err := http.Post("http://"+s.audit.source.Address+"/k8s-audit", "application/json", strings.NewReader(auditEvent("jane")))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status)
		}
	}
	post()
	writeRule(t, dir, "b")
	if !s.reload(ctx) {
		t.Fatal("the reload failed")
	}
	post()
	post()
	m, err := s.metricsSnapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	matches := map[string]uint64{}
	for _, r := range m.Rules {
		matches[r.Name] = r.Matches
	}
	if m.Audit == nil || m.Audit.Events != 3 || m.Audit.Bodies != 3 || m.Alerts != 3 || matches["a"] != 1 || matches["b"] != 2 {
		t.Errorf("%+v, %d alerts, rules %v", m.Audit, m.Alerts, matches)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
}

// Rules without their source, and a source without rules, are logged.
func TestAuditWithoutCounterpart(t *testing.T) {
	dir := t.TempDir()
	writeRule(t, dir, "a")
	for open, want := range map[string]string{"": "rules of source k8s_audit will never match", "http://127.0.0.1:0/k": ""} {
		var log strings.Builder
		err := Run(t.Context(), Options{
			LoadConfig: func() (*config.Config, error) { return auditConfig(t, dir, open), nil },
			Stdout:     os.Stdout, Stderr: &log, Getenv: func(string) string { return "" }, DryRun: true,
		})
		if err != nil || strings.Contains(log.String(), "Warning:") != (want != "") || !strings.Contains(log.String(), want) {
			t.Errorf("%q: %v\n%s", open, err, log.String())
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "rules.yaml"), []byte("- {rule: r, desc: d, condition: evt.type=open, output: x, priority: INFO}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	err := Run(t.Context(), Options{
		LoadConfig: func() (*config.Config, error) { return auditConfig(t, dir, "http://127.0.0.1:0/k"), nil },
		Stdout:     os.Stdout, Stderr: &log, Getenv: func(string) string { return "" }, DryRun: true, MaxDuration: time.Second,
	})
	if err != nil || !strings.Contains(log.String(), "no rule has the source k8s_audit") {
		t.Errorf("%v\n%s", err, log.String())
	}
}
