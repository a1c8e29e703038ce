package apiserver

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/client-go/rest"

	"github.com/peregrine-sec/peregrine/internal/endpoint"
	"github.com/peregrine-sec/peregrine/internal/linux/anyfile"
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
		if to, err := rest.InClusterConfig(); err == nil {
			return to.Host
		}
		return "that of this pod"
	}
	u, err := endpoint.ParseAPIServer(a.URL)
	if err != nil {
		return "an address that is not accepted"
	}
	return u.Redacted()
}

// restConfig is the address in client-go's form.
func (a Address) restConfig() (*rest.Config, error) {
	to := &rest.Config{}
	if a.URL == "" {
		var err error
		if to, err = rest.InClusterConfig(); err != nil {
			return nil, fmt.Errorf("find the API server of this pod: %w", err)
		}
	} else {
		u, err := endpoint.ParseAPIServer(a.URL)
		if err != nil {
			return nil, fmt.Errorf("address of the API server: %w", err)
		}
		if u.User != nil { // as Falco's -k has it
			to.Username = u.User.Username()
			to.Password, _ = u.User.Password()
			u.User = nil
		}
		to.Host = u.String()
	}
	if a.Credentials == "" {
		return to, nil
	}
	return to, a.authenticate(to)
}

// authenticate adds the credentials. Errors show a path only if it is absolute:
// anything else may be the token itself.
func (a Address) authenticate(to *rest.Config) error {
	parts := strings.Split(a.Credentials, ":")
	switch len(parts) {
	case 1:
		to.BearerToken, to.BearerTokenFile = "", parts[0]
		info, err := os.Stat(parts[0])
		if err == nil && !info.Mode().IsRegular() {
			err = errors.New("not a regular file") // client-go would wait for a pipe for ever
		}
		if err != nil {
			return unreadable("TOKEN", parts[0], err)
		}
		if ca := filepath.Join(filepath.Dir(parts[0]), "ca.crt"); isFile(ca) {
			to.CAFile = ca
		}
		return nil
	case 2, 3:
		if strings.Contains(parts[1], "#") {
			return errors.New("credentials: KEY: keys with a password cannot be read; decrypt the key with openssl pkey")
		}
		return certify(to, parts)
	}
	return errors.New("credentials: expected TOKEN or CERTIFICATE:KEY[:CA], each the path of a file")
}

// certify adds a certificate, its key and perhaps an authority. It adds their
// text: client-go would watch over the files on a goroutine of its own. Here
// they are reread when the server has refused.
func certify(to *rest.Config, paths []string) error {
	texts := []*[]byte{&to.CertData, &to.KeyData, &to.CAData}
	for i, path := range paths {
		text, err := anyfile.Read(path, anyfile.MaxCertificates)
		if err != nil {
			return unreadable([]string{"CERTIFICATE", "KEY", "CA"}[i], path, err)
		}
		*texts[i] = text
	}
	if len(paths) == 3 {
		to.CAFile = "" // that of the pod
	}
	if _, err := tls.X509KeyPair(to.CertData, to.KeyData); err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	return nil
}

// unreadable is the error for a part of the credentials.
func unreadable(part, path string, err error) error {
	var of *os.PathError
	if errors.As(err, &of) {
		err = of.Err
	}
	if !filepath.IsAbs(path) {
		return fmt.Errorf("credentials: %s: %w; expected the path of a file, and found what may be the token or key itself", part, err)
	}
	return fmt.Errorf("credentials: %s %s: %w", part, path, err)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// connection is two clients of one server.
type connection struct {
	// metadata gives objects without spec and status, whole gives all of them.
	metadata, whole *asking.Client
}

func (a Address) connect() (*connection, error) {
	to, err := a.restConfig()
	if err != nil {
		return nil, err
	}
	to.UserAgent = "peregrine-sensor"
	server, _, err := rest.DefaultServerUrlFor(to)
	if err != nil {
		return nil, fmt.Errorf("address of the API server: %w", err)
	}
	whole, err := rest.HTTPClientFor(to)
	if err != nil {
		return nil, fmt.Errorf("client of the API server: %w", err)
	}
	// An API server does not redirect; a redirected request, perhaps in the
	// clear, would carry the credentials.
	whole.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	base := strings.TrimSuffix(server.String(), "/")
	metadata := &http.Client{Transport: onlyMetadata{whole.Transport}, CheckRedirect: whole.CheckRedirect}
	return &connection{metadata: asking.At(base, metadata), whole: asking.At(base, whole)}, nil
}

// onlyMetadata asks for no more of an object than its metadata. A server
// without that feature returns whole objects; one with it is strict about which
// requests are lists.
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
