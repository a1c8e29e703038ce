package intake

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/falcosecurity/client-go/pkg/api/outputs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/peregrine-sec/peregrine/internal/endpoint"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// line is one alert, n being its event's time.
func line(n int) string {
	return fmt.Sprintf(`{"rule":"r","output_fields":{"evt.time":%d,"thread.tid":%d}}`+"\n", n, n%7+1)
}

// collect takes n alerts from s and checks that each is there once.
func collect(t *testing.T, s Source, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), needs.Patience)
	defer cancel()
	seen := make(map[int64]bool)
	for len(seen) < n {
		batch, err := s.Next(ctx)
		if err != nil {
			t.Fatalf("after %d of %d alerts: %v", len(seen), n, err)
		}
		for _, a := range batch {
			if seen[a.Time] || a.Rule != "r" || a.Received == 0 {
				t.Fatalf("alert %+v: seen before, or not as sent", a)
			}
			seen[a.Time] = true
		}
	}
}

// ended checks that nothing more comes but the end.
func ended(t *testing.T, s Source) {
	t.Helper()
	for range 2 { // the end stays
		if batch, err := s.Next(t.Context()); !errors.Is(err, ErrClosed) {
			t.Fatalf("%v, %v; want the end", batch, err)
		}
	}
}

// Without a standard input, there is an error and no source that panics later.
func TestOpenWithoutStdin(t *testing.T) {
	if s, err := Open(t.Context(), endpoint.Endpoint{Kind: endpoint.Stdin}, Options{}); err == nil || !strings.Contains(err.Error(), "no standard input") {
		t.Errorf("opened %v, %v", s, err)
	}
}

// The whole text of an alert is kept if it is asked for, whichever way it comes.
func TestTexts(t *testing.T) {
	text := strings.TrimSuffix(line(1), "\n")
	dir := t.TempDir()
	for where, send := range map[string]func(s Source) error{
		"stdin": func(Source) error { return nil },
		"http://127.0.0.1:0": func(s Source) error {
			resp, err := http.Post("http://"+s.(*HTTP).Addr().String(), "application/json", strings.NewReader(text))
			if err == nil {
				err = resp.Body.Close()
			}
			http.DefaultClient.CloseIdleConnections()
			return err
		},
		"unix:" + filepath.Join(dir, "s"): func(Source) error {
			conn, err := net.Dial("unix", filepath.Join(dir, "s"))
			if err == nil {
				_, err = io.WriteString(conn, text+"\n")
				err = errors.Join(err, conn.Close())
			}
			return err
		},
		"file:" + filepath.Join(dir, "f"): func(Source) error { return os.WriteFile(filepath.Join(dir, "f"), []byte(text+"\n"), 0o600) },
	} {
		for _, kept := range []string{"", text} {
			from, err := endpoint.ParseAlerts(where)
			if err != nil {
				t.Fatal(err)
			}
			os.Remove(filepath.Join(dir, "f"))
			s, err := Open(t.Context(), from, Options{Stdin: strings.NewReader(text), Texts: kept != ""})
			if err == nil {
				err = send(s)
			}
			if err != nil {
				t.Fatal(err)
			}
			if batch, err := s.Next(t.Context()); err != nil || len(batch) != 1 || batch[0].Text != kept {
				t.Errorf("%s: %+v, %v; want the text %q", where, batch, err, kept)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestReader(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s := NewReader(r, false)
	const n = 20_000
	go func() {
		defer w.Close()
		for i := 1; i <= n; i += 100 {
			var b bytes.Buffer
			for k := range 100 {
				b.WriteString(line(i + k))
			}
			text := b.Bytes()
			half := len(text) / 3 // in the middle of a line
			w.Write(text[:half])
			w.Write(text[half:])
		}
		fmt.Fprint(w, "Events detected: 1\n\n", strings.TrimSuffix(line(n+1), "\n"))
	}()
	collect(t, s, n+1)
	ended(t, s)
	if c := s.Traffic(); c.Alerts != n+1 || c.Malformed != 1 || !strings.Contains(c.LastError, "json_output") {
		t.Errorf("counts %+v, want %d alerts and one other line", c, n+1)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestReaderOverlongLine(t *testing.T) {
	r, w, _ := os.Pipe()
	s := NewReader(r, false)
	defer s.Close()
	go func() {
		defer w.Close()
		fmt.Fprint(w, strings.Repeat("x", 3<<20), "\n", line(1))
	}()
	collect(t, s, 1)
	ended(t, s)
}

func TestNextEndsWithContext(t *testing.T) {
	r, w, _ := os.Pipe()
	defer w.Close()
	s := NewReader(r, false)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
	s.Close()
	ended(t, s)
}

func TestFileFollowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alerts")
	if err := os.WriteFile(path, []byte(line(1)), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := NewFile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		f.WriteString(text)
	}
	write(line(2) + line(3))
	collect(t, s, 2)
	os.Rename(path, path+".1")
	write(line(4))
	collect(t, s, 1)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	ended(t, s)
}

func TestUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	for range 2 { // the second replaces the socket that the first left
		listener, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		listener.(*net.UnixListener).SetUnlinkOnClose(false)
		listener.Close()
		s, err := newUnix(path, false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := newUnix(path, false); err == nil || !strings.Contains(err.Error(), "another process serves") {
			t.Errorf("second listener: %v", err)
		}
		if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, want 0600", info.Mode())
		}
		for i := range 3 {
			conn, err := net.Dial("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(conn, line(i+1))
			if i < 2 { // the third is left open
				conn.Close()
			} else {
				defer conn.Close()
			}
		}
		collect(t, s, 3)
		s.Close()
		ended(t, s)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newUnix(path, false); err == nil {
		t.Error("a file was replaced by a socket")
	}
}

func TestHTTP(t *testing.T) {
	ca := newCA(t)
	serverCert, serverKey := ca.issue(t, "server")
	clientCert, clientKey := ca.issue(t, "client")
	pair, err := tls.LoadX509KeyPair(clientCert, clientKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		security string
		config   *tls.Config
		ok       bool
	}{
		{"", nil, true},
		{"insecure", nil, true},
		{"tls", &tls.Config{RootCAs: ca.pool}, true},
		{"mtls", &tls.Config{RootCAs: ca.pool, Certificates: []tls.Certificate{pair}}, true},
		{"mtls", &tls.Config{RootCAs: ca.pool}, false},
	} {
		t.Run(fmt.Sprintf("%s/%v", tt.security, tt.ok), func(t *testing.T) {
			s, err := NewHTTP(endpoint.Server{Address: "127.0.0.1:0", Security: tt.security, Cert: serverCert, Key: serverKey, ClientCA: ca.file}, false)
			if err != nil {
				t.Fatal(err)
			}
			scheme := "http"
			if tt.config != nil {
				scheme = "https"
			}
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: tt.config}}
			defer client.CloseIdleConnections()
			url := scheme + "://" + s.Addr().String() + "/"
			for i, body := range []string{line(1), "not json", line(2)} {
				resp, err := client.Post(url, "application/json", strings.NewReader(body))
				if !tt.ok {
					if err == nil {
						t.Fatal("a client without a certificate was let in")
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					t.Errorf("post %d: %s", i, resp.Status)
				}
			}
			if tt.ok {
				collect(t, s, 2)
				if c := s.Traffic(); c.Malformed != 1 {
					t.Errorf("counts %+v, want one malformed", c)
				}
			}
			client.CloseIdleConnections()
			s.Close()
			ended(t, s)
		})
	}
	if _, err := NewHTTP(endpoint.Server{Address: "0.0.0.0:0"}, false); err == nil || !strings.Contains(err.Error(), "mtls") {
		t.Errorf("open to the network without a word: %v", err)
	}
	taken, err := NewHTTP(endpoint.Server{Address: "127.0.0.1:0"}, false)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if _, err := NewHTTP(endpoint.Server{Address: taken.Addr().String()}, false); err == nil {
		t.Error("an address in use was accepted")
	}
}

// service answers each request with the next alert, as Falco does: it sends
// nothing without a request.
type service struct {
	outputs.UnimplementedServiceServer
}

func (service) Sub(stream outputs.Service_SubServer) error {
	for n := int64(1); ; n++ {
		if _, err := stream.Recv(); err != nil {
			return nil
		}
		_ = stream.Send(&outputs.Response{Rule: "no time"})
		_ = stream.Send(&outputs.Response{Rule: "an invalid time", Time: &timestamppb.Timestamp{Seconds: 1, Nanos: -1}})
		_ = stream.Send(&outputs.Response{Time: timestamppb.New(time.Unix(0, n))})
		err := stream.Send(&outputs.Response{
			Rule: "r", Time: timestamppb.New(time.Unix(0, n)), Hostname: "h", Source: "syscall",
			OutputFields: map[string]string{"thread.tid": "12", "proc.pid": "11"},
		})
		if err != nil {
			return err
		}
	}
}

func TestGRPC(t *testing.T) {
	ca := newCA(t)
	serverCert, serverKey := ca.issue(t, "localhost")
	clientCert, clientKey := ca.issue(t, "client")
	pair, err := tls.LoadX509KeyPair(serverCert, serverKey)
	if err != nil {
		t.Fatal(err)
	}
	mutual := credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool})
	socket := filepath.Join(t.TempDir(), "s")
	for _, tt := range []struct {
		name, network, address string
		options                []grpc.ServerOption
		from                   endpoint.Endpoint
		client                 endpoint.Client
	}{
		{"unix", "unix", socket, nil, endpoint.Endpoint{Kind: endpoint.GRPC, Path: socket}, endpoint.Client{}},
		{"mtls", "tcp", "localhost:0", []grpc.ServerOption{grpc.Creds(mutual)}, endpoint.Endpoint{Kind: endpoint.GRPC}, endpoint.Client{Cert: clientCert, Key: clientKey, CA: ca.file}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			listener, err := net.Listen(tt.network, tt.address)
			if err != nil {
				t.Fatal(err)
			}
			server := grpc.NewServer(tt.options...)
			outputs.RegisterServiceServer(server, service{})
			go server.Serve(listener)
			defer server.Stop()
			if a, ok := listener.Addr().(*net.TCPAddr); ok {
				tt.from.Address = fmt.Sprintf("localhost:%d", a.Port)
			}
			s, err := Open(t.Context(), tt.from, Options{Client: tt.client, PollingInterval: time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			batch, err := s.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			want := Alert{Time: 1, Received: batch[0].Received, Rule: "r", Priority: "EMERGENCY", Source: "syscall", Hostname: "h", PID: 11, TID: 12}
			if batch[0] != want {
				t.Errorf("got %+v, want %+v", batch[0], want)
			}
			if c := s.Traffic(); c.Malformed < 3 || !strings.Contains(c.LastError, "no time") {
				t.Errorf("%+v, want three malformed alerts", c)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestGRPCNobodyThere(t *testing.T) {
	_, err := NewGRPC(t.Context(), endpoint.Endpoint{Kind: endpoint.GRPC, Path: filepath.Join(t.TempDir(), "none")}, Options{Timeout: 20 * time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "since 0.44") {
		t.Errorf("error %v, want what to do", err)
	}
}

// authority signs certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
	file string
	dir  string
}

func newCA(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.key = newKey(t)
	a.cert = &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true,
		BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.file = a.write(t, "ca", "CERTIFICATE", der)
	a.pool = x509.NewCertPool()
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(parsed)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) issue(t *testing.T, name string) (cert, key string) {
	t.Helper()
	private := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, private.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return a.write(t, name+".crt", "CERTIFICATE", der), a.write(t, name+".key", "EC PRIVATE KEY", keyDER)
}

func (a *authority) write(t *testing.T, name, kind string, der []byte) string {
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// BenchmarkHTTP is one posted alert over a kept connection, client included.
func BenchmarkHTTP(b *testing.B) {
	s, err := NewHTTP(endpoint.Server{Address: "127.0.0.1:0"}, false)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	defer client.CloseIdleConnections()
	for b.Loop() {
		resp, err := client.Post("http://"+s.Addr().String()+"/", "application/json", strings.NewReader(sample))
		if err != nil {
			b.Fatal(err)
		}
		resp.Body.Close()
	}
	if c := s.Traffic(); c.Alerts < uint64(b.N) {
		b.Errorf("%d alerts of %d posts", c.Alerts, b.N)
	}
}

// Every road of the grammar can be opened and closed.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	for _, where := range []string{"http://127.0.0.1:0", "unix:" + filepath.Join(dir, "s"), "file:" + filepath.Join(dir, "f"), filepath.Join(dir, "g"), "stdin"} {
		from, err := endpoint.ParseAlerts(where)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Open(t.Context(), from, Options{Stdin: strings.NewReader(line(1))})
		if err != nil {
			t.Errorf("%s: %v", where, err)
			continue
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", where, err)
		}
	}
	for where, want := range map[string]string{
		"https://127.0.0.1:0":             "server certificate", // https is never served without one
		"http://0.0.0.0:0":                "from the network",
		"grpc://localhost:1":              "no answer",
		"grpc:" + filepath.Join(dir, "x"): "no answer",
	} {
		from, err := endpoint.ParseAlerts(where)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), from, Options{Timeout: 20 * time.Millisecond}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", where, err, want)
		}
	}
}
