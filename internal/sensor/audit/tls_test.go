package audit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// issuer signs certificates for a test.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue returns a certificate with its key, signed by ca, or by itself.
func issue(t *testing.T, ca *issuer, usage x509.ExtKeyUsage) (*issuer, tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}
	parent, signer := template, key
	if ca == nil {
		template.IsCA, template.BasicConstraintsValid, template.ExtKeyUsage = true, true, nil
	} else {
		parent, signer = ca.cert, ca.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{cert, key}, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// save writes a certificate, and its key if it is a server's, as PEM.
func save(t *testing.T, name string, i *issuer, withKey bool) string {
	t.Helper()
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw})
	if withKey {
		der, err := x509.MarshalPKCS8PrivateKey(i.key)
		if err != nil {
			t.Fatal(err)
		}
		text = append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), text...)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWebhookTLS(t *testing.T) {
	ca, _ := issue(t, nil, 0)
	other, _ := issue(t, nil, 0)
	server, _ := issue(t, ca, x509.ExtKeyUsageServerAuth)
	_, good := issue(t, ca, x509.ExtKeyUsageClientAuth)
	_, foreign := issue(t, other, x509.ExtKeyUsageClientAuth)
	_, noClient := issue(t, ca, x509.ExtKeyUsageServerAuth)
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	for _, tt := range []struct {
		name   string
		mutual bool
		client []tls.Certificate
		status int
		answer string
	}{
		{"server only", false, nil, 200, ""},
		{"mutual", true, []tls.Certificate{good}, 200, ""},
		{"no certificate", true, nil, 403, "send with a client certificate"},
		{"another authority", true, []tls.Certificate{foreign}, 403, "unknown authority"},
		{"a server's certificate", true, []tls.Certificate{noClient}, 403, "incompatible key usage"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{Open: "https://127.0.0.1:0/k8s-audit", Certificate: save(t, "server.pem", server, true), Limits: testLimits}
			if tt.mutual {
				o.ClientCA = save(t, "ca.pem", ca, false)
			}
			run := start(t, o, ruleset(t, false, verbRules))
			// As a client that ignores which authorities the server names.
			config := &tls.Config{RootCAs: roots, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if len(tt.client) == 0 {
					return &tls.Certificate{}, nil
				}
				return &tt.client[0], nil
			}}
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
			defer client.CloseIdleConnections()
			resp, err := client.Post("https://"+run.Address+"/k8s-audit", "application/json", strings.NewReader(event("get")))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			answer, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != tt.status || !strings.Contains(string(answer), tt.answer) {
				t.Errorf("%d %s, want %d %s", resp.StatusCode, answer, tt.status, tt.answer)
			}
			if got := len(run.seen()); (got == 1) != (tt.status == 200) {
				t.Errorf("%d alerts", got)
			}
		})
	}
}

func TestWebhookTLSErrors(t *testing.T) {
	ca, _ := issue(t, nil, 0)
	server := save(t, "server.pem", ca, true)
	for clientCA, want := range map[string]string{"/nowhere": "client_ca: open /nowhere", write(t, "ca", "nothing"): "no certificate in it"} {
		o := Options{Open: "https://127.0.0.1:0/k8s-audit", Certificate: server, ClientCA: clientCA, Limits: testLimits, Log: slog.New(slog.DiscardHandler)}
		if _, err := Open(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
