package audit

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/netip"
)

// webhook answers the API server's audit webhook.
type webhook struct {
	in   *intake
	path string
	// clients are the CAs of allowed senders over TLS; nil: any sender is
	// allowed.
	clients *x509.CertPool
	// anywhere takes plain HTTP from other hosts too.
	anywhere bool
}

func (w *webhook) ServeHTTP(resp http.ResponseWriter, req *http.Request) {
	if status, why := w.check(req); why != nil {
		w.in.counted.rejected.Add(1)
		if status == http.StatusMethodNotAllowed {
			resp.Header().Set("Allow", http.MethodPost)
		}
		http.Error(resp, why.Error(), status)
		return
	}
	err := w.in.take(req.Context(), http.MaxBytesReader(resp, req.Body, int64(w.in.limits.BodyBytes)))
	switch {
	case errors.Is(err, errBusy):
		// The API server's client tries again after that many seconds.
		resp.Header().Set("Retry-After", "1")
		http.Error(resp, err.Error(), http.StatusTooManyRequests)
	case err != nil:
		http.Error(resp, err.Error(), http.StatusBadRequest)
	}
}

// check rejects an invalid request before its body is read.
func (w *webhook) check(req *http.Request) (status int, why error) {
	if err := w.allowed(req); err != nil {
		return http.StatusForbidden, err
	}
	if req.URL.Path != w.path {
		return http.StatusNotFound, fmt.Errorf("audit events are accepted at %s only", w.path)
	}
	if req.Method != http.MethodPost {
		return http.StatusMethodNotAllowed, fmt.Errorf("expected POST")
	}
	if kind, _, err := mime.ParseMediaType(req.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return http.StatusBadRequest, fmt.Errorf("expected Content-Type application/json")
	}
	if encoding := req.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return http.StatusBadRequest, fmt.Errorf("Content-Encoding %q is not supported", encoding)
	}
	if limit := w.in.limits.BodyBytes; req.ContentLength > int64(limit) {
		return http.StatusBadRequest, fmt.Errorf("the body has %d bytes: more than the limit of %d", req.ContentLength, limit)
	}
	return 0, nil
}

// allowed says why the sender may not send.
func (w *webhook) allowed(req *http.Request) error {
	switch {
	case req.TLS != nil:
		return w.certified(req.TLS)
	case w.anywhere || local(req.RemoteAddr):
		return nil
	}
	return errors.New("plain HTTP is accepted from this host only: use https, or set peregrine.k8s_audit.insecure")
}

// certified says why the sender's certificate is not good enough.
func (w *webhook) certified(state *tls.ConnectionState) error {
	if w.clients == nil {
		return nil
	}
	if len(state.PeerCertificates) == 0 {
		return errors.New("send with a client certificate that peregrine.k8s_audit.client_ca has signed")
	}
	o := x509.VerifyOptions{
		Roots: w.clients, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, c := range state.PeerCertificates[1:] {
		o.Intermediates.AddCert(c)
	}
	if _, err := state.PeerCertificates[0].Verify(o); err != nil {
		return fmt.Errorf("client certificate: %w", err)
	}
	return nil
}

// local says whether an address is of this host's loopback.
func local(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
