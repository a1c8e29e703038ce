// Package resttest is an HTTP server on a unix socket, for tests: it answers
// paths as a runtime would, or as none should.
package resttest

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
)

// Serve answers as h says, at the socket that it returns, until the test ends.
func Serve(t testing.TB, h http.Handler) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(h)
	server.Listener.Close()
	server.Listener = l
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return socket
}

// Answers are the answers by path; others are not found.
type Answers map[string]string

func (a Answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if text, ok := a[r.URL.Path]; ok {
		_, _ = io.WriteString(w, text) // a client that went away is no matter
		return
	}
	w.WriteHeader(http.StatusNotFound)
}

// Hang never answers.
var Hang = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
