package apiserver

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/client-go/rest"

	asking "github.com/peregrine-sec/peregrine/internal/sensor/container/rest"
)

// Address says where the API server is, and who asks.
type Address struct {
	// URL is the server's; empty for that of the pod in which this runs.
	URL string
	// Credentials are those of Falco's -K: TOKEN, the file of a bearer token, or
	// CERTIFICATE:KEY[:CA], PEM files. The authorities are those of the file
	// ca.crt beside the token, if there is one, or the machine's. Empty: those
	// in the URL, or none; without a URL the pod's.
	Credentials string
}

// InPod says whether this runs in a pod that may ask its API server.
func InPod() bool {
	_, err := rest.InClusterConfig()
	return err == nil
}

// String is the server's URL, without the password.
func (a Address) String() string {
	if a.URL == "" {
		if config, err := rest.InClusterConfig(); err == nil {
			return config.Host
		}
		return "that of this pod"
	}
	u, err := url.Parse(a.URL)
	if err != nil {
		return "an address that is no URL"
	}
	return u.Redacted()
}

// config is the address in client-go's form.
func (a Address) config() (*rest.Config, error) {
	config := &rest.Config{Host: a.URL}
	if a.URL == "" {
		var err error
		if config, err = rest.InClusterConfig(); err != nil {
			return nil, fmt.Errorf("find the API server of this pod: %w", err)
		}
	}
	if a.Credentials == "" {
		return config, nil
	}
	parts := strings.Split(a.Credentials, ":")
	switch len(parts) {
	case 1:
		config.BearerToken, config.BearerTokenFile = "", parts[0]
		if _, err := os.Stat(parts[0]); err != nil {
			return nil, fmt.Errorf("credentials: %w", err)
		}
		if ca := filepath.Join(filepath.Dir(parts[0]), "ca.crt"); exists(ca) {
			config.CAFile = ca
		}
	case 2, 3:
		if _, _, encrypted := strings.Cut(parts[1], "#"); encrypted {
			return nil, fmt.Errorf("credentials %s: keys with a password cannot be read; decrypt the key with openssl pkey", a.Credentials)
		}
		// Their text: client-go would watch over the files on a goroutine of its
		// own. Here they are read anew when the server has refused.
		var errs [2]error
		config.CertData, errs[0] = os.ReadFile(parts[0])
		config.KeyData, errs[1] = os.ReadFile(parts[1])
		_, err := tls.X509KeyPair(config.CertData, config.KeyData)
		if err := errors.Join(errs[0], errs[1], err); err != nil {
			return nil, fmt.Errorf("credentials: %w", err)
		}
		if len(parts) == 3 {
			config.CAFile = parts[2]
		}
	default:
		return nil, fmt.Errorf("credentials %s: expected TOKEN or CERTIFICATE:KEY[:CA], each the path of a file", a.Credentials)
	}
	return config, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// connection is two clients of one server.
type connection struct {
	// metadata gives objects without spec and status, whole gives all of them.
	metadata, whole *asking.Client
}

func (a Address) connect() (*connection, error) {
	config, err := a.config()
	if err != nil {
		return nil, err
	}
	config.UserAgent = "peregrine-sensor"
	server, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("address of the API server: %w", err)
	}
	if server.User != nil { // as Falco's -k has it
		config.Username = server.User.Username()
		config.Password, _ = server.User.Password()
		server.User = nil
	}
	whole, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("client of the API server: %w", err)
	}
	base := strings.TrimSuffix(server.String(), "/")
	metadata := &http.Client{Transport: onlyMetadata{whole.Transport}}
	return &connection{metadata: asking.At(base, metadata), whole: asking.At(base, whole)}, nil
}

// onlyMetadata asks for no more of an object than its metadata. A server that
// does not know how gives all of it; one that does is strict about what is a
// list.
type onlyMetadata struct{ http.RoundTripper }

func (m onlyMetadata) RoundTrip(r *http.Request) (*http.Response, error) {
	as := "PartialObjectMetadata"
	if q := r.URL.Query(); r.URL.Path == podsPath && !q.Has("watch") {
		as = "PartialObjectMetadataList"
	}
	r = r.Clone(r.Context())
	r.Header.Set("Accept", "application/json;as="+as+";g=meta.k8s.io;v=v1,application/json")
	return m.RoundTripper.RoundTrip(r)
}
