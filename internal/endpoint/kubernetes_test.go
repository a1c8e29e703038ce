package endpoint

import (
	"strings"
	"testing"
)

func TestParseAPIServer(t *testing.T) {
	for _, s := range []string{
		"https://10.0.0.1:6443", "https://kubernetes.default.svc/", "https://user:secret@[fd00::1]:6443/k8s/clusters/c-1",
		"HTTPS://host", "http://localhost:8001", "http://127.0.0.2:8080", "http://user:secret@[::1]:8080",
	} {
		if _, err := ParseAPIServer(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{
		"", "10.0.0.1:6443", "host", "host:6443", "//host", "user:secret@host:6443", "https:user:secret@host", "https://user:secret@:6443",
		"https://user:secret%zz@host", "https://user:secret@host:port", "https:///secret", "https://host?token=secret", "https://host#secret",
		"http://user:secret@10.0.0.1:8080", "http://localhost.secret.org", "http://127.0.0.1.secret.org", "http://127.0.0.1:80@secret.org", "ftp://user:secret@localhost",
		"https://user:secret@ho st", "https://user:se\ncret@host", " https://host", "unix:///secret",
	} {
		u, err := ParseAPIServer(s)
		switch {
		case err == nil:
			t.Errorf("%s is accepted as %v", s, u)
		case strings.Contains(err.Error(), "secret"):
			t.Errorf("%s: the error shows it: %v", s, err)
		}
	}
}
