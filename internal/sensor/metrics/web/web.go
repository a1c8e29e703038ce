// Package web serves the sensor's health, versions and Prometheus metrics by
// HTTP, with Falco's paths and names. It takes a snapshot per request and
// holds no state of its own.
package web

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/peregrine-sec/peregrine/internal/linux/anyfile"
	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics/serve"
)

// Options say what to serve.
type Options struct {
	Config  config.Webserver
	Metrics config.Metrics
	// Take returns a snapshot of now. It gives up when its context ends.
	Take func(context.Context) (metrics.Snapshot, error)
	// Ready returns nil once the sensor sees events; nil: always.
	Ready    func() error
	Versions Versions
	Log      *slog.Logger
}

// Versions is the answer of /versions, in Falco's words.
type Versions struct {
	Falco          string            `json:"falco_version"`
	Libs           string            `json:"libs_version"`
	PluginAPI      string            `json:"plugin_api_version"`
	DriverAPI      string            `json:"driver_api_version"`
	DriverSchema   string            `json:"driver_schema_version"`
	DefaultDriver  string            `json:"default_driver_version"`
	Engine         string            `json:"engine_version"`        // the minor number
	EngineSemver   string            `json:"engine_version_semver"` // in full
	PluginVersions map[string]string `json:"plugin_versions"`
}

// pluginAPI is the version of the interface of plugins in Falco 0.44, for tools
// that parse it; no plugins are loaded.
const pluginAPI = "3.12.0"

// VersionsOf describes a build: its version, and that of the rule language.
// All versions are semantic ones, as tools expect.
func VersionsOf(version, engine string) Versions {
	version = semantic(version)
	minor := engine
	if parts := strings.Split(engine, "."); len(parts) == 3 {
		minor = parts[1]
	}
	return Versions{
		Falco: version, Libs: version, PluginAPI: pluginAPI, DriverAPI: version, DriverSchema: version, DefaultDriver: version,
		Engine: minor, EngineSemver: engine, PluginVersions: map[string]string{},
	}
}

var (
	semver   = regexp.MustCompile(`^v?(\d+\.\d+\.\d+([-+].*)?)$`)
	noSemver = regexp.MustCompile(`[^0-9A-Za-z]+`)
)

// semantic is the version, or, for a build between versions, one before all
// others that names it.
func semantic(version string) string {
	if m := semver.FindStringSubmatch(version); m != nil {
		return m[1]
	}
	return "0.0.0-dev." + strings.Trim("x-"+noSemver.ReplaceAllString(version, "-"), "-")
}

// Server is a listening web server.
type Server struct {
	*serve.Server
	listener net.Listener
}

// Listen opens the address; Serve answers.
func Listen(opt Options) (*Server, error) {
	c := opt.Config
	address := net.JoinHostPort(strings.Trim(c.ListenAddress, "[]"), strconv.Itoa(c.ListenPort))
	var settings *tls.Config
	if c.SSLEnabled {
		pair, err := anyfile.KeyPair(c.SSLCertificate, c.SSLCertificate)
		if err != nil {
			return nil, fmt.Errorf("webserver.ssl_certificate: expected certificate and key in one PEM file: %w", err)
		}
		settings = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("webserver: %w", err)
	}
	l = &guard{Listener: l}
	if settings != nil {
		l = tls.NewListener(l, settings)
	}
	return &Server{serve.New("webserver", l, &http.Server{
		ConnContext:       remember,
		ReadHeaderTimeout: 2 * time.Second, ReadTimeout: 5 * time.Second,
		WriteTimeout: 10 * time.Second, IdleTimeout: 30 * time.Second,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       slog.NewLogLogger(opt.Log.Handler(), slog.LevelDebug),
	}, func(ctx context.Context) http.Handler { return busy(handler(ctx, opt)) }), l}, nil
}

// handler answers by path, not by a pattern: the path of the health check is
// any text that the configuration has, and comes before the others.
func handler(ctx context.Context, opt Options) http.Handler {
	counters := http.NotFoundHandler()
	if opt.Metrics.Enabled && opt.Config.Prometheus {
		registry := prometheus.NewRegistry()
		registry.MustRegister(collector{func() (metrics.Snapshot, error) { return opt.Take(ctx) }, opt.Metrics})
		counters = promhttp.HandlerFor(registry, promhttp.HandlerOpts{
			ErrorLog:            slog.NewLogLogger(opt.Log.Handler(), slog.LevelWarn),
			MaxRequestsInFlight: 4,
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		known := r.URL.Path == opt.Config.HealthEndpoint || r.URL.Path == "/versions" || r.URL.Path == "/metrics"
		switch {
		case known && r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
		case r.URL.Path == opt.Config.HealthEndpoint:
			health(w, opt.Ready)
		case r.URL.Path == "/versions":
			answer(w, http.StatusOK, opt.Versions)
		case r.URL.Path == "/metrics":
			counters.ServeHTTP(w, r)
		default:
			http.NotFound(w, r)
		}
	})
}

func health(w http.ResponseWriter, ready func() error) {
	status, code := "ok", http.StatusOK
	if ready != nil {
		if err := ready(); err != nil {
			status, code = err.Error(), http.StatusServiceUnavailable
		}
	}
	answer(w, code, map[string]string{"status": status})
}

func answer[T map[string]string | Versions](w http.ResponseWriter, code int, body T) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // the client has gone if this fails
}
