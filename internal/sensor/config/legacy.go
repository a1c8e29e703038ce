package config

import (
	"net"
	"strings"

	"go.yaml.in/yaml/v3"
)

// renamed maps keys of older Falco versions, and the spelling of Helm charts'
// values, to the keys of today. A key that is given by its own name wins.
var renamed = []struct{ old, now string }{
	{"syscall_buf_size_preset", "engine.modern_ebpf.buf_size_preset"},
	{"syscall_drop_failed_exit", "engine.modern_ebpf.drop_failed_exit"},
	{"modern_bpf.cpus_for_each_syscall_buffer", "engine.modern_ebpf.cpus_for_each_buffer"},
	{"engine.kmod.buf_size_preset", "engine.modern_ebpf.buf_size_preset"},
	{"engine.kmod.drop_failed_exit", "engine.modern_ebpf.drop_failed_exit"},
	{"engine.ebpf.buf_size_preset", "engine.modern_ebpf.buf_size_preset"},
	{"engine.ebpf.drop_failed_exit", "engine.modern_ebpf.drop_failed_exit"},
	{"rules_file", "rules_files"},
	{"grpcOutput", "grpc_output"},
	{"grpc.unixSocketPath", "grpc.bind_address"},
	{"grpc.privateKey", "grpc.private_key"},
	{"grpc.certChain", "grpc.cert_chain"},
	{"grpc.rootCerts", "grpc.root_certs"},
	{"outputs.maxBurst", "outputs.max_burst"},
}

// modernise moves renamed keys to their names of today.
func (t *tree) modernise() {
	if lookup(t.root, "rules_file") != nil && lookup(t.root, "rules_files") != nil {
		t.report(Error, keyNode(t.root, "rules_file"), "rules_file", "given beside rules_files; keep rules_files")
	}
	t.helmPort()
	t.containerEngines()
	for _, r := range renamed {
		parent, last := t.root, r.old
		if i := strings.LastIndexByte(r.old, '.'); i >= 0 {
			parent, last = find(t.root, r.old[:i]), r.old[i+1:]
		}
		key := keyNode(parent, last)
		if key == nil {
			continue
		}
		value := lookup(parent, last)
		remove(parent, last)
		if find(t.root, r.now) != nil {
			continue
		}
		if strings.Contains(r.old, ".") && strings.HasPrefix(r.old, "engine.") && !t.engineIs(r.old) {
			continue // the buffers of an engine that is not chosen
		}
		if r.old != r.now {
			t.report(Note, key, r.old, "read as "+r.now)
		}
		t.put(r.now, value)
	}
	for _, empty := range []string{"modern_bpf", "engine.kmod", "engine.ebpf"} {
		t.removeEmpty(empty)
	}
}

// engineIs says whether key, below engine, belongs to the chosen kind.
func (t *tree) engineIs(key string) bool {
	kind := find(t.root, "engine.kind")
	return kind != nil && strings.HasPrefix(key, "engine."+kind.Value+".")
}

// helmPort turns the chart's grpc.listenPort into an address; it counts only
// without a socket path, as in the chart.
func (t *tree) helmPort() {
	grpc := lookup(t.root, "grpc")
	port := lookup(grpc, "listenPort")
	if port == nil {
		return
	}
	remove(grpc, "listenPort")
	if socket := lookup(grpc, "unixSocketPath"); socket != nil {
		if socket.Value != "" {
			return
		}
		remove(grpc, "unixSocketPath")
	}
	if lookup(grpc, "bind_address") == nil {
		value := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: net.JoinHostPort("0.0.0.0", port.Value), Line: port.Line, Column: port.Column}
		t.origin[value] = t.origin[port]
		t.put("grpc.bind_address", value)
	}
}

// containerEngines reads the key that Falco had before its container plugin as
// that plugin's engines. The plugin's own settings win.
func (t *tree) containerEngines() {
	const old = "container_engines"
	key, engines := keyNode(t.root, old), lookup(t.root, old)
	if key == nil {
		return
	}
	remove(t.root, old)
	t.report(Note, key, old, "read as the engines of the plugin container")
	if cri := lookup(engines, "cri"); keyNode(cri, "disable_async") != nil {
		remove(cri, "disable_async") // nothing waits for a runtime
	}
	origin := t.origin[key]
	text := func(s string) *yaml.Node {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s, Line: key.Line, Column: key.Column}
	}
	config := mapping()
	set(config, text("engines"), engines)
	plugin := mapping()
	set(plugin, text("name"), text("container"))
	set(plugin, text("init_config"), config)
	list := []*yaml.Node{plugin}
	switch given := resolve(lookup(t.root, "plugins")); {
	case given != nil && given.Kind == yaml.MappingNode: // made by options
		if find(t.root, "plugins.container.init_config.engines") == nil {
			t.put("plugins.container.init_config.engines", engines)
		}
		return
	case given != nil && given.Kind == yaml.SequenceNode:
		list = append(list, given.Content...)
	case given != nil && !isNull(given):
		return // it is refused when it is decoded
	}
	set(t.root, text("plugins"), &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: list})
	for _, n := range []*yaml.Node{plugin, config} {
		t.origin[n] = origin
	}
}

// put sets a dotted path, unless one of its sections is something else, which is
// refused when it is decoded.
func (t *tree) put(path string, value *yaml.Node) {
	var steps []step
	section := t.root
	for key := range strings.SplitSeq(path, ".") {
		if section != nil && section.Kind != yaml.MappingNode && !isNull(section) {
			return
		}
		section = resolve(lookup(section, key))
		steps = append(steps, step{key: key})
	}
	// No step is a list, so that nothing can be out of range.
	_ = t.insert(t.root, steps, value, t.origin[value])
}

func keyNode(m *yaml.Node, key string) *yaml.Node {
	m = resolve(m)
	if i := index(m, key); i >= 0 {
		return m.Content[i]
	}
	return nil
}

func remove(m *yaml.Node, key string) {
	m = resolve(m)
	if i := index(m, key); i >= 0 {
		m.Content = append(m.Content[:i:i], m.Content[i+2:]...)
	}
}

func (t *tree) removeEmpty(path string) {
	m, last := t.root, path
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		m, last = find(t.root, path[:i]), path[i+1:]
	}
	if n := resolve(lookup(m, last)); n != nil && n.Kind == yaml.MappingNode && len(n.Content) == 0 {
		remove(m, last)
	}
}

// inertKeys are known to some version of Falco and do nothing here.
var inertKeys = map[string]string{
	"plugins_hostinfo":                           "there are no plugins here; ignored",
	"libs_logger":                                "there is only one log, see log_level; ignored",
	"outputs_queue.recovery":                     "a full queue drops and counts alerts; ignored",
	"metadata_download":                          "the sensor watches the API server, see peregrine.kubernetes; ignored",
	"webserver.k8s_audit_endpoint":               "audit events have a separate server, see open_params of the plugin k8saudit; ignored",
	"engine.gvisor":                              "gVisor is not supported; ignored",
	"engine.kmod":                                "there is no kernel module here; ignored",
	"engine.ebpf":                                "the probe is inside the binary; ignored",
	"metrics.jemalloc_stats_enabled":             "the sensor does not use jemalloc; ignored",
	"metrics.plugins_metrics_enabled":            "there are no plugins here; ignored",
	"metrics.kernel_iter_event_counters_enabled": "iterators are counted with the start-up time; ignored",
}
