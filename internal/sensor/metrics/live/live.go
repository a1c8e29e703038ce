// Package live connects a running sensor with the people who look at it: the
// sensor serves its snapshots as JSON on a private unix socket (HTTP, so that
// curl --unix-socket works too), and Status and Top show them.
package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/netutil"

	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/linux/unixsock"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics/serve"
)

const (
	// maxClients bounds the connections to the socket.
	maxClients = 16
	// maxAnswer bounds the size of an answer that a client reads: thousands of
	// rules, or a full table of processes, fit.
	maxAnswer  = 64 << 20
	askTimeout = 10 * time.Second
	// maxMeasure bounds the time for which programs are measured at a request.
	maxMeasure = time.Minute
)

// Sensor is the sensor that the server reports on.
type Sensor struct {
	Snapshot  func(context.Context) (metrics.Snapshot, error)
	Processes func(context.Context) ([]metrics.KnownProcess, error)
	Costs     func(context.Context, time.Duration) (metrics.Costs, error)
}

// Listen opens the socket at path with mode 0600, in place of one that a
// killed sensor left behind. The server removes it at its end.
func Listen(path string, sensor Sensor, log *slog.Logger) (*serve.Server, error) {
	l, err := unixsock.Listen(path)
	if err != nil {
		return nil, fmt.Errorf("peregrine.status_socket: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /snapshot", answer(sensor.Snapshot))
	mux.HandleFunc("GET /processes", answer(sensor.Processes))
	mux.HandleFunc("GET /costs", measure(sensor.Costs))
	return serve.New("status socket", netutil.LimitListener(l, maxClients), &http.Server{
		ReadTimeout: askTimeout, WriteTimeout: askTimeout, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}, func(context.Context) http.Handler { return mux }), nil
}

// answer writes the result of take as JSON.
func answer[T any](take func(context.Context) (T, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := take(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v) // the client has gone if this fails
	}
}

// measure writes the costs in the time that the request names, or until it is
// given up.
func measure(take func(context.Context, time.Duration) (metrics.Costs, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		d, err := time.ParseDuration(r.URL.Query().Get("for"))
		if err != nil || d <= 0 || d > maxMeasure {
			http.Error(w, fmt.Sprintf("for: expected a duration of at most %v, such as /costs?for=1s", maxMeasure), http.StatusBadRequest)
			return
		}
		control, end := http.NewResponseController(w), time.Now().Add(d+askTimeout)
		if err := errors.Join(control.SetReadDeadline(end), control.SetWriteDeadline(end)); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		answer(func(ctx context.Context) (metrics.Costs, error) { return take(ctx, d) })(w, r)
	}
}

// Client asks a sensor for snapshots.
type Client struct {
	path string
	http *http.Client
}

// NewClient makes a client for the socket at path.
func NewClient(path string) *Client {
	var d net.Dialer
	return &Client{path, &http.Client{Timeout: askTimeout, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, "unix", path)
		},
	}}}
}

// Close ends the connection.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Snapshot requests a current snapshot.
func (c *Client) Snapshot(ctx context.Context) (*metrics.Snapshot, error) {
	s := &metrics.Snapshot{}
	if err := c.ask(ctx, "/snapshot", s); err != nil {
		return nil, err
	}
	return s, nil
}

// Processes requests the sensor's current process table.
func (c *Client) Processes(ctx context.Context) (all []metrics.KnownProcess, err error) {
	return all, c.ask(ctx, "/processes", &all)
}

// Costs measures the programs in the kernel for d.
func (c *Client) Costs(ctx context.Context, d time.Duration) (*metrics.Costs, error) {
	if d > maxMeasure {
		return nil, fmt.Errorf("programs are measured for at most %v, not %v", maxMeasure, d)
	}
	longer := *c.http
	longer.Timeout += d
	m := &metrics.Costs{}
	return m, (&Client{c.path, &longer}).ask(ctx, "/costs?for="+d.String(), m)
}

func (c *Client) ask(ctx context.Context, path string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://sensor"+path, nil)
	if err != nil {
		return err
	}
	r, err := c.http.Do(req)
	if err != nil {
		return c.explain(err)
	}
	defer r.Body.Close()
	body := http.MaxBytesReader(nil, r.Body, maxAnswer)
	if r.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(body, 1<<10)) // the status says it, too
		return fmt.Errorf("the sensor at %s answers %s: %s", c.path, r.Status, human.Text(strings.TrimSpace(string(why))))
	}
	if err := json.NewDecoder(body).Decode(v); err != nil {
		return fmt.Errorf("the answer from %s: %w; is a sensor of another version running?", c.path, err)
	}
	return nil
}

// explain adds the remedy to an error about a socket without an answer.
func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no sensor answers at %s; is one running, with this peregrine.status_socket?", c.path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s belongs to the sensor's user; run this as that user or as root", c.path)
	}
	return fmt.Errorf("ask the sensor at %s: %w", c.path, err)
}
