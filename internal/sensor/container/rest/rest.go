// Package rest reads JSON from HTTP servers: the APIs of Docker and Podman on
// their unix sockets, and that of Kubernetes.
package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
)

// maxBody bounds an answer in bytes: a list of ten thousand containers has
// some 10 MB.
const maxBody = 16 << 20

// ErrAnswer says that the server has answered, but with an error, or with
// something that cannot be read.
var ErrAnswer = errors.New("unusable answer")

// Client asks one server.
type Client struct {
	name, base string // base is the prefix of each path
	http       *http.Client
}

// New returns a client of the server at a socket. It connects when it first
// asks, and again when it has to.
func New(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	// The host is not looked up: the socket is the server.
	return &Client{socket, "http://localhost", &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConns: 2}}}
}

// At returns a client of the server at a URL, which is asked by h.
func At(url string, h *http.Client) *Client { return &Client{url, url, h} }

// Get decodes the answer to a GET of path, query included, into v. The error is
// container.ErrNotFound for status 404.
func (c *Client) Get(ctx context.Context, path string, v any) error {
	body, err := c.open(ctx, path)
	if err != nil {
		return err
	}
	defer body.Close()
	limited := &io.LimitedReader{R: body, N: maxBody}
	err = json.NewDecoder(limited).Decode(v)
	switch {
	case err == nil:
		return nil
	case limited.N <= 0:
		return fmt.Errorf("GET %s: %w of more than %d bytes", path, ErrAnswer, maxBody)
	case errors.As(err, new(*json.SyntaxError)), errors.As(err, new(*json.UnmarshalTypeError)):
		return fmt.Errorf("GET %s: %w: %w", path, ErrAnswer, err)
	}
	return fmt.Errorf("GET %s: %w", path, err)
}

// List returns the ids in the list of containers at path.
func (c *Client) List(ctx context.Context, path string) ([]string, error) {
	var list []struct{ ID string } // Podman writes Id: case does not matter
	if err := c.Get(ctx, path, &list); err != nil {
		return nil, err
	}
	ids := make([]string, len(list))
	for i, l := range list {
		ids[i] = l.ID
	}
	return ids, nil
}

// maxObject bounds one object of a stream in bytes: an event has some 1 KiB,
// and as much as the container's labels.
const maxObject = 1 << 20

// Stream calls each for every JSON object of the answer to a GET of path, until
// the stream or ctx ends, or an object is too long.
func Stream[T any](ctx context.Context, c *Client, path string, each func(T)) error {
	body, err := c.open(ctx, path)
	if err != nil {
		return err
	}
	defer body.Close()
	limited := &io.LimitedReader{R: body}
	decoder := json.NewDecoder(limited)
	for {
		var v T
		limited.N = maxObject
		if err := decoder.Decode(&v); err != nil {
			if limited.N <= 0 {
				err = fmt.Errorf("%w: an object of more than %d bytes", ErrAnswer, maxObject)
			}
			return fmt.Errorf("GET %s: %w", path, err)
		}
		each(v)
	}
}

func (c *Client) open(ctx context.Context, path string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", path, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	switch {
	case resp.StatusCode == http.StatusOK:
		return resp.Body, nil
	case resp.StatusCode == http.StatusNotFound:
		err = container.ErrNotFound
	default:
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 512)) // without it the status alone
		err = fmt.Errorf("%w: %s answers GET %s with %s: %s", ErrAnswer, c.name, path, resp.Status, strings.TrimSpace(string(text)))
	}
	resp.Body.Close()
	return nil, err
}

// Close ends the connections that are idle.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}
