package output

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/peregrine-sec/peregrine/internal/linux/anyfile"
	"github.com/peregrine-sec/peregrine/internal/sensor/config"
)

// clientTLS is how http_output talks to its server.
func clientTLS(c config.HTTPOutput) (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.Insecure}
	if !c.Insecure {
		pool, err := trusted(c)
		if err != nil {
			return nil, err
		}
		t.RootCAs = pool
	}
	if c.MTLS {
		pair, err := keyPair(c.ClientCert, c.ClientKey)
		if err != nil {
			return nil, fmt.Errorf("client_cert, client_key: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// trusted is the pool of certificate authorities: ca_cert before ca_bundle
// before ca_path.
func trusted(c config.HTTPOutput) (*x509.CertPool, error) {
	switch {
	case c.CACert != "":
		return poolOf("ca_cert", c.CACert)
	case c.CABundle != "":
		return poolOf("ca_bundle", c.CABundle)
	case c.CAPath == "" || c.CAPath == config.Default().HTTP.CAPath:
		return x509.SystemCertPool()
	}
	entries, err := os.ReadDir(c.CAPath)
	if err != nil {
		return nil, fmt.Errorf("ca_path: %w", err)
	}
	pool, found := x509.NewCertPool(), false
	for _, e := range entries {
		if text, err := anyfile.Read(filepath.Join(c.CAPath, e.Name()), anyfile.MaxCertificates); err == nil {
			found = pool.AppendCertsFromPEM(text) || found
		}
	}
	if !found {
		return nil, fmt.Errorf("ca_path: no certificate in %s", c.CAPath)
	}
	return pool, nil
}

func poolOf(key, file string) (*x509.CertPool, error) {
	text, err := anyfile.Read(file, anyfile.MaxCertificates)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: no certificate in %s", key, file)
	}
	return pool, nil
}

// serverTLS lets in only clients whose certificate root_certs has signed.
func serverTLS(c config.GRPC) (*tls.Config, error) {
	pair, err := keyPair(c.CertChain, c.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("cert_chain, private_key: %w", err)
	}
	pool, err := poolOf("root_certs", c.RootCerts)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{pair},
		ClientCAs:    pool,
		ClientAuth:   tls.RequireAndVerifyClientCert,
		NextProtos:   []string{"h2"},
	}, nil
}

// keyPair reads a certificate that can be used today.
func keyPair(cert, key string) (tls.Certificate, error) {
	pair, err := anyfile.KeyPair(cert, key)
	if err != nil {
		return pair, err
	}
	if pair.Leaf == nil {
		return pair, errors.New("no certificate")
	}
	now := time.Now()
	switch {
	case now.After(pair.Leaf.NotAfter):
		return pair, fmt.Errorf("%s: the certificate expired at %s; renew it", cert, pair.Leaf.NotAfter.Format(time.RFC3339))
	case now.Before(pair.Leaf.NotBefore):
		return pair, fmt.Errorf("%s: the certificate is valid only from %s; is the clock right?", cert, pair.Leaf.NotBefore.Format(time.RFC3339))
	}
	return pair, nil
}
