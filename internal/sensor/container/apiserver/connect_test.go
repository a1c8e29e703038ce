package apiserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/container/rest"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// account is a directory with a token and the server's authority.
func account(t *testing.T, server *httptest.Server) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "token"), []byte("secret"))
	write(t, filepath.Join(dir, "ca.crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	return dir
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// certificate makes a client's certificate and its key.
func certificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sensor"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, filepath.Join(dir, "key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text}))
}

// Each form of credentials reaches a server over TLS unchanged.
func TestCredentials(t *testing.T) {
	seen := make(chan *http.Request, 10)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r }))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	defer server.Close()
	dir := account(t, server)
	certificate(t, dir)
	with := func(names ...string) string {
		for i := range names {
			names[i] = filepath.Join(dir, names[i])
		}
		return strings.Join(names, ":")
	}
	for name, tt := range map[string]struct {
		a    Address
		want string // Authorization, or the name of the certificate
	}{
		"token":       {Address{server.URL, with("token")}, "Bearer secret"},
		"certificate": {Address{server.URL, with("crt", "key", "ca.crt")}, "sensor"},
	} {
		c, err := tt.a.connect()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.whole.Get(t.Context(), "/x", nil); err == nil {
			t.Error("an empty answer is accepted")
		}
		r := <-seen
		got := r.Header.Get("Authorization")
		if certificates := r.TLS.PeerCertificates; len(certificates) > 0 {
			got = certificates[0].Subject.CommonName
		}
		if got != tt.want {
			t.Errorf("%s: the server sees %q, want %q", name, got, tt.want)
		}
	}

	// The server's certificate is verified.
	other := t.TempDir()
	write(t, filepath.Join(other, "token"), []byte("secret"))
	c, err := Address{server.URL, filepath.Join(other, "token")}.connect()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.whole.Get(t.Context(), "/x", nil); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown authority: %v", err)
	}
}

func TestPasswordInURL(t *testing.T) {
	seen := make(chan *http.Request, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r }))
	defer server.Close()
	a := Address{URL: strings.Replace(server.URL, "//", "//admin:word@", 1)}
	if strings.Contains(a.String(), "word") {
		t.Errorf("%s shows the password", a)
	}
	c, err := a.connect()
	if err != nil {
		t.Fatal(err)
	}
	_ = c.whole.Get(t.Context(), "/x", nil) // the answer is empty
	if user, password, _ := (<-seen).BasicAuth(); user != "admin" || password != "word" {
		t.Errorf("user %q, password %q", user, password)
	}
}

// Credentials go nowhere but to the server.
func TestRedirect(t *testing.T) {
	followed := make(chan *http.Request, 10)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { followed <- r }))
	defer other.Close()
	server := httptest.NewTLSServer(http.RedirectHandler(other.URL, http.StatusFound))
	defer server.Close()
	c, err := Address{server.URL, filepath.Join(account(t, server), "token")}.connect()
	if err != nil {
		t.Fatal(err)
	}
	for _, client := range []*rest.Client{c.whole, c.metadata} {
		if err := client.Get(t.Context(), "/x", nil); !errors.Is(err, rest.ErrAnswer) || len(followed) > 0 {
			t.Errorf("%v, %d requests elsewhere", err, len(followed))
		}
	}
}

// The error about unusable credentials names the cause, and shows no secret.
func TestBadCredentials(t *testing.T) {
	dir := t.TempDir()
	file, pipe := filepath.Join(dir, "x"), filepath.Join(dir, "pipe")
	write(t, file, nil)
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		a    Address
		want string
	}{
		"a pipe for a token": {Address{"https://localhost", pipe}, "not a regular file"},
		"a pipe for a key":   {Address{"https://localhost", file + ":" + pipe}, "no data from this pipe"},
		"an endless key":     {Address{"https://localhost", file + ":/dev/zero"}, "more than"},
		"no pod":             {Address{}, "of this pod"},
		"no file":            {Address{"https://localhost", filepath.Join(dir, "nosuch")}, "nosuch"},
		"no key":             {Address{"https://localhost", file + ":" + filepath.Join(dir, "nosuch")}, "nosuch"},
		"no authority":       {Address{"https://localhost", file + ":" + file + ":" + filepath.Join(dir, "nosuch")}, "nosuch"},
		"password":           {Address{"https://localhost", file + ":" + file + "#secret"}, "openssl pkey"},
		"four":               {Address{"https://localhost", "a:b:c:secret"}, "CERTIFICATE:KEY"},
		"no certificate":     {Address{"https://localhost", file + ":" + file}, "tls"},
		"a token":            {Address{"https://localhost", "secret.eyJhbGciOiJSUzI1NiJ9"}, "TOKEN: no such file"},
		"a long token":       {Address{"https://localhost", strings.Repeat("secret", 1000)}, "TOKEN: file name too long"},
		"a token in a path":  {Address{"https://localhost", "secret/x"}, "TOKEN: no such file"},
		"a token with colon": {Address{"https://localhost", "user:secret"}, "CERTIFICATE: no such file"},
		"secret as key":      {Address{"https://localhost", file + ":secret"}, "KEY: no such file"},
		"secret behind #":    {Address{"https://localhost", file + ":key#secret"}, "openssl pkey"},
		"secret as CA":       {Address{"https://localhost", file + ":" + file + ":secret"}, "CA: no such file"},
		"no URL":             {Address{"https://a b", ""}, "API server"},
		"no scheme":          {Address{"10.0.0.1:6443", file}, "API server: expected https://"},
		"in the clear":       {Address{"http://user:secret@10.0.0.1:6443", ""}, "API server: expected https://"},
		"user as scheme":     {Address{"user:secret@host:6443", ""}, "API server: expected https://"},
		"bad escape":         {Address{"https://user:secret%zz@host", ""}, "API server: expected https://"},
	} {
		_, err := c.a.connect()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", name, err, c.want)
		}
		if said := fmt.Sprint(err, New(Options{Address: c.a}).Status()); strings.Contains(said, "secret") {
			t.Errorf("%s: the secret is shown: %s", name, said)
		}
	}
}

// A file that is not there yet is looked for again: the sensor starts without.
func TestCredentialsCome(t *testing.T) {
	t.Parallel()
	c := newCluster()
	c.set(podsPath, list(pod("a", ofReplicaSet, web)))
	token := filepath.Join(t.TempDir(), "token")
	h := start(t, c, Address{Credentials: token})
	needs.Eventually(t, "an error", func() bool { return strings.Contains(h.Status().Error, "no such file") })
	write(t, token, []byte("secret"))
	h.next(t)
}
