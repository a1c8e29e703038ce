package kubeapi

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
	"strings"
	"sync/atomic"
	"time"

	"github.com/peregrine-sec/peregrine/internal/wait"
)

// Client is a connection to one API server.
type Client struct {
	HTTP      *http.Client
	Server    string        // https://HOST:PORT, without a slash at its end
	Namespace string        // of the flags or the context
	Timeout   time.Duration // of a request that is not a stream; 0 for none

	// Patient repeats requests to a server that has answered before but does not
	// now: it is starting, or busy.
	Patient bool
	met     atomic.Bool // it has answered
}

// Error is a request that the API server has refused, with its words.
type Error struct {
	Method, Path string
	Code         int
	Message      string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s %s: %d %s: %s", e.Method, e.Path, e.Code, http.StatusText(e.Code), e.Message)
}

// Is says whether an error is a refusal with this HTTP status.
func Is(err error, code int) bool {
	var refused *Error
	return errors.As(err, &refused) && refused.Code == code
}

// Get reads an object, or a list, at a path such as
// "/api/v1/namespaces/a/pods?limit=500".
func (c *Client) Get(ctx context.Context, path string, into any) error {
	return c.Do(ctx, http.MethodGet, path, "", nil, into)
}

// Create posts an object to a collection; into may be nil.
func (c *Client) Create(ctx context.Context, path string, object, into any) error {
	return c.Do(ctx, http.MethodPost, path, "application/json", object, into)
}

// Patch changes an object as kubectl patch does: it merges lists by their keys.
func (c *Client) Patch(ctx context.Context, path string, patch, into any) error {
	return c.Do(ctx, http.MethodPatch, path, "application/strategic-merge-patch+json", patch, into)
}

// Delete deletes an object, or those of a collection that a selector in the
// path selects. options may be nil.
func (c *Client) Delete(ctx context.Context, path string, options any) error {
	return c.Do(ctx, http.MethodDelete, path, "application/json", options, nil)
}

// Do makes a request with a JSON body, and decodes the answer into into unless
// that is nil. The error of a request that was refused is an *Error.
func (c *Client) Do(ctx context.Context, method, path, contentType string, body, into any) error {
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
	}
	answer, err := c.request(ctx, method, path, contentType, text)
	if err != nil {
		return err
	}
	defer answer.Close()
	if into == nil {
		_, err = io.Copy(io.Discard, answer) // so that the connection can be used again
	} else {
		err = json.NewDecoder(answer).Decode(into)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// Stream reads an answer that goes on, such as a log that is followed, until
// ctx ends.
func (c *Client) Stream(ctx context.Context, path string) (io.ReadCloser, error) {
	return c.request(ctx, http.MethodGet, path, "", nil)
}

// request makes a request. A patient client repeats it, if that is harmless,
// until ctx ends.
func (c *Client) request(ctx context.Context, method, path, contentType string, body []byte) (io.ReadCloser, error) {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		answer, err := c.once(ctx, method, path, contentType, body)
		if err == nil || !c.Patient || !c.met.Load() || !away(method, err) || wait.For(ctx, pause) != nil {
			return answer, err
		}
	}
}

// away says whether an error is temporary and the request can be repeated: it
// was not accepted, or has the same effect twice.
func away(method string, err error) bool {
	var refused *Error
	var network *net.OpError
	switch {
	case errors.As(err, &refused) && refused.Code == http.StatusTooManyRequests:
		return true
	case errors.As(err, &network) && network.Op == "dial":
		return true
	case method == http.MethodPost:
		return false
	case refused != nil:
		return refused.Code >= http.StatusInternalServerError
	}
	return true
}

func (c *Client) once(ctx context.Context, method, path, contentType string, body []byte) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.Server+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode < 500 {
		c.met.Store(true)
	}
	if resp.StatusCode < 300 {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	var status struct{ Message string }
	if json.Unmarshal(answer, &status) != nil || status.Message == "" {
		status.Message = strings.TrimSpace(string(answer))
	}
	return nil, &Error{Method: method, Path: path, Code: resp.StatusCode, Message: status.Message}
}

// In is the path of a collection of a namespace, or of one object of it:
// In("api/v1", "kube-system", "pods", "dns", "log"). Without a namespace it is
// the one of the whole cluster.
func In(api, namespace string, elem ...string) string {
	path := "/" + api
	if namespace != "" {
		path += "/namespaces/" + url.PathEscape(namespace)
	}
	for _, e := range elem {
		path += "/" + url.PathEscape(e)
	}
	return path
}
