package output

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	encodingproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"

	"github.com/peregrine-sec/peregrine/internal/falcoapi/outputs"
	"github.com/peregrine-sec/peregrine/internal/falcoapi/version"
	"github.com/peregrine-sec/peregrine/internal/linux/unixsock"
	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
)

// grpcChannel serves alerts to gRPC clients. Unlike the other channels it has
// no workers: each client's stream reads from the backlog at its own pace.
type grpcChannel struct {
	c       config.GRPC
	serves  bool // alerts, not only versions
	backlog *backlog
	server  *grpc.Server
	tls     atomic.Pointer[tls.Config]
	log     *slog.Logger
	served  chan struct{} // closed when the server has ended

	streams    atomic.Int64
	maxStreams int64
	firstCall  time.Duration // within which a subscriber must make its first request
	stop       chan struct{} // closed when streams must end now
	stopOnce   sync.Once

	errors  atomic.Uint64
	latency metrics.Histogram
}

var _ channel = (*grpcChannel)(nil)

func openGRPC(c *config.Config, opt Options) (channel, error) {
	g := &grpcChannel{
		c: c.GRPC, serves: c.GRPCOutput.Enabled, log: opt.Log.With("channel", "grpc"),
		backlog:    newBacklog(capacity(c), c.Peregrine.QueueMaxBytes),
		served:     make(chan struct{}),
		maxStreams: int64(c.Peregrine.GRPCMaxStreams),
		firstCall:  10 * time.Second,
		stop:       make(chan struct{}),
	}
	listener, options, err := g.listen()
	if err != nil {
		return nil, fmt.Errorf("grpc: %w", err)
	}
	g.server = grpc.NewServer(append(options, g.limits()...)...)
	if g.serves {
		outputs.RegisterServiceServer(g.server, &outputsService{channel: g})
	}
	version.RegisterServiceServer(g.server, versionService{})
	// A connection has at most one stream in good practice; some more may be
	// between handshake and first stream.
	limited := &limitListener{Listener: listener, free: make(chan struct{}, c.Peregrine.GRPCMaxStreams+16)}
	go func() {
		defer close(g.served)
		if err := g.server.Serve(limited); err != nil {
			g.log.Error("grpc: the server ended", "error", err)
		}
	}()
	return g, nil
}

// listen opens the unix socket, or the address with mutual TLS.
func (g *grpcChannel) listen() (net.Listener, []grpc.ServerOption, error) {
	if path, ok := g.c.UnixSocket(); ok {
		l, err := unixsock.Listen(path)
		return l, nil, err
	}
	settings, err := serverTLS(g.c)
	if err != nil {
		return nil, nil, err
	}
	g.tls.Store(settings)
	l, err := net.Listen("tcp", g.c.BindAddress)
	if err != nil {
		return nil, nil, err
	}
	current := &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return g.tls.Load(), nil
		},
	}
	creds := &toldCreds{TransportCredentials: credentials.NewTLS(current), log: g.log}
	return l, []grpc.ServerOption{grpc.Creds(creds)}, nil
}

// limits keep clients, broken or hostile, from using the sensor up.
func (g *grpcChannel) limits() []grpc.ServerOption {
	workers := g.c.Threadiness
	if workers == 0 {
		workers = runtime.NumCPU()
	}
	return []grpc.ServerOption{
		grpc.NumStreamWorkers(uint32(workers)),
		grpc.ForceServerCodecV2(codec{encoding.GetCodecV2(encodingproto.Name)}),
		grpc.MaxRecvMsgSize(4 << 10), // requests are empty
		grpc.MaxHeaderListSize(16 << 10),
		grpc.MaxConcurrentStreams(uint32(g.maxStreams) + 16), // the excess is told why
		grpc.ConnectionTimeout(5 * time.Second),              // a handshake that never ends
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: 5 * time.Minute,                             // without streams
			Time:              30 * time.Second, Timeout: 10 * time.Second, // a peer that is gone
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	}
}

func (g *grpcChannel) send(a *alert.Alert) {
	// Without its text, the alert is of just before gRPC was configured.
	if g.serves && a.Output != "" {
		g.backlog.push(a)
	}
}

// reopen reads the certificates again; bad ones leave the old in use.
func (g *grpcChannel) reopen() {
	if g.tls.Load() == nil {
		return
	}
	settings, err := serverTLS(g.c)
	if err != nil {
		g.log.Error("grpc: certificates stay as they were", "error", err)
		return
	}
	g.tls.Store(settings)
}

func (g *grpcChannel) stats() metrics.Channel {
	b := g.backlog
	b.mu.Lock()
	defer b.mu.Unlock()
	c := metrics.Channel{
		Name: "grpc", Alerts: b.head, Overflow: b.lost, Dropped: b.lost, Queued: b.head - b.consumed,
		Errors: g.errors.Load(), Capacity: uint64(len(b.ring)), Latency: g.latency.Read(), Idle: len(b.readers) == 0,
	}
	c.Sent = c.Alerts - c.Queued - c.Dropped
	for r := range b.readers {
		c.Streams = append(c.Streams, metrics.Stream{Peer: r.peer, Sent: r.sent, Lost: r.missed})
	}
	return c
}

// close lets streams send what waits until ctx ends. What no client is there
// to take is lost, counted and told, but no failure of the stop.
func (g *grpcChannel) close(ctx context.Context) error {
	g.backlog.close()
	ended := make(chan struct{})
	go func() {
		g.server.GracefulStop() // returns when all streams have ended
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		g.stopOnce.Do(func() { close(g.stop) })
		g.server.Stop()
		<-ended
	}
	<-g.served
	if lost := g.discardRest(); lost > 0 {
		g.log.Warn("output: the channel ends with alerts that no client has read", "dropped", lost)
	}
	return nil
}

// discardRest turns what nobody read into losses.
func (g *grpcChannel) discardRest() uint64 {
	b := g.backlog
	b.mu.Lock()
	defer b.mu.Unlock()
	rest := b.head - b.consumed
	for b.tail < b.head {
		b.forget()
	}
	b.consumed = b.head
	b.lost += rest
	return rest
}

// codec sends bytes that are encoded already as they are.
type codec struct{ encoding.CodecV2 }

// encoded is a message in wire format.
type encoded []byte

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if b, ok := v.(encoded); ok {
		return mem.BufferSlice{mem.SliceBuffer(b)}, nil
	}
	return c.CodecV2.Marshal(v)
}
