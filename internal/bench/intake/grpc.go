package intake

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/peregrine-sec/peregrine/internal/falcoapi/outputs"
)

// GRPCOptions says where a sensor's gRPC output service is.
type GRPCOptions struct {
	// UnixSocket is "unix:///path" or a path; if empty, Hostname and Port are
	// used, with mutual TLS.
	UnixSocket string
	Hostname   string
	Port       uint16
	Cert       string // PEM files: our certificate, its key, and the sensor's CA
	Key        string
	CA         string
	// PollingInterval is how often the sensor is asked for what it holds:
	// Falco up to 0.43 sends alerts only on a request. Default 100 ms.
	PollingInterval time.Duration
}

// GRPC subscribes to a sensor's alerts.
type GRPC struct {
	*mailbox
	conn   *grpc.ClientConn
	cancel context.CancelFunc
	done   chan struct{}
}

var _ Source = (*GRPC)(nil)

// NewGRPC connects and subscribes; it fails within timeout if the sensor does
// not answer.
func NewGRPC(ctx context.Context, o GRPCOptions, timeout time.Duration) (*GRPC, error) {
	address, creds, err := o.dial()
	if err != nil {
		return nil, fmt.Errorf("grpc alerts: %w", err)
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(creds))
	if err != nil {
		return nil, fmt.Errorf("grpc alerts: %w", err)
	}
	streamCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
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
		return nil, fmt.Errorf("grpc alerts from %s: %w (is grpc and grpc_output enabled? Falco has neither since 0.44)", address, err)
	}
	s := &GRPC{mailbox: newMailbox(), conn: conn, cancel: cancel, done: make(chan struct{})}
	if o.PollingInterval <= 0 {
		o.PollingInterval = 100 * time.Millisecond
	}
	go s.poll(streamCtx, stream, o.PollingInterval)
	go func() {
		defer close(s.done)
		s.end(s.receive(stream))
	}()
	return s, nil
}

// poll asks for alerts until the stream ends.
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
		s.put([]Alert{fromMessage(m, now)}, 0, 0, nil)
	}
}

func fromMessage(m *outputs.Response, now int64) Alert {
	field := func(name string) int64 {
		n, _ := strconv.ParseInt(m.GetOutputFields()[name], 10, 64)
		return n
	}
	return Alert{
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

// dial gives the address in gRPC's form and the credentials for it.
func (o GRPCOptions) dial() (string, credentials.TransportCredentials, error) {
	if o.UnixSocket != "" {
		path := strings.TrimPrefix(strings.TrimPrefix(o.UnixSocket, "unix:"), "//")
		return "unix:" + path, insecure.NewCredentials(), nil
	}
	cert, err := tls.LoadX509KeyPair(o.Cert, o.Key)
	if err != nil {
		return "", nil, fmt.Errorf("client certificate: %w", err)
	}
	pool, err := loadCA(o.CA)
	if err != nil {
		return "", nil, fmt.Errorf("CA of the sensor: %w", err)
	}
	return net.JoinHostPort(o.Hostname, strconv.Itoa(int(o.Port))), credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{cert}, RootCAs: pool, MinVersion: tls.VersionTLS12, ServerName: o.Hostname,
	}), nil
}
