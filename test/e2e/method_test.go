package e2e

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/falcosecurity/client-go/pkg/api/outputs"
	"github.com/falcosecurity/client-go/pkg/api/schema"
	"github.com/falcosecurity/client-go/pkg/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// methodConfig is falco.yaml as the published performance test wants it, with
// the places filled in: alerts over gRPC, no limit on their rate.
const methodConfig = `
watch_config_files: false
grpc:
  enabled: true
  bind_address: %q
  threadiness: 0
  private_key: %[2]s/server.key
  cert_chain: %[2]s/server.crt
  root_certs: %[2]s/ca.crt
grpc_output:
  enabled: true
outputs:
  rate: 1000000000
  max_burst: 1000000000
`

// startMethod runs the sensor with the command line of the published test.
func startMethod(t *testing.T, dir, address string) (s *sensor, stats string) {
	t.Helper()
	file := filepath.Join(dir, "falco.yaml")
	write(t, file, fmt.Sprintf(methodConfig, address, dir))
	stats = filepath.Join(dir, "falco.txt")
	return startSensor(t, "-c", file, "-s", stats, "--stats-interval", "1000", "--cri", filepath.Join(dir, "containerd.sock"),
		"-K", filepath.Join(dir, "token"), "-k", "https://127.0.0.1", "-pk"), stats
}

// The client that event-generator uses gets alerts over the unix socket, and
// the statistics file has a line a second in the form that people know.
func TestMethodOverUnixSocket(t *testing.T) {
	requireBPF(t)
	dir := t.TempDir()
	address := "unix://" + filepath.Join(dir, "falco.sock")
	_, stats := startMethod(t, dir, address)
	receive(t, &client.Config{UnixSocketPath: address})
	needs.Eventually(t, "three lines of statistics", func() bool {
		text, err := os.ReadFile(stats)
		return err == nil && strings.Count(string(text), "\n") >= 3
	})
	lines := bufio.NewScanner(strings.NewReader(read(t, stats)))
	for sample := 1; lines.Scan() && sample <= 3; sample++ {
		var line struct {
			Sample     int
			Cur, Delta *struct{ Events, Drops, Preemptions *uint64 }
			DropPct    *float64 `json:"drop_pct"`
		}
		if err := json.Unmarshal([]byte(strings.TrimSuffix(lines.Text(), ",")), &line); err != nil {
			t.Fatalf("%v: %s", err, lines.Text())
		}
		if line.Sample != sample || line.Cur == nil || line.Cur.Events == nil || line.Delta == nil || line.Delta.Drops == nil || line.DropPct == nil {
			t.Errorf("line %d of the statistics: %s", sample, lines.Text())
		}
	}
}

// The same over the network with mutual TLS; a client without a certificate, or
// with a foreign one, gets nothing.
func TestMethodOverMutualTLS(t *testing.T) {
	requireBPF(t)
	dir := t.TempDir()
	ca := newAuthority(t, dir, "ca")
	ca.issue(t, "server", "localhost")
	ca.issue(t, "client", "client")
	other := newAuthority(t, dir, "other")
	other.issue(t, "stranger", "client")
	port := freePort(t)
	startMethod(t, dir, fmt.Sprintf("127.0.0.1:%d", port))
	receive(t, &client.Config{
		Hostname: "localhost", Port: port, CARootFile: filepath.Join(dir, "ca.crt"),
		CertFile: filepath.Join(dir, "client.crt"), KeyFile: filepath.Join(dir, "client.key"),
	})
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	stranger, err := tls.LoadX509KeyPair(filepath.Join(dir, "stranger.crt"), filepath.Join(dir, "stranger.key"))
	if err != nil {
		t.Fatal(err)
	}
	for name, config := range map[string]*tls.Config{
		"without certificate":               {ServerName: "localhost", RootCAs: pool},
		"with a certificate of another one": {ServerName: "localhost", RootCAs: pool, Certificates: []tls.Certificate{stranger}},
	} {
		t.Run(name, func(t *testing.T) { refused(t, port, config) })
	}
}

// receive waits for an alert about a process of its own.
func receive(t *testing.T, config *client.Config) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := client.NewForConfig(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	service, err := c.Outputs()
	if err != nil {
		t.Fatal(err)
	}
	stream, err := service.Sub(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&outputs.Request{}); err != nil {
		t.Fatal(err)
	}
	reader := filepath.Join(t.TempDir(), fmt.Sprintf("reader-%d", os.Getpid()))
	if cat, err := exec.LookPath("cat"); err != nil {
		t.Fatal(err)
	} else if err := os.Symlink(cat, reader); err != nil {
		t.Fatal(err)
	}
	go func() {
		for ctx.Err() == nil {
			_ = exec.CommandContext(ctx, reader, "/etc/shadow").Run() // a failure shows by its missing alert
			select {
			case <-time.After(again):
			case <-ctx.Done():
			}
		}
	}()
	for {
		response, err := stream.Recv()
		if err != nil {
			t.Fatalf("no alert about %s: %v", reader, err)
		}
		if response.OutputFields["proc.name"] == filepath.Base(reader) && response.Rule == "Read sensitive file untrusted" {
			if response.OutputFields["fd.name"] != "/etc/shadow" || response.Hostname == "" || response.Priority != schema.Priority_WARNING {
				t.Errorf("alert %v", response)
			}
			return
		}
	}
}

// refused checks that a client with this configuration gets no alert.
func refused(t *testing.T, port uint16, config *tls.Config) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := grpc.NewClient(fmt.Sprintf("localhost:%d", port), grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream, err := outputs.NewServiceClient(conn).Sub(ctx)
	if err == nil {
		_, err = stream.Recv()
	}
	if err == nil {
		t.Fatal("it was served")
	}
	// A refusal may look like a reset or an end of the stream from this side of
	// TLS 1.3, but it must not be our own time-out.
	if ctx.Err() != nil || status.Code(err).String() != "Unavailable" {
		t.Errorf("refused with %v", err)
	}
}

func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// authority signs certificates for tests.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, dir, name string) *authority {
	t.Helper()
	a := &authority{dir: dir}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert, a.key = sign(t, filepath.Join(dir, name), template, nil)
	return a
}

// issue makes NAME.crt and NAME.key in the authority's directory.
func (a *authority) issue(t *testing.T, name, host string) {
	t.Helper()
	sign(t, filepath.Join(a.dir, name), &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a)
}

// sign writes PATH.crt and PATH.key, signed by the authority or by itself.
func sign(t *testing.T, path string, template *x509.Certificate, by *authority) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, parentKey := template, key
	if by != nil {
		parent, parentKey = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path+".crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, path+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}
