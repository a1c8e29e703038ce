package container

import (
	"encoding/json"
	"fmt"
)

// Parse reads metadata in the form in which Falco's captures carry it:
// {"container": {"id": ..., "name": ..., "image": ..., ...}}.
func Parse(text []byte) (Container, error) {
	var e struct {
		Container struct {
			ID          string            `json:"id"`
			FullID      string            `json:"full_id"`
			Type        *int              `json:"type"`
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
		} `json:"container"`
	}
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
			SandboxID: j.Sandbox, Labels: j.PodLabels,
		}
	}
	return c, nil
}

// typeNames are our names of Falco's numbers of runtimes (libs'
// sinsp_container_type).
var typeNames = map[int]string{
	0: Docker, 1: LXC, 2: LibvirtLXC, 6: CRI, 7: Containerd, 8: CRIO, 9: BPM, 11: Podman,
}
