package runtimes

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/peregrine-sec/peregrine/internal/needs"
)

// startContainerd starts containerd with its CRI; the pods' pause process is
// the tests' own program.
func startContainerd(t *testing.T) *engine {
	t.Helper()
	need(t, "containerd", "runc", "ctr")
	dir := t.TempDir()
	e := &engine{kind: "containerd", socket: filepath.Join(dir, "containerd.sock")}
	e.command = []string{"ctr", "--address", e.socket}
	place(t, filepath.Join(dir, "config.toml"), `version = 2
root = "`+dir+`/root"
state = "`+dir+`/state"
oom_score = 0
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs"]
[grpc]
  address = "`+e.socket+`"
[ttrpc]
  address = "`+e.socket+`.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "`+tag+`"
  disable_tcp_service = true
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
`)
	e.start = func() {
		cmd := daemon(t, nil, "containerd", "-c", filepath.Join(dir, "config.toml"))
		e.stop = func() { stop(cmd) }
		needs.Eventually(t, "containerd's socket", func() bool { return exists(e.socket) })
	}
	t.Cleanup(func() { unmountBelow(t, dir) })
	e.start()
	for _, namespace := range []string{"k8s.io", "tests"} {
		e.cli(t, "-n", namespace, "images", "import", built.archive)
	}
	return e
}

// pods makes pods as the kubelet does.
type pods struct {
	t       *testing.T
	runtime api.RuntimeServiceClient
	image   string // its id, by which the kubelet asks for it
}

func newPods(t *testing.T, e *engine) *pods {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+e.socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	p := &pods{t: t, runtime: api.NewRuntimeServiceClient(conn)}
	resp, err := api.NewImageServiceClient(conn).ImageStatus(p.context(), &api.ImageStatusRequest{Image: &api.ImageSpec{Image: tag}})
	if err != nil {
		t.Fatal(err)
	}
	p.image = resp.Image.Id
	return p
}

// pod makes a sandbox in the host's network, which needs no plugin.
func (p *pods) pod(name string, privileged bool) (string, *api.PodSandboxConfig) {
	p.t.Helper()
	config := &api.PodSandboxConfig{
		Metadata:    &api.PodSandboxMetadata{Name: name, Namespace: "shop", Uid: "uid-" + name},
		Labels:      map[string]string{"app": name, "io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": "shop", "io.kubernetes.pod.uid": "uid-" + name},
		Annotations: map[string]string{"note": "of " + name},
		Linux: &api.LinuxPodSandboxConfig{CgroupParent: "/peregrine-tests", SecurityContext: &api.LinuxSandboxSecurityContext{
			NamespaceOptions: &api.NamespaceOption{Network: api.NamespaceMode_NODE, Pid: api.NamespaceMode_CONTAINER}, Privileged: privileged,
		}},
	}
	resp, err := p.runtime.RunPodSandbox(p.context(), &api.RunPodSandboxRequest{Config: config})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		p.runtime.StopPodSandbox(context.Background(), &api.StopPodSandboxRequest{PodSandboxId: resp.PodSandboxId})
		p.runtime.RemovePodSandbox(context.Background(), &api.RemovePodSandboxRequest{PodSandboxId: resp.PodSandboxId})
	})
	return resp.PodSandboxId, config
}

// run starts a container in a pod, and returns its id.
func (p *pods) run(sandbox string, config *api.PodSandboxConfig, name string, mounts []*api.Mount, command ...string) string {
	p.t.Helper()
	resp, err := p.runtime.CreateContainer(p.context(), &api.CreateContainerRequest{
		PodSandboxId: sandbox, SandboxConfig: config, Config: &api.ContainerConfig{
			Metadata: &api.ContainerMetadata{Name: name}, Image: &api.ImageSpec{Image: p.image, UserSpecifiedImage: tag}, Command: command, Mounts: mounts,
			Labels: map[string]string{
				"io.kubernetes.container.name": name, "io.kubernetes.pod.name": config.Metadata.Name,
				"io.kubernetes.pod.namespace": config.Metadata.Namespace, "io.kubernetes.pod.uid": config.Metadata.Uid,
			},
			Linux: &api.LinuxContainerConfig{SecurityContext: &api.LinuxContainerSecurityContext{
				NamespaceOptions: config.Linux.SecurityContext.NamespaceOptions, Privileged: config.Linux.SecurityContext.Privileged,
			}},
		},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.runtime.StartContainer(p.context(), &api.StartContainerRequest{ContainerId: resp.ContainerId}); err != nil {
		p.t.Fatal(err)
	}
	return resp.ContainerId
}

// exec runs a command in a container, as kubectl exec does.
func (p *pods) exec(id string, command ...string) {
	p.t.Helper()
	if _, err := p.runtime.ExecSync(p.context(), &api.ExecSyncRequest{ContainerId: id, Cmd: command, Timeout: 20}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pods) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	p.t.Cleanup(cancel)
	return ctx
}

func TestPods(t *testing.T) {
	e := startContainerd(t)
	p := newPods(t, e)
	s := startSensor(t, tellRules, map[string]string{"cri": e.socket})
	sandbox, config := p.pod("web", false)

	// An init container, then the pod's own.
	p.run(sandbox, config, "prepare", nil, "/app", "open", "/tell/init")
	id := p.run(sandbox, config, "serve", []*api.Mount{{HostPath: t.TempDir(), ContainerPath: "/data", Readonly: true}}, "/app", "sleep")
	p.exec(id, "/bin/open", "/tell/exec")
	pod := map[string]string{
		"k8s.pod.name": "web", "k8s.ns.name": "shop", "k8s.pod.uid": "uid-web", "k8s.pod.sandbox_id": sandbox[:12], "k8s.pod.labels": "app:web",
		"container.type": "containerd", "container.image": tag, "container.image.repository": "localhost/tests/app", "container.image.tag": "v1",
		"container.image.digest": "+", "container.image.id": "+", "container.privileged": "false", "container.host_network": "true", "container.host_pid": "false",
	}
	first := s.await(t, "an alert of the init container", tells("/tell/init"))
	compare(t, first, pod)
	compare(t, first, map[string]string{"container.name": "prepare"})
	second := s.await(t, "an alert of exec", tells("/tell/exec"))
	compare(t, second, pod)
	compare(t, second, map[string]string{"container.name": "serve", "container.id": id[:12], "container.full_id": id, "container.mount.dest[0]": "/data"})

	// A container made anew in the same pod has an id of its own.
	if _, err := p.runtime.StopContainer(p.context(), &api.StopContainerRequest{ContainerId: id}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.runtime.RemoveContainer(p.context(), &api.RemoveContainerRequest{ContainerId: id}); err != nil {
		t.Fatal(err)
	}
	again := p.run(sandbox, config, "serve", nil, "/app", "open", "/tell/again")
	compare(t, s.await(t, "an alert after the restart", tells("/tell/again")), map[string]string{"container.id": again[:12], "container.name": "serve", "k8s.pod.uid": "uid-web"})
}

// containerd's own API: a container that nothing else manages.
func TestContainerd(t *testing.T) {
	e := startContainerd(t)
	s := startSensor(t, tellRules, map[string]string{"containerd": e.socket})
	id := "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	e.cli(t, "-n", "tests", "run", "--rm", "--label", "team=tests", "--mount", "type=bind,src="+t.TempDir()+",dst=/data,options=rbind:ro", tag, id, "/app", "open", "/tell/ctr")
	compare(t, s.await(t, "an alert", tells("/tell/ctr")), map[string]string{
		"container.id": id[:12], "container.full_id": id, "container.type": "containerd", "container.image": tag, "container.image.tag": "v1",
		"container.image.digest": "+", "container.name": id[:12], "container.label[team]": "tests", "container.privileged": "false", "container.host_pid": "false",
	})
}

// unmountBelow lets go of what a runtime has mounted in its directory.
func unmountBelow(t *testing.T, dir string) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Error(err)
	}
	for _, path := range mountsBelow(string(text), dir) {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", path, err)
		}
	}
}
