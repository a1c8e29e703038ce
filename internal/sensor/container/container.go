// Package container tells which container a process belongs to, from its
// cgroup path alone. Metadata (name, image, labels) is filled in later by
// whoever knows it; until then its members are empty and Known is false.
package container

// Container is one container, or the host. It is shared by all its processes
// and owned by the engine's goroutine.
type Container struct {
	ID     string // 12 characters; "host" for the host
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
	Pod             *Pod // nil outside Kubernetes
}

// Pod is the Kubernetes side of a container.
type Pod struct {
	Name, Namespace, UID string
	Labels               map[string]string
}

// Host stands for everything that runs in no container.
var Host = &Container{ID: "host", FullID: "host", Type: "host", Known: true, Name: "host"}
