package config

import "testing"

func TestK8sAudit(t *testing.T) {
	const plugin = "plugins: [{name: k8saudit, open_params: \"http://:9765/k8s-audit\", init_config: {sslCertificate: /c.pem, maxEventSize: 2048}}, {name: json}]\n"
	for _, tt := range []struct{ name, text, open, certificate string }{
		{"nothing", "", "", "/etc/falco/falco.pem"},
		{"plugin", plugin, "http://:9765/k8s-audit", "/c.pem"},
		{"plugin that is loaded", plugin + "load_plugins: [json, k8saudit]", "http://:9765/k8s-audit", "/c.pem"},
		{"plugin that is not loaded", plugin + "load_plugins: []", "", "/c.pem"},
		{"another is loaded", plugin + "load_plugins: [json]", "", "/c.pem"},
		{"loading one that is not listed", "load_plugins: [k8saudit]", "", "/etc/falco/falco.pem"},
		{"without open_params", "plugins: [{name: k8saudit, init_config: \"\"}]", "", "/etc/falco/falco.pem"},
		{"init_config as text", "plugins: [{name: k8saudit, init_config: 'sslCertificate: /t.pem', open_params: /log}]", "/log", "/t.pem"},
		{"our keys", "peregrine: {k8s_audit: {open: \"file:///log\", certificate: /p.pem}}", "file:///log", "/p.pem"},
		{"our keys win", plugin + "peregrine: {k8s_audit: {open: \"file:///log\"}}", "file:///log", "/c.pem"},
	} {
		c, err := load(t, tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if c.K8sAuditOpen() != tt.open || c.K8sAuditCertificate() != tt.certificate {
			t.Errorf("%s: %q, %q", tt.name, c.K8sAuditOpen(), c.K8sAuditCertificate())
		}
		if len(c.Notes) > 0 {
			t.Errorf("%s: %v", tt.name, c.Notes)
		}
	}
}
