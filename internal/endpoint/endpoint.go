// Package endpoint parses the addresses of a sensor's alerts and statistics, and
// defines the TLS rule for all of them: certificates are verified unless a flag
// says otherwise.
//
// Alerts:
//
//	grpc                 the sensor's gRPC socket in one of its usual places
//	grpc:PATH            the socket at PATH (Falco up to 0.43)
//	grpc://HOST:PORT     the sensor's gRPC server, with mutual TLS
//	http                 listen at localhost:8080 for the sensor's http_output
//	http://HOST:PORT     listen there; https:// with TLS
//	unix:PATH            listen for JSON lines on a unix socket
//	file:PATH, or PATH   follow the file that the sensor appends to
//	stdin, or -          read JSON lines from standard input
//
// Statistics:
//
//	http://..., https://...   a Prometheus endpoint
//	file:PATH, or PATH        Falco's -s file or metrics.output_file
//
// The Kubernetes API server, which the sensor asks about pods:
//
//	https://[USER:PASSWORD@]HOST[:PORT][/PATH]
package endpoint

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// Kind is the way in which alerts or statistics arrive.
type Kind string

const (
	GRPC  Kind = "grpc"
	HTTP  Kind = "http"
	Unix  Kind = "unix"
	File  Kind = "file"
	Stdin Kind = "stdin"
)

// DefaultAddress is where event-generator's users let http_output post to.
const DefaultAddress = "localhost:8080"

// Endpoint is one source.
type Endpoint struct {
	Kind Kind
	// Path of a file or socket. A GRPC endpoint with neither Path nor Address
	// is one of the usual sockets.
	Path string
	// Address is HOST:PORT of GRPC or HTTP for alerts, a whole URL of HTTP for
	// statistics.
	Address string
	TLS     bool // https
}

const alertsGrammar = "expected grpc, grpc:PATH, grpc://HOST:PORT, http, http://HOST:PORT, https://HOST:PORT, unix:PATH, file:PATH or stdin"

// ParseAlerts reads where alerts come from.
func ParseAlerts(s string) (Endpoint, error) {
	e, ok := parseAlerts(s)
	if !ok {
		return e, fmt.Errorf("alerts from %q: %s", s, alertsGrammar)
	}
	return e, nil
}

func parseAlerts(s string) (e Endpoint, ok bool) {
	switch s {
	case "grpc":
		return Endpoint{Kind: GRPC}, true
	case "http":
		return Endpoint{Kind: HTTP, Address: DefaultAddress}, true
	case "stdin", "-":
		return Endpoint{Kind: Stdin}, true
	}
	scheme, rest, found := strings.Cut(s, ":")
	authority, network := strings.CutPrefix(rest, "//")
	switch {
	case !found:
		return Endpoint{Kind: File, Path: s}, looksLikePath(s)
	case scheme == "file":
		return Endpoint{Kind: File, Path: strings.TrimPrefix(rest, "//")}, strings.Trim(rest, "/") != ""
	case scheme == "unix":
		return Endpoint{Kind: Unix, Path: strings.TrimPrefix(rest, "//")}, strings.Trim(rest, "/") != ""
	case scheme == "grpc" && (!network || strings.HasPrefix(authority, "/")):
		path := strings.TrimPrefix(strings.TrimPrefix(rest, "//"), "unix:")
		return Endpoint{Kind: GRPC, Path: path}, strings.Trim(path, "/") != ""
	case scheme == "grpc":
		return Endpoint{Kind: GRPC, Address: authority}, isAddress(authority)
	case (scheme == "http" || scheme == "https") && network:
		address := strings.TrimSuffix(authority, "/")
		return Endpoint{Kind: HTTP, Address: address, TLS: scheme == "https"}, isAddress(address)
	}
	// A path may have a colon in it.
	return Endpoint{Kind: File, Path: s}, strings.HasPrefix(s, "/")
}

// ParseStats reads where statistics come from.
func ParseStats(s string) (Endpoint, error) {
	scheme, rest, found := strings.Cut(s, ":")
	switch {
	case scheme == "http" && found, scheme == "https" && found:
		if u, err := url.Parse(s); err == nil && u.Host != "" {
			return Endpoint{Kind: HTTP, Address: s, TLS: scheme == "https"}, nil
		}
	case scheme == "file" && found:
		if path := strings.TrimPrefix(rest, "//"); strings.Trim(path, "/") != "" {
			return Endpoint{Kind: File, Path: path}, nil
		}
	case looksLikePath(s):
		return Endpoint{Kind: File, Path: s}, nil
	}
	return Endpoint{}, fmt.Errorf("statistics from %q: expected http://HOST:PORT/metrics, https://... or the path of a file", s)
}

// looksLikePath tells a file from a misspelt word.
func looksLikePath(s string) bool { return strings.ContainsAny(s, "/.") && strings.Trim(s, "/") != "" }

func isAddress(s string) bool {
	_, port, err := net.SplitHostPort(s)
	return err == nil && port != "" && !strings.ContainsAny(s, "/?#@ ")
}

// String is the endpoint as ParseAlerts and ParseStats read it.
func (e Endpoint) String() string {
	scheme := string(e.Kind)
	switch {
	case e.Kind == HTTP && strings.Contains(e.Address, "://"):
		return e.Address
	case e.Kind == HTTP && e.TLS:
		return "https://" + e.Address
	case e.Address != "":
		return scheme + "://" + e.Address
	case strings.HasPrefix(e.Path, "//"): // the first two would be read as the scheme's
		return scheme + "://" + e.Path
	case e.Path != "":
		return scheme + ":" + e.Path
	}
	return scheme
}

// ParseAPIServer reads the URL of a Kubernetes API server. The server is sent a
// password or a token, so it is https, or http on this host. The error does not
// show s, which may hold the password.
func ParseAPIServer(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" ||
		u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return nil, errors.New("expected https://[USER:PASSWORD@]HOST[:PORT][/PATH], with special characters written as %XX, or http:// to this host: no password or token is sent in the clear")
	}
	return u, nil
}
