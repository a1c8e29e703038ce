package rest

import (
	"encoding/json"
	"net/url"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
)

// HostConfig is the requested configuration of a container. Docker and Podman
// write it alike, and the NetworkSettings too.
type HostConfig struct {
	Privileged  bool
	PidMode     string
	NetworkMode string
	IpcMode     string
}

// Fill sets the fields that the configuration determines.
func (h *HostConfig) Fill(m *container.Container) {
	m.Privileged = h.Privileged
	m.HostPID, m.HostNetwork, m.HostIPC = h.PidMode == "host", h.NetworkMode == "host", h.IpcMode == "host"
}

// NetworkSettings are the networks that a container is in.
type NetworkSettings struct {
	IPAddress string
	Networks  map[string]struct{ IPAddress string }
}

// IP is the container's address: that on the default bridge, or else on the
// first network, by name, that gives it one.
func (s *NetworkSettings) IP() string {
	if s.IPAddress != "" {
		return s.IPAddress
	}
	name, ip := "", ""
	for n, network := range s.Networks {
		if network.IPAddress != "" && (ip == "" || n < name) {
			name, ip = n, network.IPAddress
		}
	}
	return ip
}

// Filters writes, for the query of /events, that only these events of
// containers are wanted.
func Filters(events []string) string {
	text, err := json.Marshal(map[string][]string{"type": {"container"}, "event": events})
	if err != nil {
		panic(err) // strings can always be written
	}
	return url.QueryEscape(string(text))
}
