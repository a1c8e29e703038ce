package runtimes

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	api "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// local makes two of the default rules apply to the tests' containers.
const local = `
- list: local_only_namespaces
  items: [shop]
  override: {items: replace}
- macro: allowed_containers
  condition: (container.image.repository startswith localhost/tests/pause)
  override: {condition: replace}
- rule: Done
  desc: a container has done what it should
  condition: evt.type in (open, openat) and fd.name=/tell/done and container
  output: "%container.name"
  priority: INFO
`

// The default rules about containers' privileges, mounts, images and networks
// fire for those that have them, and for no others.
func TestDefaultRules(t *testing.T) {
	e := startContainerd(t)
	p := newPods(t, e)
	dir := t.TempDir()
	place(t, filepath.Join(dir, "local.yaml"), local)
	args := []string{"-o", "rule_matching=all"}
	for _, file := range defaultRules(t) {
		args = append(args, "-r", file)
	}
	args = append(args, "-r", filepath.Join(dir, "local.yaml"))
	s := startSensor(t, "", map[string]string{"cri": e.socket}, args...)

	etc := []*api.Mount{{HostPath: "/etc", ContainerPath: "/host/etc", Readonly: true}}
	root := []*api.Mount{{HostPath: "/", ContainerPath: "/host", Readonly: true}}
	harmless := []*api.Mount{{HostPath: dir, ContainerPath: "/host/etc", Readonly: true}}
	elsewhere := p.with("bank", pauseTag) // an image and a namespace that may do as they like
	for _, c := range []struct {
		name       string
		p          *pods
		privileged bool
		mounts     []*api.Mount
	}{{"plain", p, false, harmless}, {"mounts", p, false, etc}, {"root", p, false, root}, {"privileged", p, true, nil}, {"elsewhere", elsewhere, false, nil}} {
		sandbox, config := c.p.pod(c.name, c.privileged, api.NamespaceMode_NODE)
		id := c.p.run(sandbox, config, c.name, c.mounts, "/app", "sleep")
		for _, command := range [][]string{{"/bin/mount", "/dev/x", "/mnt"}, {"/bin/debugfs", "/dev/x"}, {"/app", "connect", outside}, {"/app", "connect", "10.0.0.1:9"}, {"/bin/open", "/tell/done"}} {
			p.exec(id, command...)
		}
		s.await(t, "the end of "+c.name, func(a alertLine) bool { return a.Rule == "Done" && a.text("container.name") == c.name })
	}
	for _, tt := range []struct{ rule, plain, mounts, privileged string }{
		{"Launch Disallowed Container", "yes", "yes", "yes"},
		{"Launch Privileged Container", "no", "no", "yes"},
		{"Launch Sensitive Mount Container", "no", "yes", "no"},
		{"Mount Launched in Privileged Container", "no", "no", "yes"},
		{"Debugfs Launched in Privileged Container", "no", "no", "yes"},
		{"Network Connection outside Local Subnet", "yes", "yes", "yes"},
	} {
		for name, want := range map[string]string{"plain": tt.plain, "mounts": tt.mounts, "root": tt.mounts, "privileged": tt.privileged, "elsewhere": "no"} {
			found := s.find(func(a alertLine) bool { return a.Rule == tt.rule && a.text("container.name") == name })
			if want == "yes" && len(found) != 1 || want == "no" && len(found) != 0 {
				t.Errorf("%s in %s: %d alerts, want %s", tt.rule, name, len(found), want)
			}
		}
		host := s.find(func(a alertLine) bool { return a.Rule == tt.rule && a.text("container.id") == "host" })
		if len(host) > 0 {
			t.Errorf("%s: %d alerts of the host", tt.rule, len(host))
		}
	}
}

// outside is an address for documentation (RFC 5737). Connecting a datagram
// socket sends nothing.
const outside = "203.0.113.1:9"

// defaultRules are the files of this repository's rules.
func defaultRules(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("../../rules/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no rules", err)
	}
	// The file that the others need comes first.
	ordered := []string{"../../rules/base.yaml"}
	for _, f := range files {
		if filepath.Base(f) != "base.yaml" && filepath.Base(f) != "k8s_audit.yaml" {
			ordered = append(ordered, f)
		}
	}
	return ordered
}

// A runtime that accepts and never answers changes nothing for the host: the
// sensor starts, and its first alert is there.
func TestRuntimeThatHangs(t *testing.T) {
	need(t)
	socket := filepath.Join(t.TempDir(), "hangs.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close() // when the test ends
		}
	}()
	s := startSensor(t, `
- rule: Host
  desc: an open on the host
  condition: evt.type in (open, openat) and fd.name startswith /tell/host
  output: "%fd.name %container.name"
  priority: INFO
`, map[string]string{"docker": socket, "podman": socket + ".podman", "cri": socket, "containerd": socket})
	if f, err := os.Open("/tell/host"); err == nil {
		f.Close()
	}
	a := s.await(t, "an alert of the host", func(a alertLine) bool { return a.Rule == "Host" })
	compare(t, a, map[string]string{"container.name": "host"})
	if n := s.logged("does not answer"); n > 0 {
		t.Errorf("the alert came after the runtime had been given up: %s", s.log.String())
	}
}
