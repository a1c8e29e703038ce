package config

import (
	"slices"

	"go.yaml.in/yaml/v3"
)

// K8sAudit are our keys for Kubernetes audit events.
type K8sAudit struct {
	Open        string `yaml:"open" doc:"Source of audit events; takes precedence over plugins.k8saudit.open_params and has the same form. If both are empty, there is no such source."`
	Certificate string `yaml:"certificate" doc:"PEM file with key and certificate, for https. Empty: sslCertificate of the plugin."`
	ClientCA    string `yaml:"client_ca" doc:"PEM file with the authorities that sign the senders' certificates. Empty: with https, anyone who can reach the port may send events."`
	Insecure    bool   `yaml:"insecure" doc:"Accept plain HTTP from other hosts too, and from any sender."`
	Patience    int    `yaml:"patience" min:"1" max:"600000" doc:"Milliseconds that a request waits if the sensor falls behind, before it is refused with status 429."`
}

// PluginNames are the plugins that load_plugins names; nil without that key.
type PluginNames []string

func (p *PluginNames) decodeNode(d *decoder, n *yaml.Node, path string) {
	*p = PluginNames{}
	d.list(n, path, func(n *yaml.Node, path string) { *p = append(*p, d.text(n, path)) })
}

// K8sAuditOpen is the source of audit events; empty without one.
func (c *Config) K8sAuditOpen() string {
	switch {
	case c.Peregrine.K8sAudit.Open != "":
		return c.Peregrine.K8sAudit.Open
	case c.LoadPlugins == nil || slices.Contains(c.LoadPlugins, "k8saudit"):
		return c.Plugins.K8sAuditOpen
	}
	return ""
}

// K8sAuditCertificate is the PEM file of the webhook's server.
func (c *Config) K8sAuditCertificate() string {
	if own := c.Peregrine.K8sAudit.Certificate; own != "" {
		return own
	}
	return c.Plugins.K8sAudit.Certificate
}
