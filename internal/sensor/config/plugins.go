package config

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Plugins are the settings of Falco's plugins whose work is done here without
// one. In the file they are a list of {name, init_config}.
type Plugins struct {
	Container    ContainerPlugin `yaml:"container.init_config" doc:"Metadata of containers."`
	K8sAudit     K8sAuditPlugin  `yaml:"k8saudit.init_config" doc:"Kubernetes audit events. Enabled if the plugin is listed here, and in load_plugins if that key is set."`
	K8sAuditOpen string          `yaml:"k8saudit.open_params" doc:"Source: http://HOST:PORT/PATH or https://HOST:PORT/PATH to listen on, file:///PATH of a log to follow, or the path of a file or directory to read once."`
}

// K8sAuditPlugin is the init_config of Falco's plugin "k8saudit".
type K8sAuditPlugin struct {
	Certificate  string `yaml:"sslCertificate" doc:"PEM file with key and certificate, for https."`
	Async        bool   `yaml:"useAsync" doc:"Accepted without effect."`
	MaxEvent     int    `yaml:"maxEventSize" min:"1024" max:"16777216" doc:"Maximum size of an event in bytes, as compact JSON; larger ones are skipped and counted."`
	MaxBatchSize int    `yaml:"webhookMaxBatchSize" min:"1024" max:"134217728" doc:"Maximum size of a request in bytes."`
}

// ContainerPlugin is the init_config of Falco's plugin "container".
type ContainerPlugin struct {
	LabelMaxLen   int              `yaml:"label_max_len" min:"0" max:"65536" doc:"Maximum length of a label's value in bytes; labels with longer values are omitted."`
	WithSize      bool             `yaml:"with_size" doc:"Accepted without effect: no field contains sizes."`
	Hooks         []string         `yaml:"hooks" oneof:"create|start" doc:"Events of runtimes to follow. Data that does not exist at creation, such as an IP address, needs start."`
	LogLevel      string           `yaml:"log_level" doc:"Accepted without effect: see the top-level key log_level."`
	EngineTimeout int              `yaml:"engine_timeout" min:"0" max:"3600" doc:"Seconds within which a runtime must list its containers; 0: 10."`
	Engines       ContainerEngines `yaml:"engines" doc:"Container runtimes."`
}

// ContainerEngines are the container runtimes.
type ContainerEngines struct {
	Docker     SocketEngine `yaml:"docker" doc:"Docker, through its HTTP API."`
	Podman     SocketEngine `yaml:"podman" doc:"Podman, through libpod's HTTP API."`
	CRI        SocketEngine `yaml:"cri" doc:"Kubernetes: containerd, CRI-O and others, through CRI."`
	Containerd SocketEngine `yaml:"containerd" doc:"containerd, through its own API."`
	LXC        NamedEngine  `yaml:"lxc" doc:"LXC: the name is in the cgroup."`
	LibvirtLXC NamedEngine  `yaml:"libvirt_lxc" doc:"libvirt's LXC: the name is in the cgroup."`
	BPM        NamedEngine  `yaml:"bpm" doc:"BOSH process manager: the name is in the cgroup."`
	Static     StaticEngine `yaml:"static" doc:"Treats all processes as one container, if no runtime can be queried."`
}

// SocketEngine is a runtime with an API.
type SocketEngine struct {
	Enabled bool     `yaml:"enabled" doc:"Query it."`
	Sockets []string `yaml:"sockets" doc:"Its sockets, below HOST_ROOT. Empty: the usual sockets of root's runtimes. Sockets of other users, such as Podman's in /run/user, are queried only if listed here; their data does not replace that of root's runtimes. List only sockets of users you trust."`
}

// NamedEngine is a runtime whose containers are named in the cgroup.
type NamedEngine struct {
	Enabled bool `yaml:"enabled" doc:"Recognise its containers."`
}

// StaticEngine is one container for everything.
type StaticEngine struct {
	Enabled bool   `yaml:"enabled" doc:"Use it, and no other engine."`
	ID      string `yaml:"container_id" doc:"Its id."`
	Name    string `yaml:"container_name" doc:"Its name."`
	Image   string `yaml:"container_image" doc:"Its image."`
}

func defaultPlugins() Plugins {
	on := SocketEngine{Enabled: true}
	return Plugins{Container: ContainerPlugin{
		LabelMaxLen: 100, Hooks: []string{"create", "start"},
		Engines: ContainerEngines{
			Docker: on, Podman: on, CRI: on, Containerd: on,
			LXC: NamedEngine{true}, LibvirtLXC: NamedEngine{true}, BPM: NamedEngine{true},
		},
	}, K8sAudit: K8sAuditPlugin{Certificate: "/etc/falco/falco.pem", Async: true, MaxEvent: 256 << 10, MaxBatchSize: 12 << 20}}
}

// decodeNode reads the list of plugins, or a map of them by name, which options
// (-o plugins.container.init_config.KEY=VALUE) make.
func (p *Plugins) decodeNode(d *decoder, n *yaml.Node, path string) {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			p.decodePlugin(d, n.Content[i].Value, n.Content[i+1], join(path, n.Content[i].Value))
		}
		return
	}
	d.list(n, path, func(n *yaml.Node, path string) {
		name := resolve(lookup(n, "name"))
		if name == nil || name.Kind != yaml.ScalarNode {
			d.expected(n, path, "keys and values, among them name")
			return
		}
		p.decodePlugin(d, name.Value, n, path)
	})
}

// decodePlugin reads one plugin. It notes that the plugin itself does not run
// here.
func (p *Plugins) decodePlugin(d *decoder, name string, n *yaml.Node, path string) {
	switch name {
	case "container":
		d.initConfig(resolve(lookup(n, "init_config")), reflect.ValueOf(&p.Container).Elem(), path+".init_config")
	case "k8saudit":
		d.initConfig(resolve(lookup(n, "init_config")), reflect.ValueOf(&p.K8sAudit).Elem(), path+".init_config")
		if open := lookup(n, "open_params"); open != nil {
			d.value(open, reflect.ValueOf(&p.K8sAuditOpen).Elem(), path+".open_params", "")
		}
	case "k8smeta":
		d.report(Note, n, path, `plugin "k8smeta" is not used here: its fields come from the container runtime and the API server; see peregrine.kubernetes`)
	case "json": // its fields are built in, and it has no settings of meaning
	default:
		d.report(Note, n, path, fmt.Sprintf("plugin %q is not used here; ignored", name))
	}
}

// initConfig decodes a plugin's init_config, which may also be a text with
// YAML or JSON in it.
func (d *decoder) initConfig(n *yaml.Node, v reflect.Value, path string) {
	if n == nil || n.Kind == yaml.ScalarNode && n.Value == "" {
		return
	}
	if n.Kind == yaml.ScalarNode {
		var document yaml.Node
		if err := yaml.Unmarshal([]byte(n.Value), &document); err != nil || len(document.Content) != 1 {
			d.expected(n, path, "keys and values")
			return
		}
		d.origin[document.Content[0]] = d.origin[n]
		n = document.Content[0]
	}
	d.value(n, v, path, "")
}

func (c *Config) checkContainers(fail failFunc) {
	e := c.Plugins.Container.Engines
	if e.Static.Enabled && (e.Static.ID == "" || e.Static.Name == "" || e.Static.Image == "") {
		fail("plugins", "engine static needs container_id, container_name and container_image")
	}
}

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
	return cmp.Or(c.Peregrine.K8sAudit.Certificate, c.Plugins.K8sAudit.Certificate)
}
