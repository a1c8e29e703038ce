package container

import (
	"encoding/json"
	"fmt"
	"maps"
)

// metadata is the form in which Falco's captures carry it:
// {"container": {"id": ..., "name": ..., "image": ..., ...}}.
type metadata struct {
	Container described `json:"container"`
}

type described struct {
	ID          string            `json:"id"`
	FullID      string            `json:"full_id"`
	Type        *int              `json:"type,omitempty"`
	Name        string            `json:"name"`
	Image       string            `json:"image"`
	ImageID     string            `json:"imageid"`
	ImageRepo   string            `json:"imagerepo"`
	ImageTag    string            `json:"imagetag"`
	ImageDigest string            `json:"imagedigest"`
	Privileged  bool              `json:"privileged"`
	HostPID     bool              `json:"host_pid"`
	HostNetwork bool              `json:"host_network"`
	HostIPC     bool              `json:"host_ipc"`
	IP          string            `json:"ip"`
	CNI         string            `json:"cni_json"`
	Sandbox     string            `json:"pod_sandbox_id"`
	Labels      map[string]string `json:"labels"`
	PodLabels   map[string]string `json:"pod_sandbox_labels"`
	Mounts      []Mount
	// Ours: Falco takes them from the entry of the sandbox's own container.
	PodIP  string `json:"pod_ip,omitempty"`
	PodCNI string `json:"pod_cni_json,omitempty"`
	// Workload arrives separately from the API server, but is part of the
	// container in captures.
	Workload *Workload `json:"pod_workload,omitempty"`
}

// Metadata writes the form that Parse reads.
func (c *Container) Metadata() []byte {
	d := described{
		ID: c.ID, FullID: c.FullID, Name: c.Name,
		Image: c.Image, ImageID: c.ImageID, ImageRepo: c.ImageRepository, ImageTag: c.ImageTag, ImageDigest: c.ImageDigest,
		Privileged: c.Privileged, HostPID: c.HostPID, HostNetwork: c.HostNetwork, HostIPC: c.HostIPC,
		IP: c.IP, CNI: c.CNI, Labels: c.Labels, Mounts: c.Mounts,
	}
	for n, name := range typeNames {
		if name == c.Type {
			d.Type = &n
		}
	}
	if p := c.Pod; p != nil {
		d.Labels = maps.Clone(c.Labels)
		if d.Labels == nil {
			d.Labels = make(map[string]string)
		}
		d.Labels[LabelPodName], d.Labels[LabelPodNamespace], d.Labels[LabelPodUID] = p.Name, p.Namespace, p.UID
		d.Sandbox, d.PodLabels, d.PodIP, d.PodCNI, d.Workload = p.SandboxID, p.Labels, p.IP, p.CNI, p.Workload
	}
	text, err := json.Marshal(metadata{d})
	if err != nil { // strings, numbers and maps of them can be written
		panic(err)
	}
	return text
}

// Parse reads metadata.
func Parse(text []byte) (Container, error) {
	var e metadata
	if err := json.Unmarshal(text, &e); err != nil {
		return Container{}, fmt.Errorf("container metadata: %w", err)
	}
	j := &e.Container
	if j.ID == "" {
		return Container{}, fmt.Errorf("container metadata: no container.id")
	}
	c := Container{
		ID: Identity{FullID: j.ID}.ID(), FullID: j.FullID, Name: j.Name,
		Image: j.Image, ImageID: j.ImageID, ImageRepository: j.ImageRepo, ImageTag: j.ImageTag, ImageDigest: j.ImageDigest,
		Privileged: j.Privileged, HostPID: j.HostPID, HostNetwork: j.HostNetwork, HostIPC: j.HostIPC,
		IP: j.IP, CNI: j.CNI, Labels: j.Labels, Mounts: j.Mounts,
	}
	if j.Type != nil {
		c.Type = typeNames[*j.Type]
	}
	if name := j.Labels[LabelPodName]; name != "" {
		c.Pod = &Pod{
			Name: name, Namespace: j.Labels[LabelPodNamespace], UID: j.Labels[LabelPodUID],
			SandboxID: j.Sandbox, Labels: j.PodLabels, IP: j.PodIP, CNI: j.PodCNI, Workload: j.Workload,
		}
	}
	return c, nil
}

// typeNames are our names of Falco's numbers of runtimes (libs'
// sinsp_container_type).
var typeNames = map[int]string{
	0: Docker, 1: LXC, 2: LibvirtLXC, 6: CRI, 7: Containerd, 8: CRIO, 9: BPM, 11: Podman,
}
