package config

import (
	"slices"
	"strings"
	"testing"
)

func TestContainerPlugin(t *testing.T) {
	c, err := load(t, `
plugins:
- name: container
  library_path: libcontainer.so
  init_config:
    label_max_len: 20
    hooks: [create]
    engines:
      docker: {enabled: false}
      cri: {enabled: true, sockets: [/run/a.sock, /run/b.sock]}
- name: container
  init_config: '{"with_size": true, "engines": {"podman": {"enabled": false}}}'
`)
	if err != nil {
		t.Fatal(err)
	}
	p := c.Plugins.Container
	e := p.Engines
	if p.LabelMaxLen != 20 || !slices.Equal(p.Hooks, []string{"create"}) || !p.WithSize {
		t.Errorf("plugin %+v", p)
	}
	if e.Docker.Enabled || e.Podman.Enabled || !e.Containerd.Enabled || !slices.Equal(e.CRI.Sockets, []string{"/run/a.sock", "/run/b.sock"}) {
		t.Errorf("engines %+v", e)
	}
	if c, err = load(t, "plugins: [{name: container, init_config: \"\"}]"); err != nil || !c.Plugins.Container.Engines.Docker.Enabled {
		t.Errorf("empty init_config: %v", err)
	}
	for _, bad := range []string{
		"plugins: [{name: container, init_config: {engines: {static: {enabled: true, container_id: x}}}}]",
		"plugins: [{name: container, init_config: {hooks: [remove]}}]",
		"plugins: [{init_config: {}}]",
		"plugins: 5",
	} {
		if _, err := load(t, bad); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}

// Before its plugin, Falco had the engines at the top, and let some be left out.
func TestContainerEngines(t *testing.T) {
	const old = `
container_engines:
  docker: {enabled: false}
  cri: {enabled: true, sockets: [/run/old.sock], disable_async: false}
  lxc: {enabled: false}
`
	for _, tt := range []struct {
		name, text string
		options    []string
		cri        string
		docker     bool
	}{
		{"alone", old, nil, "/run/old.sock", false},
		{"beside other plugins", old + "plugins: [{name: json}]\n", nil, "/run/old.sock", false},
		{"beside the plugin", old + "plugins: [{name: container, init_config: {engines: {docker: {enabled: true}, cri: {sockets: [/run/new.sock]}}}}]\n", nil, "/run/new.sock", true},
		{"beside options", old, []string{"plugins.container.init_config.label_max_len=7"}, "/run/old.sock", false},
		{"replaced by options", old, []string{"plugins.container.init_config.engines.cri.sockets=[/run/new.sock]"}, "/run/new.sock", true},
		{"empty", "container_engines:\n", nil, "", true},
	} {
		c, err := load(t, tt.text, tt.options...)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		e := c.Plugins.Container.Engines
		if got := strings.Join(e.CRI.Sockets, " "); got != tt.cri || e.Docker.Enabled != tt.docker || !e.Podman.Enabled {
			t.Errorf("%s: %+v", tt.name, e)
		}
		if len(c.Notes) != 1 || c.Notes[0].Severity != Note || c.Notes[0].Key != "container_engines" {
			t.Errorf("%s: notes %v", tt.name, c.Notes)
		}
	}
	if _, err := load(t, "container_engines: {cri: {enabled: perhaps}}"); err == nil || !strings.Contains(err.Error(), "falco.yaml:1:36") {
		t.Errorf("a mistake in it: %v", err)
	}
	for _, bad := range []string{"plugins: 5", "plugins: container", `plugins: ""`, "plugins: &p container", "x: &p 5\nplugins: *p"} {
		if _, err := load(t, "container_engines: {docker: {enabled: false}}\n"+bad+"\n"); err == nil || !strings.Contains(err.Error(), "plugins") {
			t.Errorf("beside %q: error %v", bad, err)
		}
	}
	if c, err := load(t, "container_engines: {docker: {enabled: false}}\nplugins:\n"); err != nil || c.Plugins.Container.Engines.Docker.Enabled {
		t.Errorf("beside nothing: error %v", err)
	}
}
