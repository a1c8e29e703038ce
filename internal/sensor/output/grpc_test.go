package output

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/falcosecurity/client-go/pkg/api/outputs"
	"github.com/falcosecurity/client-go/pkg/api/schema"
	"github.com/falcosecurity/client-go/pkg/api/version"
	falco "github.com/falcosecurity/client-go/pkg/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func grpcConfig(t *testing.T) (*config.Config, string) {
	t.Helper()
	address := "unix://" + filepath.Join(t.TempDir(), "run", "falco.sock")
	c := quiet()
	c.GRPC.Enabled, c.GRPC.BindAddress, c.GRPCOutput.Enabled = true, address, true
	return c, address
}

func client(t *testing.T, address string, creds credentials.TransportCredentials) outputs.ServiceClient {
	t.Helper()
	if creds == nil {
		creds = insecure.NewCredentials()
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return outputs.NewServiceClient(conn)
}

// subscriber is one sub stream and its received alerts.
type subscriber struct {
	cancel context.CancelFunc
	done   chan struct{}
	mu     sync.Mutex
	lines  []string
	err    error
}

func subscribe(t *testing.T, c outputs.ServiceClient) *subscriber {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := c.Sub(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&outputs.Request{}); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	s := &subscriber{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		for {
			r, err := stream.Recv()
			s.mu.Lock()
			if err != nil {
				s.err = err
				s.mu.Unlock()
				return
			}
			s.lines = append(s.lines, r.Output)
			s.mu.Unlock()
		}
	}()
	t.Cleanup(func() { cancel(); <-s.done })
	return s
}

func (s *subscriber) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lines)
}

func (s *subscriber) want(t *testing.T, want []string) {
	t.Helper()
	needs.Eventually(t, fmt.Sprintf("%d alerts", len(want)), func() bool { return len(s.got()) >= len(want) })
	if got := s.got(); !slices.Equal(got, want) {
		t.Errorf("%d alerts, want %d; first difference near %q", len(got), len(want), firstDifference(got, want))
	}
}

// Waiting alerts go to the first client, later ones to every client.
func TestGRPCSubscribers(t *testing.T) {
	c, address := grpcConfig(t)
	s, _ := open(t, c)
	sendNumbered(s, 0, 500)
	first := subscribe(t, client(t, address, nil))
	first.want(t, numberedLines(0, 500))
	second := subscribe(t, client(t, address, nil))
	needs.Eventually(t, "two streams", func() bool { return len(statsOf(t, s, "grpc").Streams) == 2 })
	sendNumbered(s, 500, 5000)
	closeClean(t, s)
	first.want(t, numberedLines(0, 5000))
	second.want(t, numberedLines(500, 5000))
	if got := statsOf(t, s, "grpc"); got.Sent != 5000 || got.Dropped != 0 {
		t.Errorf("%+v", got)
	}
}

func TestGRPCGet(t *testing.T) {
	c, address := grpcConfig(t)
	s, _ := open(t, c)
	cl := client(t, address, nil)
	for round := range 2 {
		sendNumbered(s, 100*round, 100*round+100)
		stream, err := cl.Get(t.Context(), &outputs.Request{})
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for {
			r, err := stream.Recv()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, r.Output)
		}
		if !slices.Equal(lines, numberedLines(100*round, 100*round+100)) {
			t.Errorf("round %d: %d alerts", round, len(lines))
		}
	}
}

// A client that is killed and comes back under load misses nothing that was
// not already on its way to it.
func TestGRPCClientRestarts(t *testing.T) {
	c, address := grpcConfig(t)
	s, _ := open(t, c)
	seen := map[string]bool{}
	received := 0
	for round := range 5 {
		sub := subscribe(t, client(t, address, nil))
		sendNumbered(s, 1000*round, 1000*round+1000)
		needs.Eventually(t, "some alerts", func() bool { return len(sub.got()) > 0 })
		if round == 4 {
			needs.Eventually(t, "the last alert", func() bool { return slices.Contains(sub.got(), "Warning alert 4999") })
		}
		sub.cancel()
		<-sub.done
		for _, line := range sub.got() {
			received++
			seen[line] = true
		}
		needs.Eventually(t, "no stream", func() bool { return len(statsOf(t, s, "grpc").Streams) == 0 })
	}
	got := statsOf(t, s, "grpc")
	if got.Alerts != 5000 || got.Dropped != 0 || len(seen) != received || uint64(received) > got.Sent {
		t.Errorf("received %d, %d different; %+v", received, len(seen), got)
	}
}

// A client that never reads blocks neither the sensor nor other clients; it
// loses the oldest alerts, which its stream counts.
func TestGRPCClientThatNeverReads(t *testing.T) {
	c, address := grpcConfig(t)
	c.OutputsQueue.Capacity = 2000
	s, _ := open(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stuck, err := client(t, address, nil).Sub(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stuck.Send(&outputs.Request{}); err != nil {
		t.Fatal(err)
	}
	good := subscribe(t, client(t, address, nil))
	needs.Eventually(t, "two streams", func() bool { return len(statsOf(t, s, "grpc").Streams) == 2 })
	for i := 0; i < 20_000; i += 1000 {
		sendNumbered(s, i, i+1000)
		good.want(t, numberedLines(0, i+1000))
	}
	var lost uint64
	needs.Eventually(t, "the stuck client to lose alerts", func() bool {
		for _, stream := range statsOf(t, s, "grpc").Streams {
			lost = max(lost, stream.Lost)
		}
		return lost > 0 || statsOf(t, s, "grpc").Alerts == 20_000 && backlogOf(s).held() == 2000
	})
	start := time.Now()
	_ = s.Close(deadline(t, 200*time.Millisecond))
	if d := time.Since(start); d > needs.Patience {
		t.Errorf("Close took %v", d)
	}
}

func backlogOf(s *Set) *backlog { return s.entries[0].channel.(*grpcChannel).backlog }

func (b *backlog) held() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.head - b.tail
}

// Ten thousand idle streams are refused but for the allowed ones, with a
// reason, and a client with a place goes on receiving.
func TestGRPCTooManyStreams(t *testing.T) {
	c, address := grpcConfig(t)
	c.Peregrine.GRPCMaxStreams = 20
	s, _ := open(t, c)
	good := subscribe(t, client(t, address, nil))
	needs.Eventually(t, "a stream", func() bool { return len(statsOf(t, s, "grpc").Streams) == 1 })
	flood := client(t, address, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.entries[0].channel.(*grpcChannel).firstCall = time.Hour
	var refused atomic.Int64
	var flooding sync.WaitGroup
	for range 10_000 {
		stream, err := flood.Sub(ctx)
		if err != nil {
			t.Fatal(err)
		}
		flooding.Go(func() {
			if _, err := stream.Recv(); status.Code(err) == codes.ResourceExhausted && strings.Contains(err.Error(), "peregrine.grpc_max_streams") {
				refused.Add(1)
			}
		})
	}
	needs.Eventually(t, "all refused but 19", func() bool { return refused.Load() == 10_000-19 })
	sendNumbered(s, 0, 100)
	good.want(t, numberedLines(0, 100))
	cancel()
	flooding.Wait()
}

// A stream that makes no request within the time is ended.
func TestGRPCIdleStream(t *testing.T) {
	c, address := grpcConfig(t)
	s, _ := open(t, c)
	s.entries[0].channel.(*grpcChannel).firstCall = 10 * time.Millisecond
	stream, err := client(t, address, nil).Sub(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.DeadlineExceeded || !strings.Contains(err.Error(), "no request within") {
		t.Errorf("error %v", err)
	}
}

// Connections that never speak HTTP/2, or speak nonsense, do no harm.
func TestGRPCStrangeConnections(t *testing.T) {
	c, address := grpcConfig(t)
	c.Peregrine.GRPCMaxStreams = 4
	s, _ := open(t, c)
	path := strings.TrimPrefix(address, "unix://")
	for i := range 100 {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if i%2 == 0 {
			fmt.Fprint(conn, "GET / HTTP/1.1\r\n\r\n")
			conn.Close()
		}
	}
	_ = s // closed with 50 half-open connections by open's cleanup
}

func TestGRPCStaleSocket(t *testing.T) {
	c, address := grpcConfig(t)
	path := strings.TrimPrefix(address, "unix://")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	s, _ := open(t, c)
	if _, err := Open(c, Options{Log: (&logs{}).logger()}); err == nil || !strings.Contains(err.Error(), "another process serves this socket") {
		t.Errorf("second sensor: %v", err)
	}
	closeClean(t, s)
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket is still there after a clean stop")
	}
}

// Over TCP, only a client with a certificate of the right authority gets in.
func TestGRPCMutualTLS(t *testing.T) {
	ours, other := newAuthority(t, "ours"), newAuthority(t, "other")
	c, _ := grpcConfig(t)
	c.GRPC.BindAddress = freeAddress(t)
	c.GRPC.CertChain, c.GRPC.PrivateKey = ours.issue(t, "server", "localhost", 2*time.Hour)
	c.GRPC.RootCerts = ours.file
	s, log := open(t, c)
	creds := func(a *authority, name string, valid time.Duration) *tls.Config {
		cert, key := a.issue(t, name, "client", valid)
		pair := load(t, cert, key)
		return &tls.Config{ServerName: "localhost", RootCAs: ours.pool(), GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &pair, nil // even if the server does not want it
		}}
	}
	good := subscribe(t, client(t, c.GRPC.BindAddress, credentials.NewTLS(creds(ours, "client", 2*time.Hour))))
	sendNumbered(s, 0, 10)
	good.want(t, numberedLines(0, 10))

	wrongName := creds(ours, "client", 2*time.Hour)
	wrongName.ServerName = "example.org"
	for name, tt := range map[string]struct {
		creds credentials.TransportCredentials
		log   string // of the server; "" if the client refuses
	}{
		"no certificate":    {credentials.NewTLS(&tls.Config{ServerName: "localhost", RootCAs: ours.pool()}), "didn't provide a certificate"},
		"no TLS":            {insecure.NewCredentials(), "first record does not look like a TLS handshake"},
		"wrong authority":   {credentials.NewTLS(creds(other, "client", 2*time.Hour)), "unknown authority"},
		"expired":           {credentials.NewTLS(creds(ours, "old", time.Minute)), "certificate has expired"},
		"other server name": {credentials.NewTLS(wrongName), ""},
	} {
		t.Run(name, func(t *testing.T) {
			stream, err := client(t, c.GRPC.BindAddress, tt.creds).Get(deadline(t, 2*time.Second), &outputs.Request{})
			if err == nil {
				_, err = stream.Recv()
			}
			if code := status.Code(err); code != codes.Unavailable && code != codes.DeadlineExceeded {
				t.Errorf("a client that must be refused: %v", err)
			}
			if tt.log != "" {
				needs.Eventually(t, tt.log, func() bool {
					_, _ = client(t, c.GRPC.BindAddress, tt.creds).Get(deadline(t, time.Second), &outputs.Request{}) // told once a second
					return strings.Contains(log.String(), tt.log)
				})
			}
		})
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestGRPCBadCertificates(t *testing.T) {
	ours := newAuthority(t, "ours")
	cert, key := ours.issue(t, "server", "localhost", 2*time.Hour)
	oldCert, oldKey := ours.issue(t, "old", "localhost", time.Minute)
	for want, g := range map[string]config.GRPC{
		"cert_chain, private_key: open /missing":  {CertChain: "/missing", PrivateKey: key, RootCerts: ours.file},
		"root_certs: no certificate in /dev/null": {CertChain: cert, PrivateKey: key, RootCerts: "/dev/null"},
		"the certificate expired at":              {CertChain: oldCert, PrivateKey: oldKey, RootCerts: ours.file},
	} {
		c := quiet()
		g.Enabled, g.BindAddress = true, "127.0.0.1:0"
		c.GRPC, c.GRPCOutput.Enabled = g, true
		if _, err := Open(c, Options{Log: (&logs{}).logger()}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// Falco's own client library receives alerts over the unix socket and over
// mutual TLS.
func TestGRPCFalcoClient(t *testing.T) {
	connect := func(t *testing.T, config falco.Config) *falco.Client {
		t.Helper()
		conn, err := falco.NewForConfig(t.Context(), &config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	watch := func(t *testing.T, conn *falco.Client, n int) (got []*outputs.Response) {
		t.Helper()
		enough := errors.New("enough") // OutputsWatch has no other way to end well
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel() // it leaves a goroutine that reads on
		err := conn.OutputsWatch(ctx, func(r *outputs.Response) error {
			if got = append(got, r); len(got) == n {
				return enough
			}
			return nil
		}, 50*time.Millisecond)
		if !errors.Is(err, enough) {
			t.Fatal(err)
		}
		return got
	}
	check := func(t *testing.T, got []*outputs.Response, n int) {
		t.Helper()
		if len(got) != n {
			t.Fatalf("%d alerts, want %d", len(got), n)
		}
		m := got[n-1]
		if m.Output != fmt.Sprintf("Warning alert %d", n-1) || m.Priority != schema.Priority_WARNING || m.Source != "syscall" ||
			fmt.Sprint(m.Tags) != "[t1 t2]" || fmt.Sprint(m.OutputFields) != fmt.Sprintf("map[n:%d proc.name:<NA>]", n-1) {
			t.Errorf("alert %v", m)
		}
	}
	t.Run("unix socket", func(t *testing.T) {
		c, address := grpcConfig(t)
		s, _ := open(t, c)
		sendNumbered(s, 0, 7)
		conn := connect(t, falco.Config{UnixSocketPath: address})
		waiting, err := conn.Outputs()
		if err != nil {
			t.Fatal(err)
		}
		stream, err := waiting.Get(t.Context(), &outputs.Request{})
		if err != nil {
			t.Fatal(err)
		}
		var got []*outputs.Response
		for r, err := stream.Recv(); err == nil; r, err = stream.Recv() {
			got = append(got, r)
		}
		check(t, got, 7)
		versions, err := conn.Version()
		if err != nil {
			t.Fatal(err)
		}
		if v, err := versions.Version(t.Context(), &version.Request{}); err != nil || v.Version == "" || v.EngineVersion != 62 {
			t.Errorf("version %v, %v", v, err)
		}
		sendNumbered(s, 0, 50)
		check(t, watch(t, conn, 50), 50)
	})
	t.Run("mutual TLS", func(t *testing.T) {
		ours := newAuthority(t, "ours")
		c, _ := grpcConfig(t)
		c.GRPC.BindAddress = strings.Replace(freeAddress(t), "127.0.0.1", "localhost", 1)
		c.GRPC.CertChain, c.GRPC.PrivateKey = ours.issue(t, "server", "localhost", 2*time.Hour)
		c.GRPC.RootCerts = ours.file
		cert, key := ours.issue(t, "client", "client", 2*time.Hour)
		s, _ := open(t, c)
		sendNumbered(s, 0, 50)
		_, text, _ := net.SplitHostPort(c.GRPC.BindAddress)
		port, _ := strconv.ParseUint(text, 10, 16)
		conn := connect(t, falco.Config{Hostname: "localhost", Port: uint16(port), CertFile: cert, KeyFile: key, CARootFile: ours.file})
		check(t, watch(t, conn, 50), 50)
	})
}

// Alerts that no client has read by the end are counted and told, as those of
// any other channel.
func TestGRPCNobodyReads(t *testing.T) {
	c, _ := grpcConfig(t)
	s, _ := open(t, c)
	sendNumbered(s, 0, 5)
	err := s.Close(deadline(t, needs.Patience))
	if err == nil || err.Error() != "grpc: 5 alerts not delivered: no client has read them" {
		t.Errorf("Close: %v", err)
	}
	if got := statsOf(t, s, "grpc"); got.Undelivered != 5 || got.Dropped != 5 || got.Queued != 0 {
		t.Errorf("%+v", got)
	}
}
