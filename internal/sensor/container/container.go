// Package container tells which container a process belongs to, from its
// cgroup path alone. Metadata (name, image, labels) is filled in later by
// whoever knows it, through the Registry; until then its members are empty and
// Known is false.
package container

// Container is one container, or the host. It is shared by all its processes
// and owned by the engine's goroutine.
type Container struct {
	ID     string // 12 characters (LXC and BPM: the name); "host" for the host
	FullID string
	Type   string // docker, containerd, cri-o, podman, lxc, ...; "host"

	// Known says whether the metadata below has arrived.
	Known           bool
	Name            string
	Image           string
	ImageID         string
	ImageRepository string
	ImageTag        string
	ImageDigest     string
	Privileged      bool
	HostPID         bool // shares the host's namespace of pids, ...
	HostNetwork     bool
	HostIPC         bool
	IP              string
	CNI             string // result of the network plugin, JSON
	Mounts          []Mount
	Labels          map[string]string
	Pod             *Pod // nil outside Kubernetes

	users int    // processes in it, see Registry
	idle  uint64 // sweeps that found it without processes
}

// Pod is the Kubernetes side of a container.
type Pod struct {
	Name, Namespace, UID string
	SandboxID            string // of the pod's sandbox container, in full
	IP                   string
	CNI                  string // result of the network plugin, JSON
	Labels               map[string]string
}

// Mount is a directory of the host, or a volume, in a container.
type Mount struct {
	Source, Dest string
	Mode         string // as the runtime writes it, e.g. "Z"
	RW           bool
	Propagation  string // e.g. "rprivate"
}

// Host stands for everything that runs in no container.
var Host = &Container{ID: "host", FullID: "host", Type: "host", Known: true, Name: "host"}

// Types of containers, as container.type names them.
const (
	Docker     = "docker"
	Containerd = "containerd"
	CRIO       = "cri-o"
	Podman     = "podman"
	LXC        = "lxc"
	LibvirtLXC = "libvirt_lxc"
	BPM        = "bpm"
)
