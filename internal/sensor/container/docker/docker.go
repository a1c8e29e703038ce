// Package docker asks dockerd about its containers, through the Engine API on
// its unix socket.
package docker

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/internal/sensor/container/rest"
)

// Client asks one daemon.
type Client struct {
	*rest.Client
	labelMax int
	hooks    []string
}

// New returns a client of the daemon at a socket. Labels with values of more
// than labelMax bytes are left out; hooks are the events that Follow reports:
// create, start.
func New(socket string, labelMax int, hooks []string) *Client {
	return &Client{rest.New(socket), labelMax, hooks}
}

// List returns the ids of all containers, those that do not run included.
func (c *Client) List(ctx context.Context) ([]string, error) {
	return c.Client.List(ctx, "/containers/json?all=1")
}

// inspected is the answer to /containers/ID/json, as far as it is used.
type inspected struct {
	ID     string
	Name   string
	Image  string // "sha256:..."
	Config struct {
		Image  string
		Labels map[string]string
	}
	HostConfig      rest.HostConfig
	NetworkSettings rest.NetworkSettings
	Mounts          []container.Mount
}

// Find returns the container with an id.
func (c *Client) Find(ctx context.Context, id string) (container.Container, error) {
	var i inspected
	if err := c.Get(ctx, "/containers/"+id+"/json", &i); err != nil {
		return container.Container{}, err
	}
	m := container.Container{
		ID: container.Short(i.ID), FullID: i.ID, Type: container.Docker,
		Name: strings.TrimPrefix(i.Name, "/"), Image: i.Config.Image, ImageID: strings.TrimPrefix(i.Image, "sha256:"),
		Labels: container.KeepLabels(i.Config.Labels, c.labelMax), Pod: container.PodOf(i.Config.Labels), IP: i.NetworkSettings.IP(), Mounts: i.Mounts,
	}
	i.HostConfig.Fill(&m)
	if other, ok := strings.CutPrefix(i.HostConfig.NetworkMode, "container:"); ok && m.IP == "" {
		var o inspected
		if c.Get(ctx, "/containers/"+other+"/json", &o) == nil {
			m.IP = o.NetworkSettings.IP()
		}
	}
	return m, c.setImage(ctx, &m, i.Image)
}

// setImage asks about the image with an id. Its reference in the container's
// configuration may be an id, or a tag that another image has now.
func (c *Client) setImage(ctx context.Context, m *container.Container, id string) error {
	var image struct{ RepoTags, RepoDigests []string }
	err := c.Get(ctx, "/images/"+url.PathEscape(id)+"/json", &image)
	if err != nil && !errors.Is(err, container.ErrNotFound) {
		return err
	}
	repository, tag, digest := container.SplitImage(m.Image)
	if m.ImageID != "" && strings.HasPrefix(m.ImageID, m.Image) {
		repository, tag = "", "" // the beginning of its id
	}
	for _, ref := range image.RepoDigests {
		r, _, d := container.SplitImage(ref)
		repository = cmp.Or(repository, r)
		if digest == "" && sameRepository(r, repository) {
			digest = d
		}
	}
	for _, ref := range image.RepoTags {
		r, t, _ := container.SplitImage(ref)
		repository = cmp.Or(repository, r)
		if tag == "" && sameRepository(r, repository) {
			tag = t
		}
	}
	m.ImageRepository, m.ImageTag, m.ImageDigest = repository, tag, digest
	return nil
}

// sameRepository compares repositories, which Docker abbreviates in some
// places.
func sameRepository(a, b string) bool {
	trim := func(s string) string {
		return strings.TrimPrefix(strings.TrimPrefix(s, "docker.io/"), "library/")
	}
	return trim(a) == trim(b)
}

// Follow calls changed with the id of each container that one of the hooks is
// about, until ctx or the stream ends.
func (c *Client) Follow(ctx context.Context, changed func(id string)) error {
	return rest.Stream(ctx, c.Client, "/events?filters="+rest.Filters(c.hooks), func(e struct {
		Actor struct{ ID string }
	}) {
		changed(e.Actor.ID)
	})
}
