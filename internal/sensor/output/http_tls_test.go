package output

import (
	"crypto/tls"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func TestHTTPTLS(t *testing.T) {
	ours, other := newAuthority(t, "ours"), newAuthority(t, "other")
	goodCert, goodKey := ours.issue(t, "good", "127.0.0.1", 2*time.Hour)
	clientCert, clientKey := ours.issue(t, "client", "client", 2*time.Hour)
	tests := []struct {
		name        string
		host        string // in the server's certificate
		valid       time.Duration
		change      func(*config.HTTPOutput)
		wantsClient bool
		log         string // empty: the alert arrives
	}{
		{"good", "127.0.0.1", 2 * time.Hour, func(*config.HTTPOutput) {}, false, ""},
		{"bundle", "127.0.0.1", 2 * time.Hour, func(c *config.HTTPOutput) { c.CABundle, c.CACert = c.CACert, "" }, false, ""},
		{"directory", "127.0.0.1", 2 * time.Hour, func(c *config.HTTPOutput) { c.CAPath, c.CACert = ours.dir, "" }, false, ""},
		{"mtls", "127.0.0.1", 2 * time.Hour, func(c *config.HTTPOutput) { c.MTLS, c.ClientCert, c.ClientKey = true, clientCert, clientKey }, true, ""},
		{"no client certificate", "127.0.0.1", 2 * time.Hour, func(*config.HTTPOutput) {}, true, "certificate required"},
		{"wrong name", "example.org", 2 * time.Hour, func(*config.HTTPOutput) {}, false, "cannot validate certificate for 127.0.0.1"},
		{"expired", "127.0.0.1", time.Minute, func(*config.HTTPOutput) {}, false, "certificate has expired"},
		{"wrong authority", "127.0.0.1", 2 * time.Hour, func(c *config.HTTPOutput) { c.CACert = other.file }, false, "unknown authority"},
		{"system's authorities", "127.0.0.1", 2 * time.Hour, func(c *config.HTTPOutput) { c.CACert = "" }, false, "unknown authority"},
		{"insecure", "example.org", time.Minute, func(c *config.HTTPOutput) { c.Insecure = true }, false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cert, key := goodCert, goodKey
			if tt.host != "127.0.0.1" || tt.valid != 2*time.Hour {
				cert, key = ours.issue(t, "server", tt.host, tt.valid)
			}
			r := &receiver{}
			server := httptest.NewUnstartedServer(r)
			server.Config.ErrorLog = quietLog()
			server.TLS = &tls.Config{Certificates: []tls.Certificate{load(t, cert, key)}}
			if tt.wantsClient {
				server.TLS.ClientAuth, server.TLS.ClientCAs = tls.RequireAndVerifyClientCert, ours.pool()
			}
			server.StartTLS()
			defer server.Close()
			c := httpConfig(server.URL)
			c.HTTP.CACert = ours.file
			tt.change(&c.HTTP)
			s, log := open(t, c)
			s.Send(numbered(0))
			if tt.log == "" {
				closeClean(t, s)
				if len(r.got()) != 1 {
					t.Errorf("received %d; log %s", len(r.got()), log)
				}
				return
			}
			needs.Eventually(t, tt.log, func() bool { return strings.Contains(log.String(), tt.log) })
			if got := statsOf(t, s, "http"); got.Sent != 0 || len(r.got()) != 0 {
				t.Errorf("sent %d received %d", got.Sent, len(r.got()))
			}
		})
	}
}

// A server that accepts and never finishes the handshake.
func TestHTTPHalfOpenTLS(t *testing.T) {
	url := rawServer(t, func(_ int, c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	c := httpConfig(strings.Replace(url, "http:", "https:", 1))
	c.OutputTimeout, c.HTTP.Insecure = 100, true
	s, log := open(t, c)
	s.Send(numbered(0))
	needs.Eventually(t, "a timeout", func() bool { return strings.Contains(log.String(), "deadline exceeded") })
	if got := statsOf(t, s, "http"); got.Queued != 1 {
		t.Errorf("an alert for an unreachable server is not kept: %+v", got)
	}
}

func TestHTTPBadFiles(t *testing.T) {
	ours := newAuthority(t, "ours")
	cert, key := ours.issue(t, "old", "client", time.Minute)
	for want, change := range map[string]func(*config.HTTPOutput){
		"ca_cert: open /nonexistent":              func(c *config.HTTPOutput) { c.CACert = "/nonexistent" },
		"ca_bundle: no certificate in /dev/null":  func(c *config.HTTPOutput) { c.CABundle = "/dev/null" },
		"ca_path: open /nonexistent":              func(c *config.HTTPOutput) { c.CAPath = "/nonexistent" },
		"client_cert, client_key: open /missing":  func(c *config.HTTPOutput) { c.MTLS, c.ClientCert = true, "/missing" },
		"the certificate expired at ":             func(c *config.HTTPOutput) { c.MTLS, c.ClientCert, c.ClientKey = true, cert, key },
		"tls: private key does not match public ": func(c *config.HTTPOutput) { c.MTLS, c.ClientCert, c.ClientKey = true, cert, otherKey(t, ours) },
	} {
		c := httpConfig("https://127.0.0.1")
		change(&c.HTTP)
		if _, err := Open(c, Options{Log: (&logs{}).logger()}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func otherKey(t *testing.T, a *authority) string {
	_, key := a.issue(t, "another", "client", time.Hour)
	return key
}
