package web

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func TestMain(m *testing.M) { leaks.Main(m) }

func options() Options {
	c := config.Default()
	c.Webserver.ListenPort, c.Webserver.Prometheus, c.Metrics.Enabled, c.Metrics.PerCPU, c.Metrics.LibbpfStats = 0, true, true, true, true
	return Options{
		Config: c.Webserver, Metrics: c.Metrics, Versions: VersionsOf("1.2.3", "0.62.0"), Log: slog.New(slog.DiscardHandler),
		Take: func(context.Context) (metrics.Snapshot, error) {
			return metrics.Snapshot{
				Time: 20e9, Start: 10e9, Elapsed: 10e9, Version: "1.2.3", Source: "syscall", EngineName: "modern_bpf", Host: metrics.Host{Name: "h\xff", CPUs: 2},
				RulesFiles: []metrics.FileSum{{Name: "/a/r.yaml", SHA256: "ab"}}, Events: 5,
				Probe:    metrics.Probe{Seen: 10, Unread: 6, Untranslated: 4, Drops: event.Drops{event.DropBuffer: {event.LostOpen: 3}}, PerCPU: []metrics.CPU{{Events: 10, Drops: 3}}},
				Audit:    &metrics.Audit{Bodies: 7, Bytes: 900, Events: 20, Malformed: 1, Refused: 2},
				Rules:    []metrics.Rule{{Name: "A \"rule\"", Priority: 4, Source: "syscall", Tags: []string{"T1555", "mitre-x", "mitre_x"}, Matches: 2, Evaluations: 9}, {Name: "B"}},
				Channels: []metrics.Channel{{Name: "file", Sent: 3, Dropped: 1, Overflow: 1, Latency: metrics.Latency{Counts: []uint64{1, 2}, Sum: time.Millisecond}}, {Name: "grpc"}},
				Programs: []metrics.Program{{Name: "sys.exit", Runs: 1, Time: 2}},
			}, nil
		},
	}
}

// start serves opt until the test ends and returns its base URL.
func start(t *testing.T, opt Options) string {
	t.Helper()
	s, err := Listen(opt)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return "http://" + s.listener.Addr().String()
}

// Serve ends when no answer reads the sensor any more. One that takes its time is
// told to give up.
func TestServeWaitsForAnswers(t *testing.T) {
	opt := options()
	began, asked, goOn, ended := make(chan bool), make(chan bool), make(chan bool), false
	opt.Take = func(ctx context.Context) (metrics.Snapshot, error) {
		close(began)
		<-ctx.Done()
		close(asked)
		<-goOn
		ended = true
		return metrics.Snapshot{}, ctx.Err()
	}
	s, err := Listen(opt)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Serve(ctx) }()
	c, err := net.Dial("tcp", s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /metrics HTTP/1.1\r\nHost: sensor\r\n\r\n")
	<-began
	cancel()
	<-asked
	close(goOn)
	if err := <-done; err != nil || !ended {
		t.Errorf("Serve: %v, the answer has ended: %v", err, ended)
	}
}

func get(t *testing.T, url string) (int, string, string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, r.Header.Get("Content-Type"), string(body)
}

func TestMetrics(t *testing.T) {
	_, contentType, body := get(t, start(t, options())+"/metrics")
	if !strings.HasPrefix(contentType, "text/plain; version=0.0.4") {
		t.Errorf("content type %q", contentType)
	}
	for _, want := range []string{
		`falcosecurity_falco_version_info{version="1.2.3"} 1`,
		`falcosecurity_evt_hostname_info{hostname="h` + "\uFFFD" + `"} 1`,
		`falcosecurity_falco_sha256_rules_files_info{file_name="r.yaml",sha256="ab"} 1`,
		`falcosecurity_scap_engine_name_info{engine_name="modern_bpf",evt_source="syscall"} 1`,
		`falcosecurity_falco_duration_seconds_total 10`,
		`falcosecurity_falco_outputs_queue_num_drops_total 1`,
		`falcosecurity_scap_n_evts_total 10`,
		`falcosecurity_scap_n_drops_buffer_total{dir="exit",drop="open"} 3`,
		`falcosecurity_scap_n_drops_cpu_total{cpu="0"} 3`,
		`falcosecurity_falco_rules_matches_total{priority="4",rule_name="A \"rule\"",source="syscall",tag_T1555="true",tag_mitre_x="true"} 2`,
		`peregrine_rule_evaluations_total{rule_name="A \"rule\""} 9`,
		`peregrine_output_alerts_total{channel="file",result="sent"} 3`,
		`peregrine_output_latency_seconds_bucket{channel="file",le="0.00025"} 3`,
		`peregrine_events_total{stage="processed"} 5`,
		`peregrine_arguments_unread_total 6`,
		`peregrine_syscalls_untranslated_total 4`,
		`peregrine_k8s_audit_events_total{result="malformed"} 1`,
		`peregrine_k8s_audit_requests_total{result="refused"} 2`,
		`falcosecurity_scap_sys_exit_run_cnt_total 1`,
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("missing: %s", want)
		}
	}
	if strings.Contains(body, `rule_name="B"`) {
		t.Error("a rule that never matched is there")
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Errorf("Prometheus cannot read it: %v", err)
	}
	for name, f := range families {
		if f.GetHelp() == "" {
			t.Errorf("%s has no help text", name)
		}
	}
	if t.Failed() {
		t.Log(body)
	}
}

// The table of series in the documentation is complete.
func TestMetricsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../../../docs/outputs.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range help {
		if strings.HasPrefix(name, "peregrine_") && !regexp.MustCompile("`"+name+"[`{]").Match(text) {
			t.Errorf("docs/outputs.md does not have %s", name)
		}
	}
}

func TestMetricsFail(t *testing.T) {
	opt := options()
	opt.Take = func(context.Context) (metrics.Snapshot, error) { return metrics.Snapshot{}, errors.New("boom") }
	if code, _, body := get(t, start(t, opt)+"/metrics"); code != 500 || !strings.Contains(body, "boom") {
		t.Errorf("%d %s", code, body)
	}
}

func TestHealthAndVersions(t *testing.T) {
	ready := errors.New("starting")
	opt := options()
	opt.Metrics.Enabled = false
	opt.Ready = func() error { return ready }
	url := start(t, opt)
	if code, _, body := get(t, url+"/healthz"); code != 503 || !strings.Contains(body, `"starting"`) {
		t.Errorf("%d %s", code, body)
	}
	ready = nil
	if code, contentType, body := get(t, url+"/healthz"); code != 200 || contentType != "application/json" || strings.TrimSpace(body) != `{"status":"ok"}` {
		t.Errorf("%d %s %s", code, contentType, body)
	}
	_, _, body := get(t, url+"/versions")
	var v Versions
	if err := json.Unmarshal([]byte(body), &v); err != nil || v.Falco != "1.2.3" || v.Engine != "62" || v.EngineSemver != "0.62.0" {
		t.Errorf("%s %v", body, err)
	}
	if code, _, _ := get(t, url+"/metrics"); code != 404 {
		t.Errorf("/metrics without metrics.enabled: %d", code)
	}
}

// Whatever others hold open, a health check is answered: connections that send
// nothing, half a request, or read no answer, many more than are kept.
func TestHealthBesideSlowClients(t *testing.T) {
	base := start(t, options())
	address := strings.TrimPrefix(base, "http://")
	for i := range 10 * maxConnections {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, []string{"", "GET /healthz HT", "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nX: "}[i%4])
		if i%32 != 0 {
			continue
		}
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: needs.Patience}
		r, err := client.Get(base + "/healthz")
		if err != nil {
			t.Fatalf("beside %d others: %v", i+1, err)
		}
		r.Body.Close()
		if r.StatusCode != http.StatusOK {
			t.Errorf("beside %d others: %s", i+1, r.Status)
		}
	}
}

// The peer that has most connections loses one, the oldest that asks nothing.
func TestGuard(t *testing.T) {
	g := &guard{}
	conn := func(peer string) *guardedConn { return &guardedConn{guard: g, peer: peer} }
	quiet := conn("quiet")
	g.add(quiet)
	var loud []*guardedConn
	for range maxConnections - 1 {
		loud = append(loud, conn("loud"))
		if victim := g.add(loud[len(loud)-1]); victim != nil {
			t.Fatal("one goes too early")
		}
	}
	loud[0].busy = true
	if victim := g.add(conn("new")); victim != loud[1] {
		t.Errorf("the wrong one goes: %+v", victim)
	}
	for _, c := range g.open {
		c.busy = true
	}
	// No peer reads its answers when a health check arrives.
	check := conn("loud")
	if victim := g.add(check); victim == nil || victim.peer != "loud" || victim == check {
		t.Errorf("the wrong one goes: %+v", victim)
	}
}

// The health check's path may be any text.
func TestHealthPaths(t *testing.T) {
	for _, path := range []string{"/", "/{", "/{x}", "/a b", "/metrics", "/versions", "//x", "/%41"} {
		opt := options()
		opt.Config.HealthEndpoint = path
		w := httptest.NewRecorder()
		handler(t.Context(), opt).ServeHTTP(w, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: path}})
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"status":"ok"`) {
			t.Errorf("%q: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestTLS(t *testing.T) {
	file := filepath.Join(t.TempDir(), "falco.pem")
	pool := selfSigned(t, file)
	opt := options()
	opt.Config.SSLEnabled, opt.Config.SSLCertificate = true, file
	url := strings.Replace(start(t, opt), "http:", "https:", 1)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	defer transport.CloseIdleConnections()
	r, err := (&http.Client{Transport: transport}).Get(url + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	opt.Config.SSLCertificate = "/nonexistent.pem"
	if _, err := Listen(opt); err == nil || !strings.Contains(err.Error(), "webserver.ssl_certificate") {
		t.Errorf("error %v", err)
	}
}

func selfSigned(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})...)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return pool
}
