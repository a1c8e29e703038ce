package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/endpoint"
)

// check reports errors between keys, beyond the type of each.
func (c *Config) check(t *tree) {
	fail := func(key, format string, args ...any) {
		t.issues = append(t.issues, Issue{Severity: Error, Place: t.whereIs(key), Key: key, Text: fmt.Sprintf(format, args...)})
	}
	c.checkEngine(fail)
	c.checkContainers(fail)
	c.checkChannels(fail)
	c.checkGRPC(fail)
	c.checkServer(fail)
	c.checkKubernetes(fail)
}

// whereIs is the place of a key, or of the nearest parent that was given.
func (t *tree) whereIs(key string) string {
	for {
		if n := find(t.root, key); n != nil {
			return t.place(n)
		}
		i := strings.LastIndexByte(key, '.')
		if i < 0 {
			return ""
		}
		key = key[:i]
	}
}

type failFunc func(key, format string, args ...any)

func (c *Config) checkEngine(fail failFunc) {
	if c.Engine.Kind == "replay" && c.Engine.Replay.CaptureFile == "" {
		fail("engine.replay.capture_file", "kind replay needs the path of a .scap file")
	}
	if c.Capture.Enabled && c.Capture.PathPrefix == "" {
		fail("capture.path_prefix", "expected the start of the path of files, for example /tmp/falco")
	}
	if slices.Contains(c.Drops.Actions, "ignore") && len(c.Drops.Actions) > 1 {
		fail("syscall_event_drops.actions", "ignore excludes the other actions")
	}
}

func (c *Config) checkChannels(fail failFunc) {
	if c.File.Enabled && c.File.Filename == "" {
		fail("file_output.filename", "expected the path of a file")
	}
	if c.Program.Enabled && strings.TrimSpace(c.Program.Program) == "" {
		fail("program_output.program", "expected a command line")
	}
	if c.HTTP.Enabled {
		u, err := url.Parse(c.HTTP.URL)
		switch {
		case err != nil:
			fail("http_output.url", "%v", err)
		case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
			fail("http_output.url", "expected http://HOST[:PORT]/PATH or https://..., found %q", c.HTTP.URL)
		}
		if strings.ContainsAny(c.HTTP.UserAgent, "\r\n") {
			fail("http_output.user_agent", "must not contain line breaks")
		}
	}
}

// checkGRPC refuses addresses that would serve alerts without mutual TLS.
func (c *Config) checkGRPC(fail failFunc) {
	if !c.GRPC.Enabled {
		if c.GRPCOutput.Enabled {
			fail("grpc_output.enabled", "needs grpc.enabled: true too")
		}
		return
	}
	if path, ok := c.GRPC.UnixSocket(); ok {
		// sun_path holds 108 bytes with its terminator: unix(7).
		if !strings.HasPrefix(path, "/") || len(path) > 107 {
			fail("grpc.bind_address", "expected unix:/// and an absolute path of at most 107 bytes, found %q", c.GRPC.BindAddress)
		}
		return
	}
	if _, _, err := net.SplitHostPort(c.GRPC.BindAddress); err != nil {
		fail("grpc.bind_address", "expected unix:///PATH or ADDRESS:PORT, found %q", c.GRPC.BindAddress)
	}
	for key, file := range map[string]string{
		"grpc.private_key": c.GRPC.PrivateKey, "grpc.cert_chain": c.GRPC.CertChain, "grpc.root_certs": c.GRPC.RootCerts,
	} {
		if file == "" {
			fail(key, "expected a file: %s is served with mutual TLS only", c.GRPC.BindAddress)
		}
	}
}

func (c *Config) checkServer(fail failFunc) {
	if _, err := netip.ParseAddr(strings.Trim(c.Webserver.ListenAddress, "[]")); err != nil {
		fail("webserver.listen_address", "expected an IP address, found %q", c.Webserver.ListenAddress)
	}
	if !strings.HasPrefix(c.Webserver.HealthEndpoint, "/") {
		fail("webserver.k8s_healthz_endpoint", "expected a path that starts with /, found %q", c.Webserver.HealthEndpoint)
	}
	if c.Metrics.Enabled && !c.Metrics.OutputRule && c.Metrics.OutputFile == "" && !(c.Webserver.Enabled && c.Webserver.Prometheus) {
		fail("metrics.enabled", "metrics have nowhere to go; set output_rule, output_file or webserver.prometheus_metrics_enabled")
	}
}

// UnixSocket is the path in bind_address, if it names a unix socket.
func (g GRPC) UnixSocket() (string, bool) {
	path, ok := strings.CutPrefix(g.BindAddress, "unix:")
	if !ok {
		return "", false
	}
	if rest, ok := strings.CutPrefix(path, "//"); ok {
		path = rest
	}
	return path, true
}

// Kubernetes says how the API server is asked.
type Kubernetes struct {
	Enabled     bool   `yaml:"enabled" doc:"Query it, if api_server is set or the sensor runs in a pod with a service account."`
	APIServer   string `yaml:"api_server" doc:"Its URL: https://[USER:PASSWORD@]HOST[:PORT], or http:// on this host only. Empty: from the pod's service account."`
	Credentials string `yaml:"credentials" doc:"TOKEN, the file of a bearer token, or CERTIFICATE:KEY or CERTIFICATE:KEY:CA, PEM files. Without CA, the server's certificate is verified with the file ca.crt in the token's directory, or else with the machine's authorities. Empty: from the pod's service account."`
	Node        string `yaml:"node" doc:"Name of this node in the cluster. Empty: FALCO_K8S_NODE_NAME, else FALCO_HOSTNAME, else the host name."`
}

func (c *Config) checkKubernetes(fail failFunc) {
	k := c.Peregrine.Kubernetes
	if !k.Enabled || k.APIServer == "" {
		return
	}
	if _, err := endpoint.ParseAPIServer(k.APIServer); err != nil {
		fail("peregrine.kubernetes.api_server", "%v", err)
	}
}
