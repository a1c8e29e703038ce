package runtimes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/internal/sensor/container/rest"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// fake is a runtime whose answers the test chooses.
type fake struct {
	list   []string
	find   func(ctx context.Context, id string) (container.Container, error)
	events chan string // closed: the stream ends
}

func (f *fake) List(context.Context) ([]string, error) { return f.list, nil }

func (f *fake) Find(ctx context.Context, id string) (container.Container, error) {
	if f.find == nil {
		return container.Container{}, container.ErrNotFound
	}
	return f.find(ctx, id)
}

func (f *fake) Follow(ctx context.Context, changed func(string)) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case id, ok := <-f.events:
			if !ok {
				return errors.New("stream ended")
			}
			changed(id)
		}
	}
}

func (f *fake) Close() error { return nil }

// host stands in for the sensor: it takes metadata and has unknown containers.
type host struct {
	mu      sync.Mutex
	unknown []string
	told    chan container.Container
	log     strings.Builder
}

func (h *host) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.log.Write(p)
}

func (h *host) options(endpoints ...Endpoint) Options {
	return Options{
		Endpoints: endpoints, Log: slog.New(slog.NewTextHandler(h, nil)), CallTimeout: 20 * time.Millisecond,
		Deliver: func(_ context.Context, m container.Container) {
			h.mu.Lock()
			h.unknown = slices.DeleteFunc(h.unknown, func(id string) bool { return id == m.FullID })
			h.mu.Unlock()
			h.told <- m
		},
		Unknown: func(context.Context) []string {
			h.mu.Lock()
			defer h.mu.Unlock()
			return slices.Clone(h.unknown)
		},
	}
}

func (h *host) expect(t *testing.T, want ...string) {
	t.Helper()
	for _, id := range want {
		select {
		case m := <-h.told:
			if m.FullID != id {
				t.Fatalf("told of %q, want %q", m.FullID, id)
			}
		case <-time.After(needs.Patience):
			t.Fatalf("not told of %q", id)
		}
	}
}

// listen makes a socket: an Inventory asks only where there is one.
func listen(t *testing.T, path string) string {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return path
}

func start(t *testing.T, v *Inventory) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { v.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
}

func named(id string) container.Container { return container.Container{ID: id, FullID: id} }

func byID(_ context.Context, id string) (container.Container, error) { return named(id), nil }

func TestListFollowAndLookUp(t *testing.T) {
	h := &host{told: make(chan container.Container, 100)}
	f := &fake{list: []string{"a", "b"}, find: byID, events: make(chan string)}
	v := New(h.options(Endpoint{Engine: "docker", Socket: listen(t, filepath.Join(t.TempDir(), "s")), Rank: 3, Open: func() (Client, error) { return f, nil }}))
	start(t, v)
	h.expect(t, "a", "b")
	f.events <- "c"
	h.expect(t, "c")

	h.mu.Lock()
	h.unknown = []string{"d"}
	h.mu.Unlock()
	v.Fresh()
	h.expect(t, "d")
	if s := v.Status()[0]; !s.Connected || !s.Present || s.Told != 4 || !v.Present() {
		t.Errorf("status %+v", s)
	}
}

// While nothing happens, no runtime gets a request.
func TestIdle(t *testing.T) {
	socket := listen(t, filepath.Join(t.TempDir(), "s"))
	synctest.Test(t, func(t *testing.T) {
		h := &host{told: make(chan container.Container, 100)}
		var asked atomic.Int32
		f := &fake{list: []string{"a"}, events: make(chan string), find: func(ctx context.Context, id string) (container.Container, error) {
			asked.Add(1)
			return byID(ctx, id)
		}}
		o := h.options(Endpoint{Socket: socket, Open: func() (Client, error) { asked.Add(1); return f, nil }})
		known := o.Unknown
		o.Unknown = func(ctx context.Context) []string { asked.Add(1); return known(ctx) }
		v := New(o)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { v.Run(ctx); close(done) }()
		synctest.Wait()
		before := asked.Load()
		time.Sleep(24 * time.Hour) // of virtual time
		synctest.Wait()
		if after := asked.Load(); after != before || before != 3 {
			t.Errorf("asked %d times at the start, %d times in a day", before, after-before)
		}
		cancel()
		<-done
	})
}

// A container that the runtime does not have yet is asked for until it has.
func TestRetry(t *testing.T) {
	h := &host{told: make(chan container.Container, 100), unknown: []string{"late"}}
	asked := 0
	f := &fake{find: func(_ context.Context, id string) (container.Container, error) {
		if asked++; asked < 4 {
			return container.Container{}, container.ErrNotFound
		}
		return named(id), nil
	}}
	v := New(h.options(Endpoint{Socket: listen(t, filepath.Join(t.TempDir(), "s")), Open: func() (Client, error) { return f, nil }}))
	start(t, v)
	v.Fresh()
	h.expect(t, "late")
}

// A runtime that hangs is given up and asked again; another one answers
// meanwhile. The log says it once.
func TestHang(t *testing.T) {
	h := &host{told: make(chan container.Container, 100), unknown: []string{"x"}}
	hangs := &fake{find: func(ctx context.Context, _ string) (container.Container, error) {
		<-ctx.Done()
		return container.Container{}, ctx.Err()
	}}
	opened := make(chan struct{}, 100)
	dir := t.TempDir()
	v := New(h.options(
		Endpoint{Engine: "hangs", Socket: listen(t, filepath.Join(dir, "1")), Open: func() (Client, error) { opened <- struct{}{}; return hangs, nil }},
		Endpoint{Engine: "works", Socket: listen(t, filepath.Join(dir, "2")), Open: func() (Client, error) { return &fake{find: byID}, nil }},
	))
	start(t, v)
	h.expect(t, "x")
	h.mu.Lock()
	h.unknown = []string{"y"}
	h.mu.Unlock()
	v.Fresh()
	<-opened
	<-opened // given up, and opened again
	h.expect(t, "y")
}

// Containers without metadata, with another one's metadata, or on which the
// runtime hangs, are left out; the others are delivered on the same connection.
func TestBrokenContainers(t *testing.T) {
	h := &host{told: make(chan container.Container, 100)}
	opened := 0
	f := &fake{
		list: []string{"http", "grpc", "forged", "hangs", "good"}, events: make(chan string),
		find: func(ctx context.Context, id string) (container.Container, error) {
			switch id {
			case "http":
				return container.Container{}, fmt.Errorf("inspect: %w", rest.ErrAnswer)
			case "grpc":
				return container.Container{}, fmt.Errorf("inspect: %w", status.Error(codes.Internal, "no image"))
			case "forged":
				return named("other"), nil
			case "hangs":
				<-ctx.Done()
				return container.Container{}, ctx.Err()
			}
			return named(id), nil
		},
	}
	v := New(h.options(Endpoint{Socket: listen(t, filepath.Join(t.TempDir(), "s")), Open: func() (Client, error) { opened++; return f, nil }}))
	start(t, v)
	h.expect(t, "good")
	f.events <- "grpc"
	f.events <- "late"
	h.expect(t, "late")
	if s := v.Status()[0]; opened != 1 || !s.Connected || !strings.Contains(s.Error, "no image") {
		t.Errorf("opened %d times, status %+v", opened, s)
	}
	if n := strings.Count(h.log.String(), "has no usable metadata"); n != 1 {
		t.Errorf("said %d times: %s", n, h.log.String())
	}
}

// An error is of one container only if the runtime has answered.
func TestAnswered(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{rest.ErrAnswer, true},
		{status.Error(codes.Internal, ""), true},
		{fmt.Errorf("CRI: %w", status.Error(codes.Unknown, "")), true},
		{status.Error(codes.ResourceExhausted, "message too large"), true},
		{status.Error(codes.Unavailable, ""), false},
		{status.Error(codes.DeadlineExceeded, ""), false},
		{status.Error(codes.Canceled, ""), false},
		{io.ErrUnexpectedEOF, false},
		{context.DeadlineExceeded, false},
	} {
		if got := answered(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}

// After a restart, the runtime is listed again; a socket that comes later is
// found.
func TestRestart(t *testing.T) {
	h := &host{told: make(chan container.Container, 100)}
	first := &fake{list: []string{"old"}, find: byID, events: make(chan string)}
	clients := []Client{first, &fake{list: []string{"new"}, find: byID}}
	path := filepath.Join(t.TempDir(), "s")
	v := New(h.options(Endpoint{Socket: path, Open: func() (Client, error) {
		c := clients[0]
		clients = clients[1:]
		return c, nil
	}}))
	if v.Present() {
		t.Error("a socket that does not exist is present")
	}
	start(t, v)
	listen(t, path)
	h.expect(t, "old")
	close(first.events)
	h.expect(t, "new")
	if n := strings.Count(h.log.String(), "does not answer"); n != 1 {
		t.Errorf("said %d times: %s", n, h.log.String())
	}
}

func TestDue(t *testing.T) {
	var r retries
	now := time.Unix(1000, 0)
	for i, step := range []struct {
		after   time.Duration
		unknown string
		due     string
		next    time.Duration
	}{
		{0, "a", "a", firstRetry},
		{10 * time.Millisecond, "a b", "b", 20 * time.Millisecond},
		{20 * time.Millisecond, "a b", "a", 10 * time.Millisecond},
		{10 * time.Millisecond, "b", "b", 2 * firstRetry}, // a is known now
		{time.Hour, "", "", 0},
		{0, "a", "a", firstRetry},
	} {
		now = now.Add(step.after)
		due, next := r.due(strings.Fields(step.unknown), now)
		if strings.Join(due, " ") != step.due || next != step.next {
			t.Errorf("step %d: due %q after %v, want %q after %v", i, due, next, step.due, step.next)
		}
	}
	for range 20 {
		now = now.Add(time.Hour)
		r.due([]string{"a"}, now)
	}
	if pause := r["a"].pause; pause != lastRetry {
		t.Errorf("pause %v", pause)
	}
}
