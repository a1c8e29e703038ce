package runtimes

import (
	"path/filepath"
	"syscall"

	"github.com/peregrine-sec/peregrine/internal/sensor/container/containerd"
	"github.com/peregrine-sec/peregrine/internal/sensor/container/cri"
	"github.com/peregrine-sec/peregrine/internal/sensor/container/docker"
	"github.com/peregrine-sec/peregrine/internal/sensor/container/podman"
)

// Engine says whether and where one kind of runtime is asked.
type Engine struct {
	Enabled bool
	Sockets []string // empty: where it usually is
}

// Engines are the kinds of runtimes that have an API.
type Engines struct{ Docker, Podman, CRI, Containerd Engine }

// Settings are the same for all runtimes.
type Settings struct {
	HostRoot string // prefix of every path; "" for none
	LabelMax int    // longest value of a label that is kept, in bytes
	Hooks    []string
}

// usual are the sockets of runtimes as distributions and Kubernetes' packages
// set them up. All are in directories of root: a user's own runtime (Podman's
// in /run/user) could tell the sensor anything about any container. That of containerd is Bottlerocket's, for containers beside
// Kubernetes: elsewhere containerd is asked through CRI or by Docker.
var usual = map[string][]string{
	"docker": {"/var/run/docker.sock"},
	"podman": {"/run/podman/podman.sock"},
	"cri": {
		"/run/containerd/containerd.sock", "/run/crio/crio.sock", "/run/k3s/containerd/containerd.sock", "/run/host-containerd/containerd.sock",
		"/run/k0s/containerd.sock", "/var/snap/microk8s/common/run/containerd.sock",
	},
	"containerd": {"/run/host-containerd/containerd.sock"},
}

// Endpoints are the sockets to ask, in the order of the engines. Those that do
// not exist are among them: they may come. A socket that is another by a link
// (podman-docker) is asked once, by the first engine of the two.
func Endpoints(e Engines, set Settings) []Endpoint {
	var all []Endpoint
	add := func(rank int, name string, engine Engine, open func(socket string) (Client, error)) {
		if !engine.Enabled {
			return
		}
		paths := engine.Sockets
		if len(paths) == 0 {
			paths = usual[name]
		}
		for _, path := range paths {
			socket := filepath.Join("/", set.HostRoot, path)
			if sameAs(all, name, socket) {
				continue
			}
			all = append(all, Endpoint{Engine: name, Socket: socket, Rank: rank, Open: func() (Client, error) { return open(socket) }})
		}
	}
	add(0, "podman", e.Podman, func(s string) (Client, error) { return podman.New(s, set.LabelMax, set.Hooks), nil })
	add(1, "docker", e.Docker, func(s string) (Client, error) { return docker.New(s, set.LabelMax, set.Hooks), nil })
	add(2, "cri", e.CRI, func(s string) (Client, error) { return cri.New(s, set.LabelMax, set.Hooks) })
	add(3, "containerd", e.Containerd, func(s string) (Client, error) { return containerd.New(s, set.LabelMax, set.Hooks) })
	return all
}

// sameAs says whether a socket is another's already. Two engines may share a
// socket by the same name: containerd speaks CRI and its own API.
func sameAs(all []Endpoint, engine, socket string) bool {
	for _, e := range all {
		if e.Socket == socket {
			if e.Engine == engine {
				return true
			}
			continue
		}
		if a, ok := inode(e.Socket); ok {
			if b, ok := inode(socket); ok && a == b {
				return true
			}
		}
	}
	return false
}

func inode(path string) ([2]uint64, bool) {
	var st syscall.Stat_t
	if syscall.Stat(path, &st) != nil {
		return [2]uint64{}, false
	}
	return [2]uint64{uint64(st.Dev), st.Ino}, true
}

// userRank is after the ranks of all engines.
const userRank = 100

// rankOf is the rank of metadata from an endpoint: its engine's if the socket
// is root's. A user's runtime ranks after all of root's, and users' rank in the
// order of the configuration, so that none can replace metadata from root's
// runtimes, or from those named before it.
func rankOf(e Endpoint, place int) int {
	if ofRoot(e.Socket) {
		return e.Rank
	}
	return userRank + place
}

// ofRoot says whether only root can have created path: each part of it is
// root's. The owner of the socket alone is not enough: a user can put a link to
// root's socket in its place, and change it later.
func ofRoot(path string) bool {
	var st syscall.Stat_t
	if syscall.Lstat(path, &st) != nil || st.Uid != 0 {
		return false
	}
	parent := filepath.Dir(path)
	return parent == path || ofRoot(parent)
}
