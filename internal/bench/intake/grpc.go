package intake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/falcosecurity/client-go/pkg/api/outputs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/peregrine-sec/peregrine/internal/endpoint"
)

// usualSockets are where Falco's packages and charts have put its socket.
var usualSockets = []string{"/run/falco/falco.sock", "/var/run/falco/falco.sock", "/run/falco.sock", "/var/run/falco.sock"}

// GRPC subscribes to a sensor's alerts.
type GRPC struct {
	*mailbox
	conn   *grpc.ClientConn
	cancel context.CancelFunc
	done   chan struct{}
}

var _ Source = (*GRPC)(nil)

// NewGRPC connects and subscribes; it fails within o.Timeout if the sensor does
// not answer.
func NewGRPC(ctx context.Context, e endpoint.Endpoint, o Options) (*GRPC, error) {
	address, creds, err := dial(e, o.Client)
	if err != nil {
		return nil, fmt.Errorf("grpc alerts: %w", err)
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(creds))
	if err != nil {
		return nil, fmt.Errorf("grpc alerts: %w", err)
	}
	streamCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	timeout := cmp.Or(o.Timeout, 10*time.Second)
	timer := time.AfterFunc(timeout, cancel)
	stop := context.AfterFunc(ctx, cancel)
	stream, err := outputs.NewServiceClient(conn).Sub(streamCtx, grpc.WaitForReady(true))
	if err == nil {
		err = stream.Send(&outputs.Request{})
	}
	if !timer.Stop() || !stop() || err != nil {
		cancel()
		conn.Close()
		if err == nil || status.Code(err) == codes.Canceled {
			err = fmt.Errorf("no answer within %v", timeout)
		}
		return nil, fmt.Errorf("grpc alerts from %s: %w (are grpc and grpc_output enabled? Falco has had neither since 0.44)", address, err)
	}
	s := &GRPC{mailbox: newMailbox(), conn: conn, cancel: cancel, done: make(chan struct{})}
	go s.poll(streamCtx, stream, cmp.Or(o.PollingInterval, 100*time.Millisecond))
	go func() {
		defer close(s.done)
		s.end(s.receive(stream))
	}()
	return s, nil
}

// poll requests alerts until the stream ends.
func (s *GRPC) poll(ctx context.Context, stream outputs.Service_SubClient, interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if stream.Send(&outputs.Request{}) != nil {
				return // receive has the reason
			}
		}
	}
}

func (s *GRPC) receive(stream outputs.Service_SubClient) error {
	for {
		m, err := stream.Recv()
		now := time.Now().UnixNano()
		switch {
		case errors.Is(err, io.EOF), status.Code(err) == codes.Canceled:
			return nil
		case err != nil:
			return fmt.Errorf("grpc alerts: %w", err)
		}
		if m.GetRule() == "" || m.GetTime().CheckValid() != nil {
			s.put(nil, 0, 1, errors.New("malformed alert: no rule, or no time"))
			continue
		}
		s.put([]Alert{fromMessage(m, now)}, 0, 0, nil)
	}
}

func fromMessage(m *outputs.Response, now int64) Alert {
	field := func(name string) int64 {
		n, _ := strconv.ParseInt(m.GetOutputFields()[name], 10, 64)
		return n
	}
	var d decoder
	return Alert{
		Run:      d.runOf([]byte(m.GetOutputFields()["proc.cmdline"])),
		Time:     m.GetTime().AsTime().UnixNano(),
		Received: now,
		Rule:     m.GetRule(),
		Priority: m.GetPriority().String(),
		Source:   m.GetSource(),
		Hostname: m.GetHostname(),
		PID:      int32(field("proc.pid")),
		TID:      int32(field("thread.tid")),
	}
}

// Close ends the subscription.
func (s *GRPC) Close() error {
	s.cancel()
	<-s.done
	return s.conn.Close()
}

// dial gives the address in gRPC's form and the credentials for it. A socket
// is private by its place; the network needs mutual TLS.
func dial(e endpoint.Endpoint, client endpoint.Client) (string, credentials.TransportCredentials, error) {
	if e.Address == "" {
		path, err := socket(e.Path)
		return "unix:" + path, insecure.NewCredentials(), err
	}
	host, _, err := net.SplitHostPort(e.Address)
	if err != nil {
		return "", nil, err
	}
	config, err := client.Config(host)
	if err != nil {
		return "", nil, err
	}
	return e.Address, credentials.NewTLS(config), nil
}

// socket is the given path, or the first usual one that is there.
func socket(path string) (string, error) {
	if path != "" {
		return path, nil
	}
	for _, usual := range usualSockets {
		if info, err := os.Stat(usual); err == nil && info.Mode()&os.ModeSocket != 0 {
			return usual, nil
		}
	}
	return "", fmt.Errorf("no socket at %s: name it with grpc:PATH, or give another source of alerts (Falco has had no gRPC since 0.44)", strings.Join(usualSockets, ", "))
}
