package cri

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	api "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
)

// container asks about one container of the pod p, which is nil if it has gone.
func (c *Client) container(ctx context.Context, id string, p *pod) (container.Container, error) {
	resp, err := c.runtime.ContainerStatus(ctx, &api.ContainerStatusRequest{ContainerId: id, Verbose: true})
	if err != nil {
		return container.Container{}, found("ContainerStatus", err)
	}
	s, info := resp.Status, infoOf(resp.Info)
	m := container.Container{
		ID: container.Short(id), FullID: id, Type: c.kind, Name: s.GetMetadata().GetName(),
		Privileged: info.privileged(), Labels: container.KeepLabels(s.GetLabels(), c.labelMax),
	}
	if m.Labels == nil {
		m.Labels = map[string]string{}
	}
	for _, mount := range s.GetMounts() {
		m.Mounts = append(m.Mounts, container.Mount{
			Source: mount.HostPath, Dest: mount.ContainerPath, RW: !mount.Readonly, Propagation: propagations[mount.Propagation],
		})
	}
	setImage(&m, s, info)
	m.Pod = container.PodOf(s.GetLabels()) // enough when the sandbox has gone
	if p != nil {
		m.Pod = &p.Pod
		m.HostPID, m.HostNetwork, m.HostIPC, m.IP, m.CNI = p.hostPID, p.hostNetwork, p.hostIPC, p.ip, p.cni
		m.Labels[container.LabelPodName], m.Labels[container.LabelPodNamespace], m.Labels[container.LabelPodUID] = p.Name, p.Namespace, p.UID
		m.Labels["io.kubernetes.sandbox.id"] = p.SandboxID
	}
	return m, nil
}

var propagations = map[api.MountPropagation]string{
	api.MountPropagation_PROPAGATION_PRIVATE:           "private",
	api.MountPropagation_PROPAGATION_HOST_TO_CONTAINER: "rslave",
	api.MountPropagation_PROPAGATION_BIDIRECTIONAL:     "rshared",
}

// info is the runtime's own account of a container or sandbox, as far as it is
// used. It is not part of the interface: containerd and CRI-O agree in little.
type info struct {
	Privileged bool `json:"privileged"` // CRI-O
	Config     struct {
		Image struct{ Image string } `json:"image"`
		Linux struct {
			SecurityContext struct {
				Privileged bool `json:"privileged"`
			} `json:"security_context"`
		} `json:"linux"`
	} `json:"config"`
	RuntimeSpec struct {
		Annotations map[string]string `json:"annotations"`
	} `json:"runtimeSpec"`
}

func infoOf(texts map[string]string) info {
	var i info
	_ = json.Unmarshal([]byte(texts["info"]), &i) // unreadable facts are left out
	return i
}

func (i info) privileged() bool { return i.Config.Linux.SecurityContext.Privileged || i.Privileged }

// imageNames are the annotations in which runtimes keep the name of an image.
var imageNames = []string{"io.kubernetes.cri.image-name", "io.kubernetes.cri-o.Image", "io.kubernetes.cri-o.ImageName"}

// setImage finds name, digest and id of the image. The status has a name as
// the user wrote it, or an id, and a reference that is REPOSITORY@DIGEST, or
// the digest alone for an image that no registry has.
func setImage(m *container.Container, s *api.ContainerStatus, i info) {
	name := s.GetImage().GetImage()
	for k := 0; k < len(imageNames) && isID(name); k++ {
		name = i.RuntimeSpec.Annotations[imageNames[k]]
	}
	if user := s.GetImage().GetUserSpecifiedImage(); isID(name) && !isID(user) {
		name = user
	}
	repository, tag, digest := container.SplitImage(name)
	if repo, _, d := container.SplitImage(s.GetImageRef()); d != "" {
		repository, digest = repo, d
	} else if strings.HasPrefix(s.GetImageRef(), "sha256:") {
		digest = s.GetImageRef()
	}
	m.ImageRepository, m.ImageTag, m.ImageDigest = repository, tag, digest
	switch m.Image = repository; {
	case repository == "":
		m.Image = s.GetImage().GetImage() // an id
	case tag != "":
		m.Image += ":" + tag
	}
	m.ImageID = i.Config.Image.Image
	if m.ImageID == "" || !strings.Contains(m.ImageID, "sha256:") {
		m.ImageID = s.GetImageId()
	}
	m.ImageID = m.ImageID[strings.LastIndexByte(m.ImageID, ':')+1:]
}

// isID says whether an image is named by its id or not at all.
func isID(name string) bool { return name == "" || strings.HasPrefix(name, "sha256:") }

// interfaces writes the pod's own network interfaces as a JSON array, by name:
// without loopback and the host's ends of pairs.
func interfaces(all map[string]json.RawMessage) string {
	var kept []json.RawMessage
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if name != "lo" && !strings.HasPrefix(name, "veth") {
			kept = append(kept, all[name])
		}
	}
	text, err := json.Marshal(kept)
	if err != nil || len(kept) == 0 { // it was JSON a moment ago
		return ""
	}
	return string(text)
}
