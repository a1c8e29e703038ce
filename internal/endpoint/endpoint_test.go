package endpoint

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

func TestAlerts(t *testing.T) {
	for text, want := range map[string]Endpoint{
		"grpc":                   {Kind: GRPC},
		"grpc:/run/falco.sock":   {Kind: GRPC, Path: "/run/falco.sock"},
		"grpc:///run/falco.sock": {Kind: GRPC, Path: "/run/falco.sock"},
		"grpc://node:5060":       {Kind: GRPC, Address: "node:5060"},
		"http":                   {Kind: HTTP, Address: "localhost:8080"},
		"http://127.0.0.1:0":     {Kind: HTTP, Address: "127.0.0.1:0"},
		"http://[::1]:8080/":     {Kind: HTTP, Address: "[::1]:8080"},
		"https://0.0.0.0:8443":   {Kind: HTTP, Address: "0.0.0.0:8443", TLS: true},
		"unix:/run/a.sock":       {Kind: Unix, Path: "/run/a.sock"},
		"unix:///run/a.sock":     {Kind: Unix, Path: "/run/a.sock"},
		"file:alerts":            {Kind: File, Path: "alerts"},
		"file:///var/log/a.json": {Kind: File, Path: "/var/log/a.json"},
		"/var/log/a.json":        {Kind: File, Path: "/var/log/a.json"},
		"/var/log/10:00/a.json":  {Kind: File, Path: "/var/log/10:00/a.json"},
		"alerts.json":            {Kind: File, Path: "alerts.json"},
		"stdin":                  {Kind: Stdin},
		"-":                      {Kind: Stdin},
	} {
		got, err := ParseAlerts(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", text, diff)
		}
	}
	for _, text := range []string{"", "htp", "http:", "http://", "http://host", "http://host:1/path", "http:host:1", "smoke:signals", "smoke://host:1", "file:", "unix://", "grpc:", "grpc://host", "/"} {
		if e, err := ParseAlerts(text); err == nil || !strings.Contains(err.Error(), "expected grpc") {
			t.Errorf("%q is read as %+v, %v", text, e, err)
		}
	}
}

func TestStats(t *testing.T) {
	for text, want := range map[string]Endpoint{
		"http://localhost:8765/metrics": {Kind: HTTP, Address: "http://localhost:8765/metrics"},
		"https://node/metrics":          {Kind: HTTP, Address: "https://node/metrics", TLS: true},
		"/var/log/stats.json":           {Kind: File, Path: "/var/log/stats.json"},
		"file:stats":                    {Kind: File, Path: "stats"},
		"stats.json":                    {Kind: File, Path: "stats.json"},
	} {
		got, err := ParseStats(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", text, diff)
		}
	}
	for _, text := range []string{"", "stats", "stats:8765", "http:", "http://", "file:", "//"} {
		if e, err := ParseStats(text); err == nil || !strings.Contains(err.Error(), "expected http") {
			t.Errorf("%q is read as %+v, %v", text, e, err)
		}
	}
}

// Whatever is read is written as something that is read alike.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"grpc", "grpc:///a", "http://[::1]:1", "file://x", "unix:a", "-", "/a:b", "https://a:1/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, parse := range []func(string) (Endpoint, error){ParseAlerts, ParseStats} {
			e, err := parse(s)
			if err != nil {
				continue
			}
			if again, err := parse(e.String()); err != nil || again != e {
				t.Errorf("%q is %+v, written %q, read as %+v, %v", s, e, e.String(), again, err)
			}
		}
	})
}

func TestTLS(t *testing.T) {
	plain, err := Client{}.Config("node")
	if err != nil || plain.InsecureSkipVerify || plain.ServerName != "node" {
		t.Errorf("the default does not verify: %+v, %v", plain, err)
	}
	if said, err := (Client{Insecure: true}).Config(""); err != nil || !said.InsecureSkipVerify {
		t.Errorf("the flag is not heeded: %v", err)
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, err := range map[string]error{
		"CA of the server: read " + pipe + ": no data from this pipe":   configError(Client{CA: pipe}.Config("")),
		"client certificate: read " + pipe + ": no data from this pipe": configError(Client{Cert: pipe, Key: pipe}.Config("")),
		"server certificate: read " + pipe + ": no data from this pipe": configError(Server{Security: "tls", Cert: pipe}.Config()),

		"both a certificate": configError(Client{Cert: "a"}.Config("")),
		"no such file":       configError(Client{CA: "/nowhere"}.Config("")),
		"no certificate":     configError(Client{CA: "tls.go"}.Config("")),
		"from the network":   configError(Server{Address: "0.0.0.0:1"}.Config()),
		"unknown security":   configError(Server{Security: "maybe"}.Config()),
		"server certificate": configError(Server{Security: "tls"}.Config()),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// Certificates that are there are used, and mtls asks those of clients for one.
func TestCertificates(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert, secret := filepath.Join(t.TempDir(), "cert"), filepath.Join(t.TempDir(), "key")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, secret: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	client, err := Client{CA: cert, Cert: cert, Key: secret}.Config("")
	if err != nil || client.RootCAs == nil || len(client.Certificates) != 1 {
		t.Errorf("client: %+v, %v", client, err)
	}
	one, err := Server{Security: "tls", Cert: cert, Key: secret}.Config()
	if err != nil || one.ClientAuth != tls.NoClientCert || len(one.Certificates) != 1 {
		t.Errorf("tls: %+v, %v", one, err)
	}
	both, err := Server{Security: "mtls", Cert: cert, Key: secret, ClientCA: cert}.Config()
	if err != nil || both.ClientAuth != tls.RequireAndVerifyClientCert || both.ClientCAs == nil {
		t.Errorf("mtls: %+v, %v", both, err)
	}
	if both, err := (Server{Security: "mtls", Cert: cert, Key: secret}).Config(); err == nil || !strings.Contains(err.Error(), "client CA") {
		t.Errorf("mtls without a CA: %+v, %v", both, err)
	}
}

func configError[T any](_ T, err error) error { return err }
