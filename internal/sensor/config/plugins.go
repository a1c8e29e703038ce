package config

import (
	"fmt"
	"reflect"

	"go.yaml.in/yaml/v3"
)

// Plugins are the settings of Falco's plugins whose work is done here without
// one. In the file they are a list of {name, init_config}.
type Plugins struct {
	Container    ContainerPlugin `yaml:"container.init_config" doc:"Metadata of containers."`
	K8sAudit     K8sAuditPlugin  `yaml:"k8saudit.init_config" doc:"Kubernetes audit events. They are taken if the plugin is listed and, where load_plugins is given, named there too."`
	K8sAuditOpen string          `yaml:"k8saudit.open_params" doc:"Where they come from: http://HOST:PORT/PATH or https://HOST:PORT/PATH to listen at, file:///PATH of a log to follow, or the path of a file or directory to read once."`
}

// K8sAuditPlugin is the init_config of Falco's plugin "k8saudit".
type K8sAuditPlugin struct {
	Certificate  string `yaml:"sslCertificate" doc:"PEM file with key and certificate, for https."`
	Async        bool   `yaml:"useAsync" doc:"Accepted: there is nothing to choose."`
	MaxEvent     int    `yaml:"maxEventSize" min:"1024" max:"16777216" doc:"Bytes of an event as compact JSON; a larger one is left out and counted."`
	MaxBatchSize int    `yaml:"webhookMaxBatchSize" min:"1024" max:"134217728" doc:"Bytes of one request."`
}

// ContainerPlugin is the init_config of Falco's plugin "container".
type ContainerPlugin struct {
	LabelMaxLen   int              `yaml:"label_max_len" min:"0" max:"65536" doc:"Bytes; a label with a longer value is left out."`
	WithSize      bool             `yaml:"with_size" doc:"Accepted: no field shows sizes, and they are not asked for."`
	Hooks         []string         `yaml:"hooks" oneof:"create|start" doc:"Events of runtimes that are followed. What exists only later, as an address, comes with start."`
	LogLevel      string           `yaml:"log_level" doc:"Accepted: see log_level at the top."`
	EngineTimeout int              `yaml:"engine_timeout" min:"0" max:"3600" doc:"Seconds that a runtime has for the list of its containers; 0: 10."`
	Engines       ContainerEngines `yaml:"engines" doc:"Container runtimes."`
}

// ContainerEngines are the container runtimes.
type ContainerEngines struct {
	Docker     SocketEngine `yaml:"docker" doc:"Docker, by its HTTP API."`
	Podman     SocketEngine `yaml:"podman" doc:"Podman, by libpod's HTTP API."`
	CRI        SocketEngine `yaml:"cri" doc:"Kubernetes: containerd, CRI-O and others, by CRI."`
	Containerd SocketEngine `yaml:"containerd" doc:"containerd, by its own API."`
	LXC        NamedEngine  `yaml:"lxc" doc:"LXC: the name is in the cgroup."`
	LibvirtLXC NamedEngine  `yaml:"libvirt_lxc" doc:"libvirt's LXC: the name is in the cgroup."`
	BPM        NamedEngine  `yaml:"bpm" doc:"BOSH process manager: the name is in the cgroup."`
	Static     StaticEngine `yaml:"static" doc:"Everything is one container, where nothing can be asked."`
}

// SocketEngine is a runtime with an API.
type SocketEngine struct {
	Enabled bool     `yaml:"enabled" doc:"Ask it."`
	Sockets []string `yaml:"sockets" doc:"Its sockets, below HOST_ROOT. Empty: where distributions have root's. Sockets of users, such as Podman's in /run/user, are asked only if they are named here; what they tell does not replace what root's runtimes tell. Name only those of users you trust."`
}

// NamedEngine is a runtime whose containers are named in the cgroup.
type NamedEngine struct {
	Enabled bool `yaml:"enabled" doc:"Tell its containers from the host."`
}

// StaticEngine is one container for everything.
type StaticEngine struct {
	Enabled bool   `yaml:"enabled" doc:"Use it, and no other."`
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
