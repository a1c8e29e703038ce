package output

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/falcosecurity/client-go/pkg/api/outputs"
	"github.com/falcosecurity/client-go/pkg/api/version"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	encodingproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"

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

	listener  net.Listener
	inherited *grpcChannel  // whose socket listener is, until start
	served    chan struct{} // closed when the server has ended; nil before start

	streams    atomic.Int64
	maxStreams int64
	firstCall  time.Duration // within which a subscriber must make its first request
	stop       chan struct{} // closed when streams must end now
	stopOnce   sync.Once

	errors  atomic.Uint64
	latency metrics.Histogram
}

var _ channel = (*grpcChannel)(nil)

// openGRPC takes over the listening socket of the channel before it, if the
// address is the same: no client is turned away while one follows the other.
func openGRPC(c *config.Config, opt Options, was channel) (channel, error) {
	g := &grpcChannel{
		c: c.GRPC, serves: c.GRPCOutput.Enabled, log: opt.Log.With("channel", "grpc"),
		backlog:    newBacklog(capacity(c), c.Peregrine.QueueMaxBytes),
		maxStreams: int64(c.Peregrine.GRPCMaxStreams),
		firstCall:  10 * time.Second,
		stop:       make(chan struct{}),
	}
	if before, ok := was.(*grpcChannel); ok && before.c.BindAddress == g.c.BindAddress {
		g.inherited = before
	}
	options, err := g.credentials()
	if err == nil {
		g.listener, err = g.listen()
	}
	if err != nil {
		return nil, fmt.Errorf("grpc: %w", err)
	}
	g.server = grpc.NewServer(append(options, g.limits()...)...)
	if g.serves {
		outputs.RegisterServiceServer(g.server, &outputsService{channel: g})
	}
	version.RegisterServiceServer(g.server, versionService{})
	return g, nil
}

func (g *grpcChannel) start() {
	if g.inherited != nil {
		ownsFile(g.inherited.listener, false)
		g.inherited = nil
		ownsFile(g.listener, true)
	}
	g.served = make(chan struct{})
	// A connection has at most one stream in good practice; some more may be
	// between handshake and first stream.
	limited := &limitListener{Listener: g.listener, free: make(chan struct{}, g.maxStreams+16)}
	go func() {
		defer close(g.served)
		if err := g.server.Serve(limited); err != nil {
			g.log.Error("grpc: the server ended", "error", err)
		}
	}()
}

// ownsFile says whether closing l removes its file.
func ownsFile(l net.Listener, owns bool) {
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(owns)
	}
}

// listen opens the unix socket, or the address with mutual TLS.
func (g *grpcChannel) listen() (net.Listener, error) {
	if g.inherited != nil {
		return sameSocket(g.inherited.listener)
	}
	if path, ok := g.c.UnixSocket(); ok {
		return unixsock.Listen(path)
	}
	return net.Listen("tcp", g.c.BindAddress)
}

// sameSocket is a second listener on l's socket: connections go to either.
func sameSocket(l net.Listener) (net.Listener, error) {
	withFile, ok := l.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, fmt.Errorf("%s: the socket of %T cannot be shared", l.Addr(), l)
	}
	f, err := withFile.File()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return net.FileListener(f)
}

// credentials are insecure for the unix socket, and mutual TLS for an address.
func (g *grpcChannel) credentials() ([]grpc.ServerOption, error) {
	if _, ok := g.c.UnixSocket(); ok {
		return nil, nil
	}
	settings, err := serverTLS(g.c)
	if err != nil {
		return nil, err
	}
	g.tls.Store(settings)
	current := &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return g.tls.Load(), nil
		},
	}
	return []grpc.ServerOption{grpc.Creds(&toldCreds{TransportCredentials: credentials.NewTLS(current), log: g.log})}, nil
}

// limits keep clients, broken or hostile, from using the sensor up.
func (g *grpcChannel) limits() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.NumStreamWorkers(uint32(cmp.Or(g.c.Threadiness, runtime.NumCPU()))),
		grpc.ForceServerCodecV2(codec{encoding.GetCodecV2(encodingproto.Name)}),
		grpc.MaxRecvMsgSize(4 << 10), // requests are empty
		grpc.MaxHeaderListSize(16 << 10),
		grpc.MaxConcurrentStreams(uint32(g.maxStreams) + 16), // excess streams are refused with a reason
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
		g.log.Error("grpc: the old certificates stay in use", "error", err)
		return
	}
	g.tls.Store(settings)
}

func (g *grpcChannel) stats() metrics.Channel {
	b := g.backlog
	b.mu.Lock()
	defer b.mu.Unlock()
	c := metrics.Channel{
		Name: "grpc", Alerts: b.head, Overflow: b.lost, Undelivered: b.undelivered, Dropped: b.lost + b.undelivered,
		Errors: g.errors.Load(), Capacity: uint64(len(b.ring)), Latency: g.latency.Read(), Idle: len(b.readers) == 0,
	}
	c.Sent, c.Queued = b.counts()
	for r := range b.readers {
		c.Streams = append(c.Streams, metrics.Stream{Peer: r.peer, Sent: r.sent, Lost: r.missed})
	}
	return c
}

// close lets streams send waiting alerts until ctx ends.
func (g *grpcChannel) close(ctx context.Context) error {
	if g.served == nil {
		g.server.Stop() // it has goroutines before it serves
		return g.listener.Close()
	}
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
	if rest := g.backlog.abandon(); rest > 0 {
		return fmt.Errorf("grpc: %d alerts not delivered: no client has read them", rest)
	}
	return nil
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
