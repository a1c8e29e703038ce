package audit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/netutil"

	"github.com/peregrine-sec/peregrine/internal/linux/anyfile"
)

// Options name the source of audit events, and bound the input.
type Options struct {
	// Open is as open_params of Falco's plugin k8saudit: http://HOST:PORT/PATH,
	// https://..., file:///PATH to follow a file, or the path of a file or
	// directory to be read once.
	Open string
	// Certificate is a PEM file with the server's key and certificates.
	Certificate string
	// ClientCA is a PEM file with the CA of the senders' certificates; empty: no
	// certificate is required.
	ClientCA string
	// Insecure takes plain HTTP from other hosts too.
	Insecure bool
	Limits   Limits
	Log      *slog.Logger
}

// Source is where audit events come from.
type Source struct {
	in    *intake
	serve func(context.Context) error
	close func() error
	// Address is where the webhook listens; empty for files.
	Address string
}

// Open opens the source: a webhook listens then, and a file is there.
func Open(o Options) (*Source, error) {
	s := &Source{in: newIntake(o.Limits, o.Log), close: func() error { return nil }}
	var err error
	switch scheme, rest, found := strings.Cut(strings.TrimSpace(o.Open), "://"); {
	case o.Open == "":
		err = errors.New("expected a URL or a path")
	case !found:
		err = s.openFiles(scheme)
	case scheme == "file":
		err = s.openFollowed(rest)
	case scheme == "http" || scheme == "https":
		err = s.openWebhook(o)
	default:
		err = fmt.Errorf("scheme %q is not supported: expected http, https, file or a path", scheme)
	}
	if err != nil {
		return nil, fmt.Errorf("audit events from %q: %w", o.Open, err)
	}
	return s, nil
}

// Serve takes events until ctx ends or, for files that are read once, there are
// no more.
func (s *Source) Serve(ctx context.Context) error { return s.serve(ctx) }

// Bodies returns the bodies for the engine.
func (s *Source) Bodies() <-chan *Body { return s.in.bodies }

// Counters returns the counters; it may be called from any goroutine.
func (s *Source) Counters() Counters { return s.in.counters() }

// Close releases the resources of Open, for a source that is not served.
func (s *Source) Close() error { return s.close() }

// Limits of the webhook for its senders. The API server keeps one connection.
const (
	maxConnections = 128
	headerTimeout  = 10 * time.Second
	readTimeout    = 30 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeader      = 16 << 10
	stopTimeout    = 5 * time.Second
)

func (s *Source) openWebhook(o Options) error {
	u, err := url.Parse(strings.TrimSpace(o.Open))
	if err != nil {
		return err
	}
	if u.Port() == "" || u.Path == "" || u.Path == "/" {
		return fmt.Errorf("expected %s://HOST:PORT/PATH, for example %[1]s://:9765/k8s-audit", u.Scheme)
	}
	hook := &webhook{in: s.in, path: u.Path, anywhere: o.Insecure}
	server := &http.Server{
		Handler: hook, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
		// The read deadline ends the request that waits for the engine as well.
		ReadTimeout:    readTimeout + o.Limits.Patience,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	if u.Scheme == "https" {
		if server.TLSConfig, hook.clients, err = serverTLS(o.Certificate, o.ClientCA); err != nil {
			return err
		}
		if hook.clients == nil {
			o.Log.Warn("audit events are accepted from anyone who can reach " + u.Host + ": set peregrine.k8s_audit.client_ca")
		}
	}
	l, err := net.Listen("tcp", u.Host)
	if err != nil {
		return err
	}
	s.Address, s.close = l.Addr().String(), l.Close
	l = netutil.LimitListener(l, maxConnections)
	if server.TLSConfig != nil {
		l = tls.NewListener(l, server.TLSConfig)
	}
	s.serve = func(ctx context.Context) error { return serveUntil(ctx, server, l) }
	return nil
}

// serveUntil serves until ctx ends; requests under way are answered.
func serveUntil(ctx context.Context, server *http.Server, l net.Listener) error {
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("webhook of audit events: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if server.Shutdown(stop) != nil { // a slow sender
		return server.Close()
	}
	return nil
}

// serverTLS reads the server's certificate and the CA of its clients. A client
// without a certificate is refused by an HTTP answer, not by the handshake.
func serverTLS(certificate, clientCA string) (*tls.Config, *x509.CertPool, error) {
	cert, err := anyfile.KeyPair(certificate, certificate)
	if err != nil {
		return nil, nil, fmt.Errorf("certificate and key: %w", err)
	}
	settings := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	if clientCA == "" {
		return settings, nil, nil
	}
	pem, err := anyfile.Read(clientCA, anyfile.MaxCertificates)
	if err != nil {
		return nil, nil, fmt.Errorf("client_ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, nil, fmt.Errorf("client_ca %s: no certificate in it", clientCA)
	}
	settings.ClientAuth = tls.RequestClientCert
	return settings, pool, nil
}
