package endpoint

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"

	"github.com/peregrine-sec/peregrine/internal/linux/anyfile"
)

// Client says how a server that we connect to is verified.
type Client struct {
	CA   string // PEM file of the server's CA; "" for the system's roots
	Cert string // the client's PEM files for mutual TLS; both or neither
	Key  string
	// Insecure accepts any certificate, because a flag said so.
	Insecure bool
}

// Config is for a connection to a server; name is the host that its
// certificate must have, "" for the one that is dialled.
func (c Client) Config(name string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: name, InsecureSkipVerify: c.Insecure}
	if (c.Cert == "") != (c.Key == "") {
		return nil, errors.New("client certificate: expected both a certificate and its key")
	}
	if c.Cert != "" {
		cert, err := anyfile.KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{cert}
	}
	if c.CA != "" {
		var err error
		if config.RootCAs, err = loadCA(c.CA); err != nil {
			return nil, fmt.Errorf("CA of the server: %w", err)
		}
	}
	return config, nil
}

// Server configures our side of incoming connections.
type Server struct {
	Address string // host:port
	// Security is "insecure", "tls" or "mtls"; "" is insecure on a loopback
	// address, and refused on any other.
	Security string
	Cert     string // PEM files
	Key      string
	ClientCA string // CA of allowed clients, with mtls
}

// Config is nil for a server without TLS.
func (s Server) Config() (*tls.Config, error) {
	switch s.Security {
	case "":
		if !loopback(s.Address) {
			return nil, fmt.Errorf("%s can be reached from the network: choose tls or mtls, or insecure to accept unencrypted alerts", s.Address)
		}
		return nil, nil
	case "insecure":
		return nil, nil
	case "tls", "mtls":
	default:
		return nil, fmt.Errorf("unknown security mode %q: expected insecure, tls or mtls", s.Security)
	}
	cert, err := anyfile.KeyPair(s.Cert, s.Key)
	if err != nil {
		return nil, fmt.Errorf("server certificate: %w", err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if s.Security == "mtls" {
		config.ClientAuth = tls.RequireAndVerifyClientCert
		if config.ClientCAs, err = loadCA(s.ClientCA); err != nil {
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
	return isLoopback(host)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func loadCA(path string) (*x509.CertPool, error) {
	pem, err := anyfile.Read(path, anyfile.MaxCertificates)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", path)
	}
	return pool, nil
}
