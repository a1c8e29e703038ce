// Package cri asks a container runtime about its containers and pods, through
// the Kubernetes container runtime interface: containerd, CRI-O and others.
package cri

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	api "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// maxMessage bounds an answer in bytes, as the kubelet does.
const maxMessage = 16 << 20

// Client asks one runtime.
type Client struct {
	conn     *grpc.ClientConn
	runtime  api.RuntimeServiceClient
	labelMax int
	start    bool // report started containers, not only created ones
	kind     string
}

// New returns a client of the runtime at a socket. Labels with values of more
// than labelMax bytes are left out; hooks are the events that Follow reports:
// create, start.
func New(socket string, labelMax int, hooks []string) (*Client, error) {
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
	if err != nil {
		return nil, fmt.Errorf("CRI at %s: %w", socket, err)
	}
	c := &Client{conn: conn, runtime: api.NewRuntimeServiceClient(conn), labelMax: labelMax}
	for _, h := range hooks {
		c.start = c.start || h == "start"
	}
	return c, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// version asks for the runtime's name.
func (c *Client) version(ctx context.Context) (name string, err error) {
	v, err := c.runtime.Version(ctx, &api.VersionRequest{})
	if err != nil {
		return "", fmt.Errorf("CRI Version: %w", err)
	}
	return v.RuntimeName, nil
}

// setKind asks for the runtime's name, which decides the type of its
// containers.
func (c *Client) setKind(ctx context.Context) error {
	name, err := c.version(ctx)
	if err != nil {
		return err
	}
	switch name {
	case container.Containerd, container.CRIO:
		c.kind = name
	default:
		c.kind = container.CRI
	}
	return nil
}

// List returns the ids of all containers of pods, those that do not run
// included.
func (c *Client) List(ctx context.Context) ([]string, error) {
	if err := c.setKind(ctx); err != nil {
		return nil, err
	}
	list, err := c.runtime.ListContainers(ctx, &api.ListContainersRequest{})
	if err != nil {
		return nil, fmt.Errorf("CRI ListContainers: %w", err)
	}
	var ids []string
	for _, l := range list.Containers {
		ids = append(ids, l.Id)
	}
	return ids, nil
}

// Find returns the container with an id, or the sandbox of a pod, whose pause
// process runs in a cgroup of its own.
func (c *Client) Find(ctx context.Context, id string) (container.Container, error) {
	if c.kind == "" {
		if err := c.setKind(ctx); err != nil {
			return container.Container{}, err
		}
	}
	// ContainerStatus does not tell the sandbox.
	list, err := c.runtime.ListContainers(ctx, &api.ListContainersRequest{Filter: &api.ContainerFilter{Id: id}})
	if err != nil {
		return container.Container{}, fmt.Errorf("CRI ListContainers: %w", err)
	}
	if len(list.Containers) == 0 {
		p, err := c.pod(ctx, id)
		if err != nil {
			return container.Container{}, err
		}
		return c.sandbox(id, p), nil
	}
	p, err := c.pod(ctx, list.Containers[0].PodSandboxId)
	if err != nil && !errors.Is(err, container.ErrNotFound) {
		return container.Container{}, err
	}
	return c.container(ctx, id, p)
}

// pingInterval is how often a runtime without a stream of events is asked
// whether it is still the same.
const pingInterval = 10 * time.Second

// Follow calls changed with the id of each container that one of the hooks is
// about, until ctx or the stream ends. A runtime without
// such a stream (containerd before 1.7) is only watched over: its containers
// are found when their first process is seen.
func (c *Client) Follow(ctx context.Context, changed func(id string)) error {
	stream, err := c.runtime.GetContainerEvents(ctx, &api.GetEventsRequest{})
	if err != nil {
		return fmt.Errorf("CRI GetContainerEvents: %w", err)
	}
	for {
		e, err := stream.Recv()
		if status.Code(err) == codes.Unimplemented {
			return c.watchOver(ctx)
		}
		if err != nil {
			return fmt.Errorf("CRI GetContainerEvents: %w", err)
		}
		switch e.ContainerEventType {
		case api.ContainerEventType_CONTAINER_CREATED_EVENT:
			changed(e.ContainerId)
		case api.ContainerEventType_CONTAINER_STARTED_EVENT:
			if c.start {
				changed(e.ContainerId)
			}
		}
	}
}

func (c *Client) watchOver(ctx context.Context) error {
	err := wait.Every(ctx, pingInterval, func(time.Time) error {
		asked, cancel := context.WithTimeout(ctx, pingInterval)
		defer cancel()
		_, err := c.version(asked) // List and Find set the kind: they may run now
		return err
	})
	return cmp.Or(err, ctx.Err())
}

// found turns the runtime's "not found" into container.ErrNotFound.
func found(call string, err error) error {
	if err == nil {
		return nil
	}
	if status.Code(err) == codes.NotFound {
		return container.ErrNotFound
	}
	return fmt.Errorf("CRI %s: %w", call, err)
}
