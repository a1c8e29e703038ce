package output

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
)

// httpTarget is where http_output posts to; its senders share it.
type httpTarget struct {
	c       config.HTTPOutput
	address string // host:port
	name    string // of the server's certificate; empty without TLS
	head    []byte // the request up to the body's length
	timeout time.Duration
	log     *slog.Logger

	mu      sync.Mutex
	tls     *tls.Config
	version atomic.Uint64 // grows with each reopen

	uncertain atomic.Uint64 // alerts that were posted and got no answer
}

func newHTTPTarget(c *config.Config, log *slog.Logger) (*httpTarget, error) {
	u, err := url.Parse(c.HTTP.URL)
	if err != nil {
		return nil, err
	}
	t := &httpTarget{c: c.HTTP, timeout: timeoutOf(c), log: log}
	port := "80"
	if u.Scheme == "https" {
		port, t.name = "443", u.Hostname()
		if t.tls, err = clientTLS(c.HTTP); err != nil {
			return nil, err
		}
	}
	t.address = net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port))
	t.head = requestHead(u, c)
	return t, nil
}

// requestHead is everything that is the same in each request.
func requestHead(u *url.URL, c *config.Config) []byte {
	var b bytes.Buffer
	contentType := "text/plain"
	if c.JSON {
		contentType = "application/json"
	}
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\nContent-Type: %s\r\n", u.RequestURI(), u.Host, c.HTTP.UserAgent, contentType)
	if u.User != nil {
		password, _ := u.User.Password()
		fmt.Fprintf(&b, "Authorization: Basic %s\r\n", base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password)))
	}
	if c.HTTP.CompressUploads {
		b.WriteString("Content-Encoding: gzip\r\n")
	}
	b.WriteString("Content-Length: ")
	return b.Bytes()
}

// appendRequest appends the request for one alert to buf.
func (t *httpTarget) appendRequest(buf, body []byte) []byte {
	if t.c.CompressUploads {
		body = compress(body)
	}
	buf = append(buf, t.head...)
	buf = strconv.AppendInt(buf, int64(len(body)), 10)
	buf = append(buf, "\r\n\r\n"...)
	return append(buf, body...)
}

var gzipWriters = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

func compress(body []byte) []byte {
	w := gzipWriters.Get().(*gzip.Writer)
	defer gzipWriters.Put(w)
	var out bytes.Buffer
	w.Reset(&out)
	_, _ = w.Write(body) // a bytes.Buffer takes everything
	_ = w.Close()
	return out.Bytes()
}

// dial connects, with the TLS handshake if the URL says https.
func (t *httpTarget) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	dialer := net.Dialer{KeepAlive: -1}
	if t.c.KeepAlive {
		dialer.KeepAlive = 0 // the system's default
	}
	conn, err := dialer.DialContext(ctx, "tcp", t.address)
	if err != nil || t.name == "" {
		return conn, err
	}
	t.mu.Lock()
	settings := t.tls.Clone()
	t.mu.Unlock()
	settings.ServerName = t.name
	secure := tls.Client(conn, settings)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("TLS with %s: %w", t.address, err)
	}
	return secure, nil
}

// reload reads the certificates again; bad ones leave the old in use.
func (t *httpTarget) reload() {
	if t.name != "" {
		settings, err := clientTLS(t.c)
		if err != nil {
			t.log.Error("http_output: the old certificates stay in use", "error", err)
			return
		}
		t.mu.Lock()
		t.tls = settings
		t.mu.Unlock()
	}
	t.version.Add(1)
}
