package runtimes

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// startContainerd starts containerd with its CRI, in the host's network.
func startContainerd(t testing.TB) *engine { return startContainerdBy(t) }

// startContainerdBy starts it by a program before its command line. The pods'
// pause process opens /tell/pause.
func startContainerdBy(t testing.TB, before ...string) *engine {
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
  sandbox_image = "`+pauseTag+`"
  disable_tcp_service = true
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "`+plugins+`"
    conf_dir = "`+dir+`/net"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
`)
	place(t, filepath.Join(dir, "net", "tests.conflist"), bridge(t, dir))
	e.start = func() {
		line := append(before, "containerd", "-c", filepath.Join(dir, "config.toml"))
		cmd := daemon(t, nil, line[0], line[1:]...)
		e.stop = func() { stop(cmd) }
		needs.Eventually(t, "containerd's socket", func() bool { return exists(e.socket) })
	}
	t.Cleanup(func() { unmountBelow(t, dir) })
	e.start()
	for _, namespace := range []string{"k8s.io", "tests"} {
		e.cli(t, "-n", namespace, "images", "import", built.archive)
	}
	e.cli(t, "-n", "k8s.io", "images", "import", built.pause)
	return e
}

// pods makes pods as the kubelet does.
type pods struct {
	t          *testing.T
	runtime    api.RuntimeServiceClient
	images     api.ImageServiceClient
	namespace  string
	tag, image string // its id, by which the kubelet asks for it
}

func newPods(t *testing.T, e *engine) *pods {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+e.socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	p := &pods{t: t, runtime: api.NewRuntimeServiceClient(conn), images: api.NewImageServiceClient(conn)}
	return p.with("shop", tag)
}

// with makes pods in a namespace, whose containers have an image.
func (p *pods) with(namespace, tag string) *pods {
	p.t.Helper()
	resp, err := p.images.ImageStatus(p.context(), &api.ImageStatusRequest{Image: &api.ImageSpec{Image: tag}})
	if err != nil {
		p.t.Fatal(err)
	}
	return &pods{p.t, p.runtime, p.images, namespace, tag, resp.Image.Id}
}

// pod makes a sandbox in a network of its own or the host's, which needs no plugin.
func (p *pods) pod(name string, privileged bool, network api.NamespaceMode) (string, *api.PodSandboxConfig) {
	p.t.Helper()
	config := &api.PodSandboxConfig{
		Metadata:    &api.PodSandboxMetadata{Name: name, Namespace: p.namespace, Uid: "uid-" + name},
		Labels:      map[string]string{"app": name, "example.org/part": "front", "io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": p.namespace, "io.kubernetes.pod.uid": "uid-" + name},
		Annotations: map[string]string{"note": "of " + name},
		Linux: &api.LinuxPodSandboxConfig{CgroupParent: "/peregrine-tests", SecurityContext: &api.LinuxSandboxSecurityContext{
			NamespaceOptions: &api.NamespaceOption{Network: network, Pid: api.NamespaceMode_CONTAINER}, Privileged: privileged,
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
			Metadata: &api.ContainerMetadata{Name: name}, Image: &api.ImageSpec{Image: p.image, UserSpecifiedImage: p.tag}, Command: command, Mounts: mounts,
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
	if _, err := p.runtime.ExecSync(p.context(), &api.ExecSyncRequest{ContainerId: id, Cmd: command, Timeout: 60}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pods) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	p.t.Cleanup(cancel)
	return ctx
}

func TestPods(t *testing.T) {
	needs.Programs(t, "unshare")
	e := startContainerdBy(t, "unshare", "--net") // the pods' bridge is in it, and goes with it
	p := newPods(t, e)
	s := startSensor(t, tellRules, map[string]string{"cri": e.socket})
	sandbox, config := p.pod("web", false, api.NamespaceMode_POD)

	// The pause container comes first, then an init container, then the pod's own.
	p.run(sandbox, config, "prepare", nil, "/app", "open", "/tell/init")
	id := p.run(sandbox, config, "serve", []*api.Mount{{HostPath: t.TempDir(), ContainerPath: "/data", Readonly: true}}, "/app", "sleep")
	p.run(sandbox, config, "beside", nil, "/app", "open", "/tell/beside")
	p.exec(id, "/bin/open", "/tell/exec")
	pod := map[string]string{
		"k8s.pod.name": "web", "k8s.ns.name": "shop", "k8s.pod.uid": "uid-web", "k8s.pod.sandbox_id": sandbox[:12], "k8s.pod.labels": "app:web, example.org/part:front",
		"k8s.pod.label[example.org/part]": "front", "k8s.pod.label[annotation.note]": "of web", "k8s.pod.ip": "+", "container.ip": "+",
		"container.type": "containerd", "container.privileged": "false", "container.host_network": "false", "container.host_pid": "false",
	}
	paused := s.await(t, "an alert of the pause container", tells("/tell/pause"))
	compare(t, paused, pod)
	compare(t, paused, map[string]string{"container.id": sandbox[:12], "container.name": "", "container.image": pauseTag})
	for file, name := range map[string]string{"/tell/init": "prepare", "/tell/exec": "serve", "/tell/beside": "beside"} {
		a := s.await(t, "an alert of "+name, tells(file))
		compare(t, a, pod)
		compare(t, a, map[string]string{
			"container.name": name, "container.image": tag, "container.image.repository": "localhost/tests/app", "container.image.tag": "v1",
			"container.image.digest": "+", "container.image.id": "+", "container.ip": paused.text("k8s.pod.ip"),
		})
	}
	compare(t, s.await(t, "an alert of exec", tells("/tell/exec")), map[string]string{"container.id": id[:12], "container.full_id": id, "container.mount.dest[0]": "/data"})

	// A recreated container in the same pod has a new id.
	if _, err := p.runtime.StopContainer(p.context(), &api.StopContainerRequest{ContainerId: id}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.runtime.RemoveContainer(p.context(), &api.RemoveContainerRequest{ContainerId: id}); err != nil {
		t.Fatal(err)
	}
	again := p.run(sandbox, config, "serve", nil, "/app", "open", "/tell/again")
	compare(t, s.await(t, "an alert after the restart", tells("/tell/again")), map[string]string{"container.id": again[:12], "container.name": "serve", "k8s.pod.uid": "uid-web"})

	// A pod in the host's network has no address of its own.
	shared, wide := p.pod("wide", false, api.NamespaceMode_NODE)
	p.run(shared, wide, "wide", nil, "/app", "open", "/tell/wide")
	compare(t, s.await(t, "an alert of a pod in the host's network", tells("/tell/wide")), map[string]string{
		"container.name": "wide", "container.host_network": "true", "container.ip": "", "k8s.pod.ip": "", "k8s.pod.name": "wide",
	})
}

// When containerd comes back, pods that have gone on are still known, and new
// ones become known.
func TestContainerdRestarts(t *testing.T) {
	e := startContainerd(t)
	p := newPods(t, e)
	sandbox, config := p.pod("web", false, api.NamespaceMode_NODE)
	id := p.run(sandbox, config, "serve", nil, "/app", "sleep")
	s := startSensor(t, tellRules, map[string]string{"cri": e.socket})
	s.restart(t, e)
	p.exec(id, "/bin/open", "/tell/old")
	p.run(sandbox, config, "late", nil, "/app", "open", "/tell/new")
	compare(t, s.await(t, "an alert of the old container", tells("/tell/old")), map[string]string{"container.name": "serve", "k8s.pod.name": "web"})
	compare(t, s.await(t, "an alert of a new container", tells("/tell/new")), map[string]string{"container.name": "late", "k8s.pod.name": "web"})
}

// containerd's own API: a container that nothing else manages.
func TestContainerd(t *testing.T) {
	e := startContainerd(t)
	s := startSensor(t, tellRules, map[string]string{"containerd": e.socket})
	id := "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	ctr := func(args ...string) { e.cli(t, append([]string{"-n", "tests"}, args...)...) }
	whole := map[string]string{
		"container.id": id[:12], "container.full_id": id, "container.type": "containerd", "container.image": tag, "container.image.tag": "v1",
		"container.image.digest": "+", "container.name": id[:12], "container.label[team]": "tests", "container.privileged": "false", "container.host_pid": "false",
		"container.ip": "", // which it does not tell
	}
	ctr("containers", "create", "--label", "team=tests", "--mount", "type=bind,src="+t.TempDir()+",dst=/data,options=rbind:ro", tag, id, "/app", "open", "/tell/first")
	for range 2 { // a restart is a second task
		ctr("tasks", "start", "--detach", id)
		needs.Eventually(t, "the end of the task", func() bool { return strings.Contains(e.cli(t, "-n", "tests", "tasks", "list"), "STOPPED") })
		ctr("tasks", "delete", id)
	}
	needs.Eventually(t, "an alert of each start", func() bool { return len(s.find(tells("/tell/first"))) == 2 })
	for _, a := range s.find(tells("/tell/first")) {
		compare(t, a, whole)
	}
	ctr("containers", "delete", id)

	ctr("run", "--detach", "--label", "team=tests", tag, id, "/app", "sleep")
	ctr("tasks", "pause", id)
	ctr("tasks", "resume", id)
	ctr("tasks", "exec", "--exec-id", "one", id, "/bin/open", "/tell/exec")
	compare(t, s.await(t, "an alert of exec", tells("/tell/exec")), whole)
	ctr("tasks", "kill", "--signal", "SIGKILL", id)
	needs.Eventually(t, "the end of the task", func() bool { return strings.Contains(e.cli(t, "-n", "tests", "tasks", "list"), "STOPPED") })
	ctr("tasks", "delete", id)
	ctr("containers", "delete", id)
}

// unmountBelow unmounts a runtime's mounts in its directory.
func unmountBelow(t testing.TB, dir string) {
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
