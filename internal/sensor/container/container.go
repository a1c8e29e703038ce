// Package container tells which container a process belongs to, from its
// cgroup path alone, and stores their metadata. Metadata (name, image,
// labels) comes later, from the runtimes' own APIs (packages cri, docker,
// podman and containerd, driven by package runtimes) or from a capture; until
// then its members are empty and Known is false.
package container

import (
	"errors"
	"strings"
)

// ErrNotFound says that a runtime has no container of that id.
var ErrNotFound = errors.New("no such container")

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

	// Rank is the place of the metadata's runtime in the order in which runtimes
	// are asked. Two may know a container: Docker's are also containerd's. The
	// lower rank wins; users' runtimes come after all of root's.
	Rank int
	// WaitUntil is when alerts stop waiting for the metadata, by the clock of
	// events' headers; 0 before the first that waited. It belongs to the engine.
	WaitUntil uint64

	pending bool   // Known, but its pod's Workload is on its way
	users   int    // processes in it, see Registry
	idle    uint64 // sweeps that found it without processes
}

// Pod is the Kubernetes side of a container.
type Pod struct {
	Name, Namespace, UID string
	SandboxID            string // of the pod's sandbox container, in full
	IP                   string
	CNI                  string // result of the network plugin, JSON
	Labels               map[string]string
	Workload             *Workload // nil until the API server has told it
}

// Complete says whether all expected metadata has arrived.
func (c *Container) Complete() bool { return c.Known && !c.pending }

// Mount is a directory of the host, or a volume, in a container. Docker's and
// Podman's APIs, and Falco's captures, write it in this form.
type Mount struct {
	Source      string
	Dest        string `json:"Destination"`
	Mode        string // as the runtime writes it, e.g. "Z"
	RW          bool
	Propagation string // e.g. "rprivate"
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
	LibvirtLXC = "libvirt-lxc"
	BPM        = "bpm"
	CRI        = "cri" // a runtime whose name says nothing
)

// Labels that the kubelet gives to every container.
const (
	LabelPodName      = "io.kubernetes.pod.name"
	LabelPodNamespace = "io.kubernetes.pod.namespace"
	LabelPodUID       = "io.kubernetes.pod.uid"
)

// PodOf is the pod that the kubelet's labels of a container name; nil for none.
func PodOf(labels map[string]string) *Pod {
	name := labels[LabelPodName]
	if name == "" {
		return nil
	}
	return &Pod{Name: name, Namespace: labels[LabelPodNamespace], UID: labels[LabelPodUID]}
}

// SplitImage splits a reference to an image: the part before tag and digest,
// the tag, and the digest, which is "sha256:..." or empty. The host of a
// registry may have a port. An image's id, which is no name, has none of these.
func SplitImage(ref string) (repository, tag, digest string) {
	if strings.HasPrefix(ref, "sha256:") || isHex(ref, fullLen) {
		return "", "", ""
	}
	repository, digest, _ = strings.Cut(ref, "@")
	if i := strings.LastIndexByte(repository, ':'); i > strings.LastIndexByte(repository, '/') {
		repository, tag = repository[:i], repository[i+1:]
	}
	return repository, tag, digest
}

// Short is the form of a runtime's full id that container.id shows.
func Short(fullID string) string { return Identity{FullID: fullID}.ID() }

// KeepLabels returns the labels whose values are at most most bytes long; nil
// instead of an empty map.
func KeepLabels(labels map[string]string, most int) map[string]string {
	kept := make(map[string]string, len(labels))
	for k, v := range labels {
		if len(v) <= most {
			kept[k] = v
		}
	}
	if len(kept) == 0 {
		return nil
	}
	return kept
}
