// Package podman asks Podman's service about its containers, through libpod's
// API on its unix socket.
package podman

import (
	"context"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/internal/sensor/container/rest"
)

// api is the oldest version of libpod's API that this package reads; servers
// keep it.
const api = "/v4.0.0/libpod"

// Client asks one service.
type Client struct {
	*rest.Client
	labelMax int
	hooks    []string
}

// New returns a client of the service at a socket. Labels with values of more
// than labelMax bytes are left out; hooks are the events that Follow reports:
// create, start.
func New(socket string, labelMax int, hooks []string) *Client {
	return &Client{rest.New(socket), labelMax, hooks}
}

// List returns the ids of all containers, those that do not run included.
func (c *Client) List(ctx context.Context) ([]string, error) {
	return c.Client.List(ctx, api+"/containers/json?all=true")
}

// inspected is the answer to /containers/ID/json, as far as it is used.
type inspected struct {
	ID              string `json:"Id"`
	Name            string
	Image           string
	ImageName       string
	ImageDigest     string
	Config          struct{ Labels map[string]string }
	HostConfig      rest.HostConfig
	NetworkSettings rest.NetworkSettings
	Mounts          []container.Mount
}

// Find returns the container with an id.
func (c *Client) Find(ctx context.Context, id string) (container.Container, error) {
	var i inspected
	if err := c.Get(ctx, api+"/containers/"+id+"/json", &i); err != nil {
		return container.Container{}, err
	}
	m := container.Container{
		ID: container.Short(i.ID), FullID: i.ID, Type: container.Podman,
		Name: strings.TrimPrefix(i.Name, "/"), Image: i.ImageName, ImageID: strings.TrimPrefix(i.Image, "sha256:"), ImageDigest: i.ImageDigest,
		Labels: container.KeepLabels(i.Config.Labels, c.labelMax), Pod: container.PodOf(i.Config.Labels), Mounts: i.Mounts, IP: i.NetworkSettings.IP(),
	}
	i.HostConfig.Fill(&m)
	m.ImageRepository, m.ImageTag, _ = container.SplitImage(i.ImageName)
	return m, nil
}

// Follow calls changed with the id of each container that one of the hooks is
// about, until ctx or the stream ends.
func (c *Client) Follow(ctx context.Context, changed func(id string)) error {
	return rest.Stream(ctx, c.Client, api+"/events?stream=true&filters="+rest.Filters(c.hooks), func(e struct {
		Actor struct{ ID string }
	}) {
		changed(e.Actor.ID)
	})
}
