// Package containerd asks containerd about its containers in all namespaces,
// through its own API: for those that neither Kubernetes nor Docker manages.
package containerd

import (
	"context"
	"errors"
	"fmt"

	containers "github.com/containerd/containerd/api/services/containers/v1"
	events "github.com/containerd/containerd/api/services/events/v1"
	images "github.com/containerd/containerd/api/services/images/v1"
	namespaces "github.com/containerd/containerd/api/services/namespaces/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
)

// maxMessage bounds an answer in bytes.
const maxMessage = 16 << 20

// Client asks one daemon.
type Client struct {
	conn     *grpc.ClientConn
	labelMax int
	topics   []string
}

// New returns a client of the daemon at a socket. Labels with values of more
// than labelMax bytes are left out; hooks are the events that Follow reports:
// create, start.
func New(socket string, labelMax int, hooks []string) (*Client, error) {
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
	if err != nil {
		return nil, fmt.Errorf("containerd at %s: %w", socket, err)
	}
	c := &Client{conn: conn, labelMax: labelMax}
	for _, h := range hooks {
		c.topics = append(c.topics, topicOf[h])
	}
	return c, nil
}

var topicOf = map[string]string{"create": `topic=="/containers/create"`, "start": `topic=="/tasks/start"`}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// in is ctx for calls about one namespace (containerd: namespaces.GRPCHeader).
func in(ctx context.Context, namespace string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "containerd-namespace", namespace)
}

// namespaces are the names of all namespaces.
func (c *Client) namespaces(ctx context.Context) ([]string, error) {
	resp, err := namespaces.NewNamespacesClient(c.conn).List(ctx, &namespaces.ListNamespacesRequest{})
	if err != nil {
		return nil, fmt.Errorf("containerd namespaces: %w", err)
	}
	var names []string
	for _, n := range resp.Namespaces {
		names = append(names, n.Name)
	}
	return names, nil
}

// List returns the ids of all containers, those that do not run included.
func (c *Client) List(ctx context.Context) ([]string, error) {
	names, err := c.namespaces(ctx)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, namespace := range names {
		resp, err := containers.NewContainersClient(c.conn).List(in(ctx, namespace), &containers.ListContainersRequest{})
		if err != nil {
			return nil, fmt.Errorf("containerd containers of namespace %s: %w", namespace, err)
		}
		for _, each := range resp.Containers {
			ids = append(ids, each.ID)
		}
	}
	return ids, nil
}

// Find returns the container with an id, of whatever namespace.
func (c *Client) Find(ctx context.Context, id string) (container.Container, error) {
	names, err := c.namespaces(ctx)
	if err != nil {
		return container.Container{}, err
	}
	for _, namespace := range names {
		m, err := c.find(in(ctx, namespace), id)
		if !errors.Is(err, container.ErrNotFound) {
			return m, err
		}
	}
	return container.Container{}, container.ErrNotFound
}

// find looks in the namespace of ctx.
func (c *Client) find(ctx context.Context, id string) (container.Container, error) {
	resp, err := containers.NewContainersClient(c.conn).Get(ctx, &containers.GetContainerRequest{ID: id})
	if status.Code(err) == codes.NotFound {
		return container.Container{}, container.ErrNotFound
	}
	if err != nil {
		return container.Container{}, fmt.Errorf("containerd container %s: %w", id, err)
	}
	digest, err := c.digest(ctx, resp.Container.Image)
	if err != nil {
		return container.Container{}, err
	}
	return c.describe(resp.Container, digest), nil
}

// digest returns the digest of an image's manifest; empty if the image does not
// exist.
func (c *Client) digest(ctx context.Context, image string) (string, error) {
	if image == "" {
		return "", nil
	}
	resp, err := images.NewImagesClient(c.conn).Get(ctx, &images.GetImageRequest{Name: image})
	if status.Code(err) == codes.NotFound {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("containerd image %s: %w", image, err)
	}
	return resp.GetImage().GetTarget().GetDigest(), nil
}

// Follow calls changed with the id of each container that one of the hooks is
// about, until ctx or the stream ends.
func (c *Client) Follow(ctx context.Context, changed func(id string)) error {
	stream, err := events.NewEventsClient(c.conn).Subscribe(ctx, &events.SubscribeRequest{Filters: c.topics})
	if err != nil {
		return fmt.Errorf("containerd events: %w", err)
	}
	for {
		envelope, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("containerd events: %w", err)
		}
		if id := subject(envelope); id != "" {
			changed(id)
		}
	}
}
