package containerd

import (
	"encoding/json"
	"slices"
	"strings"

	event "github.com/containerd/containerd/api/events"
	containers "github.com/containerd/containerd/api/services/containers/v1"
	"github.com/containerd/containerd/api/types"
	"google.golang.org/protobuf/proto"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
)

// subject is the id of the container that an event is about; empty if it
// cannot be read.
func subject(envelope *types.Envelope) string {
	switch envelope.GetTopic() {
	case "/containers/create":
		var e event.ContainerCreate
		if proto.Unmarshal(envelope.GetEvent().GetValue(), &e) == nil {
			return e.ID
		}
	case "/tasks/start":
		var e event.TaskStart
		if proto.Unmarshal(envelope.GetEvent().GetValue(), &e) == nil {
			return e.ContainerID
		}
	}
	return ""
}

// spec is the OCI runtime specification of a container, as far as it is used.
type spec struct {
	Mounts []struct {
		Source, Destination, Type string
		Options                   []string
	} `json:"mounts"`
	Process struct {
		ApparmorProfile string `json:"apparmorProfile"`
		SelinuxLabel    string `json:"selinuxLabel"`
	} `json:"process"`
	Linux struct {
		Namespaces    []struct{ Type string } `json:"namespaces"`
		MaskedPaths   []string                `json:"maskedPaths"`
		ReadonlyPaths []string                `json:"readonlyPaths"`
		Seccomp       json.RawMessage         `json:"seccomp"`
	} `json:"linux"`
}

// describe makes the metadata of a container.
func (c *Client) describe(d *containers.Container, digest string) container.Container {
	var s spec
	// Without a specification that can be read, there is the rest.
	known := json.Unmarshal(d.GetSpec().GetValue(), &s) == nil
	m := container.Container{
		ID: container.Short(d.ID), FullID: d.ID, Type: container.Containerd, Name: d.ID[:min(len(d.ID), 12)],
		Image: d.Image, ImageDigest: digest, Labels: container.KeepLabels(d.Labels, c.labelMax), Pod: container.PodOf(d.Labels),
	}
	m.ImageRepository, m.ImageTag, _ = container.SplitImage(d.Image)
	if known {
		m.HostPID, m.HostNetwork, m.HostIPC = s.shares("pid"), s.shares("network"), s.shares("ipc")
		m.Privileged = s.privileged()
		m.Mounts = s.mounts()
	}
	return m
}

// shares says whether the container has no namespace of a kind of its own.
func (s *spec) shares(kind string) bool {
	for _, n := range s.Linux.Namespaces {
		if n.Type == kind {
			return false
		}
	}
	return true
}

// privileged guesses: containerd does not store the setting, but a privileged
// container has none of the confinement of the others.
func (s *spec) privileged() bool {
	if len(s.Linux.MaskedPaths) > 0 || len(s.Linux.ReadonlyPaths) > 0 || len(s.Linux.Seccomp) > 0 ||
		s.Process.ApparmorProfile != "" || s.Process.SelinuxLabel != "" {
		return false
	}
	for _, m := range s.Mounts {
		if (m.Type == "sysfs" || m.Type == "cgroup") && slices.Contains(m.Options, "ro") {
			return false
		}
	}
	return true
}

func (s *spec) mounts() []container.Mount {
	var all []container.Mount
	for _, m := range s.Mounts {
		mount := container.Mount{Source: m.Source, Dest: m.Destination, RW: !slices.Contains(m.Options, "ro")}
		for _, o := range m.Options {
			if mode, ok := strings.CutPrefix(o, "mode="); ok {
				mount.Mode = mode
			}
			switch o {
			case "private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable":
				mount.Propagation = o
			}
		}
		all = append(all, mount)
	}
	return all
}
