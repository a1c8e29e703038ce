package intake

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/peregrine-sec/peregrine/internal/endpoint"
)

// Options are the settings that an endpoint's text does not hold.
type Options struct {
	Client endpoint.Client // for gRPC over the network
	Server endpoint.Server // for HTTP; its address is the endpoint's
	Stdin  io.Reader
	// Texts keeps the whole text of alerts in JSON.
	Texts bool
	// PollingInterval is how often a gRPC sensor is asked for its queued alerts:
	// Falco up to 0.43 sends alerts only on a request. Default 100 ms.
	PollingInterval time.Duration
	// Timeout is how long a gRPC sensor may take to answer. Default 10 s.
	Timeout time.Duration
}

// Open opens a source of alerts.
func Open(ctx context.Context, e endpoint.Endpoint, o Options) (Source, error) {
	switch e.Kind {
	case endpoint.GRPC:
		return NewGRPC(ctx, e, o)
	case endpoint.HTTP:
		o.Server.Address = e.Address
		if e.TLS && (o.Server.Security == "" || o.Server.Security == "insecure") {
			o.Server.Security = "tls"
		}
		return NewHTTP(o.Server, o.Texts)
	case endpoint.Unix:
		return newUnix(e.Path, o.Texts)
	case endpoint.File:
		return NewFile(e.Path, o.Texts)
	case endpoint.Stdin:
		if o.Stdin == nil {
			return nil, fmt.Errorf("alerts from %s: there is no standard input to read: give file:PATH", e)
		}
		return NewReader(io.NopCloser(o.Stdin), o.Texts), nil
	}
	return nil, fmt.Errorf("alerts from %s: unknown kind of source", e)
}

// None is a stream without alerts, for a load without a check of alerts.
type None struct{ *mailbox }

var _ Source = None{}

// NewNone is open until it is closed.
func NewNone() None { return None{newMailbox()} }

func (n None) Close() error {
	n.end(nil)
	return nil
}
