package intake

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// maxBody bounds one posted alert.
const maxBody = 1 << 20

// HTTPOptions configures the server that a sensor's http_output posts to.
type HTTPOptions struct {
	Address string // host:port
	// Security is "insecure", "tls" or "mtls"; "" is insecure on a loopback
	// address, and refused on any other.
	Security string
	Cert     string // PEM files
	Key      string
	ClientCA string // whom to accept with mtls
}

// HTTP is a server for `POST /` with one JSON alert per body.
type HTTP struct {
	*mailbox
	server   *http.Server
	listener net.Listener
	decoders sync.Pool
}

var _ Source = (*HTTP)(nil)

// NewHTTP listens at once: an address in use is an error here, not a round
// without alerts later.
func NewHTTP(o HTTPOptions) (*HTTP, error) {
	config, err := o.tls()
	if err != nil {
		return nil, fmt.Errorf("http alert server: %w", err)
	}
	listener, err := net.Listen("tcp", o.Address)
	if err != nil {
		return nil, fmt.Errorf("http alert server: %w", err)
	}
	if config != nil {
		listener = tls.NewListener(listener, config)
	}
	s := &HTTP{
		mailbox:  newMailbox(),
		listener: listener,
		decoders: sync.Pool{New: func() any { return newDecoder() }},
	}
	s.server = &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // handshake errors of strangers
	}
	go func() {
		if err := s.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.end(fmt.Errorf("http alert server: %w", err))
		}
	}()
	return s, nil
}

// Addr is the address listened at.
func (s *HTTP) Addr() net.Addr { return s.listener.Addr() }

// serve takes one alert. It answers 200 also to what it cannot read, as a
// sensor would try again with the same bytes.
func (s *HTTP) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		http.Error(w, "post alerts here", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	now := time.Now().UnixNano()
	if err != nil {
		s.put(nil, len(body), 1, fmt.Errorf("read a posted alert: %w", err))
		return
	}
	d := s.decoders.Get().(*decoder)
	defer s.decoders.Put(d)
	var a Alert
	if err := d.decode(body, &a); err != nil {
		s.put(nil, len(body), 1, err)
		return
	}
	a.Received = now
	s.put([]Alert{a}, len(body), 0, nil)
}

// Close ends the server; posts under way are answered first.
func (s *HTTP) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := s.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.server.Close()
	}
	s.end(nil)
	return err
}

// tls is nil for plain HTTP.
func (o HTTPOptions) tls() (*tls.Config, error) {
	switch o.Security {
	case "":
		if !loopback(o.Address) {
			return nil, fmt.Errorf("%s can be reached from the network: choose mtls, tls, or insecure to say that you mean it", o.Address)
		}
		return nil, nil
	case "insecure":
		return nil, nil
	case "tls", "mtls":
	default:
		return nil, fmt.Errorf("unknown security mode %q: expected insecure, tls or mtls", o.Security)
	}
	cert, err := tls.LoadX509KeyPair(o.Cert, o.Key)
	if err != nil {
		return nil, fmt.Errorf("server certificate: %w", err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if o.Security == "mtls" {
		config.ClientAuth = tls.RequireAndVerifyClientCert
		if config.ClientCAs, err = loadCA(o.ClientCA); err != nil {
			return nil, fmt.Errorf("client CA: %w", err)
		}
	}
	return config, nil
}

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func loadCA(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in %s", path)
	}
	return pool, nil
}
