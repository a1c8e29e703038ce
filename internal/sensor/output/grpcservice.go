package output

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/falcosecurity/client-go/pkg/api/outputs"
	"github.com/falcosecurity/client-go/pkg/api/version"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	build "github.com/peregrine-sec/peregrine/internal/version"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// outputsService is falco.outputs.service.
type outputsService struct {
	outputs.UnimplementedServiceServer
	channel *grpcChannel
}

// Get sends the alerts that wait, and ends.
func (s *outputsService) Get(_ *outputs.Request, stream outputs.Service_GetServer) error {
	return s.channel.serve(stream, s.channel.backlog.end())
}

// Sub sends alerts as they come, from the first request on. Falco sends waiting
// alerts at each request; a client that polls gets the same alerts here, only
// earlier.
func (s *outputsService) Sub(stream outputs.Service_SubServer) error {
	first, gone := make(chan error, 1), make(chan struct{})
	go func() { // ends with the stream
		defer close(gone)
		_, err := stream.Recv()
		first <- err
		for err == nil {
			_, err = stream.Recv()
		}
	}()
	timer := time.NewTimer(s.channel.firstCall)
	defer timer.Stop()
	if err := s.channel.enter(); err != nil {
		return err
	}
	defer s.channel.leave()
	select {
	case err := <-first:
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	case <-timer.C:
		return status.Errorf(codes.DeadlineExceeded, "no request within %v", s.channel.firstCall)
	case <-s.channel.stop:
		return errStopping
	}
	return s.channel.stream(stream, 0, gone)
}

var errStopping = status.Error(codes.Unavailable, "the sensor is stopping")

// enter takes a place for one more stream.
func (g *grpcChannel) enter() error {
	if g.streams.Add(1) > g.maxStreams {
		g.streams.Add(-1)
		g.errors.Add(1)
		return status.Errorf(codes.ResourceExhausted, "%d streams are open already, as many as peregrine.grpc_max_streams allows", g.maxStreams)
	}
	return nil
}

func (g *grpcChannel) leave() { g.streams.Add(-1) }

// serve is stream for a call that has been made.
func (g *grpcChannel) serve(stream grpc.ServerStream, until uint64) error {
	if err := g.enter(); err != nil {
		return err
	}
	defer g.leave()
	return g.stream(stream, until, nil)
}

// stream sends alerts until position until (0: for ever), the client is gone,
// or the channel closes and nothing is left.
func (g *grpcChannel) stream(stream grpc.ServerStream, until uint64, gone <-chan struct{}) error {
	r := g.backlog.subscribe(peerName(stream.Context()))
	defer r.unsubscribe()
	batch := make([]*alert.Alert, 0, batchSize)
	once := until > 0 || gone == nil
	for {
		if once && r.next >= until {
			return nil
		}
		var ok, closed bool
		if batch, ok, closed = r.take(batch[:0], batchSize); ok {
			if err := g.sendBatch(stream, r, batch); err != nil {
				return err
			}
			continue
		}
		if closed || once {
			return nil
		}
		select {
		case <-r.wake:
			_ = wait.For(stream.Context(), gatherFor)
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		case <-gone: // it asks for no more
			return nil
		case <-g.stop:
			return errStopping
		}
	}
}

// sendBatch sends alerts and moves r on. An alert that Send accepted counts as
// sent: the protocol has no acknowledgement.
func (g *grpcChannel) sendBatch(stream grpc.ServerStream, r *reader, batch []*alert.Alert) error {
	for i, a := range batch {
		if err := stream.SendMsg(encoded(encodeAlert(a))); err != nil {
			g.errors.Add(1)
			g.moved(r, batch[:i])
			return err
		}
	}
	g.moved(r, batch)
	return nil
}

func (g *grpcChannel) moved(r *reader, sent []*alert.Alert) {
	if r.settle(len(sent)) {
		observe(&g.latency, time.Now(), sent)
	}
}

func peerName(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		if name := p.Addr.String(); name != "" && name != "@" {
			return name
		}
		return p.Addr.Network()
	}
	return "unknown"
}

// versionService is falco.version.service.
type versionService struct {
	version.UnimplementedServiceServer
}

// Version returns the version of this build, and that of the rule language as
// an engine version: its minor number, as Falco counts.
func (versionService) Version(context.Context, *version.Request) (*version.Response, error) {
	r := &version.Response{Version: build.Version()}
	core, meta, _ := strings.Cut(strings.TrimPrefix(r.Version, "v"), "+")
	core, r.Prerelease, _ = strings.Cut(core, "-")
	r.Build = meta
	r.Major, r.Minor, r.Patch = numbers(core)
	_, r.EngineVersion, _ = numbers(build.Engine)
	return r, nil
}

func numbers(v string) (major, minor, patch uint32) {
	var n [3]uint32
	for i, part := range strings.SplitN(v, ".", 3) {
		x, err := strconv.ParseUint(part, 10, 32)
		if err != nil {
			break
		}
		n[i] = uint32(x)
	}
	return n[0], n[1], n[2]
}

// limitListener closes connections beyond its capacity at once; one that
// waited in the backlog of the kernel would look like a sensor that hangs.
type limitListener struct {
	net.Listener
	free chan struct{}
}

func (l *limitListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.free <- struct{}{}:
			return &limitedConn{Conn: c, release: sync.OnceFunc(func() { <-l.free })}, nil
		default:
			c.Close()
		}
	}
}

type limitedConn struct {
	net.Conn
	release func()
}

func (c *limitedConn) Close() error {
	c.release()
	return c.Conn.Close()
}

// toldCreds logs handshakes that fail: which client was refused, and why.
type toldCreds struct {
	credentials.TransportCredentials
	log  *slog.Logger
	mu   sync.Mutex
	told time.Time
}

func (t *toldCreds) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := t.TransportCredentials.ServerHandshake(c)
	if err != nil {
		t.mu.Lock()
		if now := time.Now(); now.Sub(t.told) > time.Second {
			t.told = now
			t.log.Warn("grpc: client refused", "peer", c.RemoteAddr(), "error", err)
		}
		t.mu.Unlock()
	}
	return conn, info, err
}
