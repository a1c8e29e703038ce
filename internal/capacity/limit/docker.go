package limit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/peregrine-sec/peregrine/internal/capacity"
)

// DockerSocket is where the Docker daemon listens, and Podman's when its
// socket is enabled for compatibility.
const DockerSocket = "/var/run/docker.sock"

// dockerSettings is the part of a container's HostConfig that a limit
// changes, and the body of an update (Docker Engine API v1.41,
// ContainerUpdate). In an update, zero means "leave as it is".
type dockerSettings struct {
	NanoCPUs   int64 `json:"NanoCpus,omitempty"`
	CPUPeriod  int64 `json:"CpuPeriod,omitempty"`
	CPUQuota   int64 `json:"CpuQuota,omitempty"`
	Memory     int64 `json:"Memory,omitempty"`
	MemorySwap int64 `json:"MemorySwap,omitempty"`
}

// reset is the update that restores these settings of a container: -1 makes a
// resource unlimited, since zero changes nothing.
func (d dockerSettings) reset() dockerSettings {
	if d.NanoCPUs == 0 && d.CPUQuota == 0 {
		d.CPUQuota = -1
	}
	if d.Memory == 0 {
		d.Memory, d.MemorySwap = -1, -1
	}
	return d
}

// to is the update that sets l on a container with the settings d. The daemon
// refuses a quota where NanoCpus has been used, and the reverse.
func (d dockerSettings) to(l capacity.Limit) dockerSettings {
	n := dockerSettings{Memory: -1, MemorySwap: -1}
	switch {
	case d.NanoCPUs != 0 && l.CPU > 0:
		n.NanoCPUs = int64(l.CPU * 1e9)
	case d.NanoCPUs == 0:
		n.CPUPeriod, n.CPUQuota = period.Microseconds(), quotaOf(l)
	}
	if l.Memory > 0 {
		n.Memory, n.MemorySwap = l.Memory, l.Memory // no swap
	}
	return n
}

// docker speaks to one daemon.
type docker struct {
	socket string
	http   *http.Client
}

func newDocker(socket string) docker {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	return docker{socket, &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true},
	}}
}

type dockerContainer struct {
	ID    string
	State struct {
		Running bool
		Pid     int
	}
	HostConfig dockerSettings
}

func (d docker) inspect(ctx context.Context, id string) (dockerContainer, error) {
	var c dockerContainer
	err := d.call(ctx, http.MethodGet, id, "json", nil, &c)
	return c, err
}

func (d docker) update(ctx context.Context, id string, s dockerSettings) error {
	body, err := json.Marshal(s)
	if err != nil {
		return err
	}
	var answer struct{ Warnings []string }
	return d.call(ctx, http.MethodPost, id, "update", body, &answer)
}

func (d docker) call(ctx context.Context, method, id, verb string, body []byte, into any) error {
	// The host part is not used: the connection goes to the socket.
	address := "http://docker/containers/" + url.PathEscape(id) + "/" + verb
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := d.http.Do(request)
	if err != nil {
		return fmt.Errorf("docker at %s: %w", d.socket, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("docker at %s: %w", d.socket, err)
	}
	if response.StatusCode/100 != 2 {
		var problem struct{ Message string }
		_ = json.Unmarshal(text, &problem) // without JSON, the status tells the error
		return fmt.Errorf("docker: %s container %s: %s: %s", verb, id, response.Status, problem.Message)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("docker: %s container %s: %w", verb, id, err)
	}
	return nil
}

// container is a Place that the Docker daemon manages.
type container struct {
	journal *Journal
	docker  docker
	id      string
	before  dockerSettings
	saved   bool
	cgroup  cgroup
}

var _ Place = (*container)(nil)

// ForContainer is the place of a running Docker container, by name or id. It
// returns the container's first process with it.
func ForContainer(ctx context.Context, host Host, journal *Journal, socket, id string) (place Place, pid int, err error) {
	c := &container{journal: journal, docker: newDocker(socket)}
	found, err := c.docker.running(ctx, id)
	if err != nil {
		return nil, 0, err
	}
	c.id, c.before = found.ID, found.HostConfig
	if c.cgroup, err = host.cgroupsOf(found.State.Pid); err != nil {
		return nil, 0, err
	}
	return c, found.State.Pid, nil
}

// ContainerPID is the main process of a container that runs, as this host's
// processes see it.
func ContainerPID(ctx context.Context, socket, id string) (int, error) {
	found, err := newDocker(socket).running(ctx, id)
	return found.State.Pid, err
}

func (d docker) running(ctx context.Context, id string) (dockerContainer, error) {
	found, err := d.inspect(ctx, id)
	if err == nil && !found.State.Running {
		err = fmt.Errorf("container %s is not running: start it first", id)
	}
	return found, err
}

func (c *container) Apply(ctx context.Context, l capacity.Limit) error {
	if !c.saved {
		old := c.before.reset()
		if err := c.journal.add(step{Kind: "docker", Path: c.id, Docker: &old, Socket: c.docker.socket}); err != nil {
			return err
		}
		c.saved = true
	}
	return c.docker.update(ctx, c.id, c.before.to(l))
}

func (c *container) Add(context.Context, int) error {
	return errors.New("the container belongs to a running sensor: nothing can be added to it")
}

func (c *container) Usage() (capacity.Usage, error) { return c.cgroup.Usage() }
func (c *container) Restore(context.Context) error  { return c.journal.Undo() }
func (c *container) String() string                 { return "docker container " + c.id }
