package runtimes

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// engine is a running container runtime and its command line.
type engine struct {
	kind    string // as container.type has it
	socket  string
	env     []string
	command []string // docker, podman, ctr
	network string   // one in which containers have addresses
	stop    func()
	start   func()
}

// cli runs a command of the runtime.
func (e *engine) cli(t testing.TB, args ...string) string {
	t.Helper()
	args = append(append([]string{}, e.command[1:]...), args...)
	return command(t, e.env, e.command[0], args...)
}

// environment is the environment of the runtime's command line, which names its
// socket.
func (e *engine) environment() []string {
	return append(append(os.Environ(), e.env...), "DOCKER_HOST=unix://"+e.socket, "CONTAINERD_ADDRESS="+e.socket)
}

func place(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// startDocker starts dockerd, which starts a containerd of its own.
func startDocker(t testing.TB) *engine {
	t.Helper()
	need(t, "unshare", "dockerd", "docker")
	dir := t.TempDir()
	e := &engine{kind: "docker", socket: filepath.Join(dir, "docker.sock"), network: "bridge"}
	e.command = []string{"docker", "-H", "unix://" + e.socket}
	config := "{}"
	if strings.HasPrefix(command(t, nil, "dockerd", "--version"), "Docker version 20.") {
		config = `{"deprecated-key-path": "` + dir + `/key.json"}` // else it is made in /etc
	}
	place(t, filepath.Join(dir, "daemon.json"), config)
	e.start = func() {
		// Its bridge is in a network namespace of its own, and goes with it.
		cmd := daemon(t, nil, "unshare", "--net", "dockerd", "--config-file="+filepath.Join(dir, "daemon.json"), "--data-root", filepath.Join(dir, "data"),
			"--exec-root", filepath.Join(dir, "exec"), "--pidfile", filepath.Join(dir, "pid"), "-H", "unix://"+e.socket, "-G", "root",
			"--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false", "--storage-driver", "overlay2",
			"--exec-opt", "native.cgroupdriver=cgroupfs", "--userland-proxy=false")
		e.stop = func() { stop(cmd) }
		needs.Eventually(t, "dockerd's socket", func() bool { return exists(e.socket) })
	}
	t.Cleanup(func() { unmountBelow(t, dir) }) // of the host's network namespace, for one
	e.start()
	command(t, nil, "docker", "-H", "unix://"+e.socket, "load", "-i", built.archive)
	return e
}

// plugins is where Debian's containernetworking-plugins has them.
const plugins = "/usr/lib/cni"

// bridge is the configuration of a network for CNI plugins, which keep their
// books in dir: a bridge without a way out.
func bridge(t testing.TB, dir string) string {
	t.Helper()
	for _, name := range []string{"bridge", "host-local", "loopback"} { // containerd takes the last for each pod
		_, err := os.Stat(filepath.Join(plugins, name))
		needs.That(t, "CNI plugins", err)
	}
	return `{"cniVersion": "0.4.0", "name": "tests", "plugins": [{"type": "bridge", "bridge": "tests0",
"ipam": {"type": "host-local", "dataDir": "` + dir + `/cni", "ranges": [[{"subnet": "10.251.0.0/24"}]]}}]}`
}

// startPodman starts Podman's service.
func startPodman(t testing.TB) *engine {
	t.Helper()
	need(t, "unshare", "podman")
	dir := t.TempDir()
	// Podman makes networks where its command line runs.
	e := &engine{kind: "podman", socket: filepath.Join(dir, "podman.sock"), command: []string{"unshare", "--net", "podman"}, network: "tests"}
	place(t, filepath.Join(dir, "net", "tests.conflist"), bridge(t, dir))
	place(t, filepath.Join(dir, "containers.conf"), `[engine]
cgroup_manager="cgroupfs"
events_logger="file"
lock_type="file"
runtime="runc"
tmp_dir="`+dir+`/tmp"
[network]
network_backend="cni"
network_config_dir="`+dir+`/net"
cni_plugin_dirs=["`+plugins+`"]
[containers]
default_ulimits=["nofile=1024:20000","nproc=4096:4096"]
`)
	place(t, filepath.Join(dir, "storage.conf"), "[storage]\ndriver=\"overlay\"\nrunroot=\""+dir+"/run\"\ngraphroot=\""+dir+"/graph\"\n")
	place(t, filepath.Join(dir, "registries.conf"), "")
	place(t, filepath.Join(dir, "policy.json"), `{"default":[{"type":"insecureAcceptAnything"}]}`)
	e.env = []string{
		"CONTAINERS_CONF=" + dir + "/containers.conf", "CONTAINERS_STORAGE_CONF=" + dir + "/storage.conf",
		"CONTAINERS_REGISTRIES_CONF=" + dir + "/registries.conf", "TMPDIR=" + dir, "XDG_RUNTIME_DIR=" + dir, "HOME=" + dir,
	}
	place(t, filepath.Join(dir, ".config/containers/policy.json"), `{"default":[{"type":"insecureAcceptAnything"}]}`)
	t.Cleanup(func() { unmountBelow(t, dir) })
	e.start = func() {
		cmd := daemon(t, e.env, "podman", "system", "service", "--time=0", "unix://"+e.socket)
		e.stop = func() { stop(cmd) }
		needs.Eventually(t, "podman's socket", func() bool { return exists(e.socket) })
	}
	e.start()
	e.cli(t, "load", "-i", built.archive)
	return e
}

// mountsBelow are the mount points in dir, the innermost first, in the text of
// /proc/self/mounts.
func mountsBelow(text, dir string) []string {
	var below []string
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], dir+"/") {
			below = append(below, f[1])
		}
	}
	slices.Reverse(below)
	return below
}
