// Package runtimes collects container metadata from the host's container
// runtimes: it lists containers at start, follows their events, and looks up
// those whose processes appear before their metadata. It asks from its own
// goroutines, one for each socket, and delivers the metadata; a runtime that
// hangs, restarts or answers garbage blocks nothing else.
package runtimes

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
)

// Client asks one runtime at one socket.
type Client interface {
	// List returns the full ids of all containers, those that do not run
	// included.
	List(context.Context) ([]string, error)
	// Find returns the container with a full id, or container.ErrNotFound.
	Find(ctx context.Context, id string) (container.Container, error)
	// Follow calls changed with the id of each new container, until ctx or the
	// stream ends.
	Follow(ctx context.Context, changed func(id string)) error
	Close() error
}

// Endpoint is a socket at which a runtime may be.
type Endpoint struct {
	Engine string // docker, podman, cri, containerd
	Socket string
	// Rank is the engine's place in the order in which the engines are asked.
	Rank int
	Open func() (Client, error)
}

// Options name the runtimes to ask and the receiver of metadata.
type Options struct {
	Endpoints []Endpoint
	// Deliver takes over metadata. It is called from several goroutines.
	Deliver func(context.Context, container.Container)
	// Unknown returns the full ids of containers that are not known.
	Unknown func(context.Context) []string
	Log     *slog.Logger
	// Timeout bounds the list at the start of a connection, CallTimeout each
	// question after it; 0 for the defaults.
	Timeout, CallTimeout time.Duration
}

// Defaults of Options.
const (
	DefaultTimeout     = 10 * time.Second
	DefaultCallTimeout = 2 * time.Second
)

// An unknown container is asked for again after firstRetry, and then after
// twice as long each time, up to lastRetry, while it lives.
const (
	firstRetry = 30 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// Inventory asks the runtimes.
type Inventory struct {
	options Options
	fresh   chan struct{}
	sockets []*socket
}

// New returns an Inventory that sends no requests before Run.
func New(o Options) *Inventory {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.CallTimeout <= 0 {
		o.CallTimeout = DefaultCallTimeout
	}
	v := &Inventory{options: o, fresh: make(chan struct{}, 1)}
	for i, e := range o.Endpoints {
		v.sockets = append(v.sockets, newSocket(e, i, &v.options))
	}
	return v
}

// Fresh says that a container has appeared of which nothing is known. It does
// not block.
func (v *Inventory) Fresh() {
	select {
	case v.fresh <- struct{}{}:
	default: // it has been said already
	}
}

// Present says whether there is any runtime to ask: a socket that exists.
func (v *Inventory) Present() bool {
	for _, s := range v.sockets {
		if s.present.Load() {
			return true
		}
	}
	return false
}

// Status describes each socket.
func (v *Inventory) Status() []Status {
	var all []Status
	for _, s := range v.sockets {
		all = append(all, s.state())
	}
	return all
}

// Run asks until ctx ends.
func (v *Inventory) Run(ctx context.Context) {
	var beside sync.WaitGroup
	defer beside.Wait()
	for _, s := range v.sockets {
		beside.Go(func() { s.run(ctx) })
	}
	if len(v.sockets) > 0 {
		v.lookUp(ctx)
	}
}

// lookUp asks for the containers that are not known.
func (v *Inventory) lookUp(ctx context.Context) {
	var pending retries
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-v.fresh:
		case <-timer.C:
		}
		at := time.Now()
		due, next := pending.due(v.options.Unknown(ctx), at)
		if len(due) > 0 {
			for _, s := range v.sockets {
				s.ask(question{due, at})
			}
		}
		if next > 0 {
			timer.Reset(next)
		}
	}
}
