package cri

import (
	"context"
	"encoding/json"

	api "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
)

// pod is a sandbox, with the facts that its containers share.
type pod struct {
	container.Pod
	ip, cni, image                string
	hostPID, hostNetwork, hostIPC bool
}

// annotationPrefix marks annotations among a pod's labels, as Falco does.
const annotationPrefix = "annotation."

// pod asks about a sandbox.
func (c *Client) pod(ctx context.Context, sandbox string) (*pod, error) {
	resp, err := c.runtime.PodSandboxStatus(ctx, &api.PodSandboxStatusRequest{PodSandboxId: sandbox, Verbose: true})
	if err != nil {
		return nil, found("PodSandboxStatus", err)
	}
	s := resp.Status
	names := s.GetLinux().GetNamespaces().GetOptions()
	p := &pod{
		Pod: container.Pod{
			Name: s.GetMetadata().GetName(), Namespace: s.GetMetadata().GetNamespace(), UID: s.GetMetadata().GetUid(), SandboxID: sandbox,
			Labels: container.KeepLabels(s.GetLabels(), c.labelMax),
		},
		hostPID: names.GetPid() == api.NamespaceMode_NODE, hostNetwork: names.GetNetwork() == api.NamespaceMode_NODE, hostIPC: names.GetIpc() == api.NamespaceMode_NODE,
	}
	p.ip = s.GetNetwork().GetIp()
	p.image, p.cni = sandboxInfo(resp.Info["info"], s.GetAnnotations())
	p.IP, p.CNI = p.ip, p.cni
	for k, v := range container.KeepLabels(s.GetAnnotations(), c.labelMax) {
		if p.Labels == nil {
			p.Labels = map[string]string{}
		}
		p.Labels[annotationPrefix+k] = v
	}
	return p, nil
}

// sandbox is the entry of the sandbox itself, in which the pause process runs:
// without privileges, whatever its pod's containers have.
func (c *Client) sandbox(id string, p *pod) container.Container {
	m := container.Container{
		ID: container.Short(id), FullID: id, Type: c.kind, Image: p.image,
		HostPID: p.hostPID, HostNetwork: p.hostNetwork, HostIPC: p.hostIPC, IP: p.ip, CNI: p.cni,
		Labels: map[string]string{container.LabelPodName: p.Name, container.LabelPodNamespace: p.Namespace, container.LabelPodUID: p.UID},
		Pod:    &p.Pod,
	}
	m.ImageRepository, m.ImageTag, m.ImageDigest = container.SplitImage(p.image)
	return m
}

// maxCNI bounds the text of container.cni.json in bytes, as upstream does.
const maxCNI = 4096

// sandboxInfo reads the runtime's own account of a sandbox: its image, which
// containerd tells, and the result of the network plugin, which CRI-O has in an
// annotation.
func sandboxInfo(info string, annotations map[string]string) (image, cni string) {
	cni = annotations["io.kubernetes.cri-o.CNIResult"]
	var v struct {
		Image     string                                          `json:"image"`
		CNIResult struct{ Interfaces map[string]json.RawMessage } `json:"cniResult"`
	}
	if json.Unmarshal([]byte(info), &v) == nil && len(v.CNIResult.Interfaces) > 0 {
		cni = interfaces(v.CNIResult.Interfaces)
	}
	if len(cni) > maxCNI {
		cni = ""
	}
	return v.Image, cni
}
