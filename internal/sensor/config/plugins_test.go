package config

import (
	"slices"
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
