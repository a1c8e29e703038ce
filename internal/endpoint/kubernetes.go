package endpoint

import (
	"errors"
	"net/url"
)

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
