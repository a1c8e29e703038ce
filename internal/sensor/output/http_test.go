package output

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func httpConfig(url string) *config.Config {
	c := quiet()
	c.HTTP.Enabled, c.HTTP.URL = true, url
	c.Peregrine.HTTPConnections = 1
	return c
}

// receiver is an HTTP server that keeps the accepted bodies.
type receiver struct {
	mu       sync.Mutex
	bodies   []string
	requests []*http.Request
	answer   func(n int, w http.ResponseWriter, r *http.Request) bool // false: the alert is not accepted
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	r.mu.Lock()
	n := len(r.requests)
	r.requests = append(r.requests, req)
	r.mu.Unlock()
	if r.answer == nil || r.answer(n, w, req) {
		r.mu.Lock()
		r.bodies = append(r.bodies, string(body))
		r.mu.Unlock()
	}
}

func (r *receiver) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.bodies)
}

func serveHTTP(t *testing.T, r *receiver) string {
	t.Helper()
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	return server.URL
}

func TestHTTP(t *testing.T) {
	r := &receiver{}
	c := httpConfig(strings.Replace(serveHTTP(t, r), "http://", "http://me:secret@", 1) + "/path?x=1")
	c.JSON, c.HTTP.UserAgent = true, "falcosecurity/falco"
	s, _ := open(t, c)
	sendNumbered(s, 0, 3000)
	closeClean(t, s)
	if !slices.Equal(r.got(), numberedLines(0, 3000)) {
		t.Errorf("%d bodies, in order and once each: no", len(r.got()))
	}
	req := r.requests[0]
	user, password, _ := req.BasicAuth()
	got := []string{req.Method, req.RequestURI, req.Header.Get("Content-Type"), req.Header.Get("User-Agent"), user, password}
	want := []string{"POST", "/path?x=1", "application/json", "falcosecurity/falco", "me", "secret"}
	if !slices.Equal(got, want) {
		t.Errorf("request %q, want %q", got, want)
	}
}

// Requests are pipelined once the server has shown that it can: far fewer
// writes than alerts.
func TestHTTPPipelines(t *testing.T) {
	r := &receiver{}
	s, _ := open(t, httpConfig(serveHTTP(t, r)))
	sendNumbered(s, 0, 1000)
	needs.Eventually(t, "1000 sent", func() bool { return statsOf(t, s, "http").Sent == 1000 })
	sender := s.entries[0].channel.(*pipe).senders[0].(*httpSender)
	closeClean(t, s)
	if sender.depth < 32 {
		t.Errorf("depth %d after 1000 alerts", sender.depth)
	}
}

func TestHTTPCompressed(t *testing.T) {
	text := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		unzipped, err := gzip.NewReader(req.Body)
		if err != nil || req.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("encoding %q: %v", req.Header.Get("Content-Encoding"), err)
			return
		}
		body, _ := io.ReadAll(unzipped)
		text <- string(body)
	}))
	defer server.Close()
	c := httpConfig(server.URL)
	c.HTTP.CompressUploads = true
	s, _ := open(t, c)
	s.Send(numbered(1))
	if got := <-text; got != "Warning alert 1" {
		t.Errorf("body %q", got)
	}
}

// The server's answer decides between retry, success and refusal.
func TestHTTPAnswers(t *testing.T) {
	tests := []struct {
		name          string
		answer        func(n int, w http.ResponseWriter) bool
		sent, refused uint64
		log           string
	}{
		{"204", func(_ int, w http.ResponseWriter) bool { w.WriteHeader(204); return true }, 50, 0, ""},
		{"bad requests", func(n int, w http.ResponseWriter) bool {
			if n%10 == 3 {
				http.Error(w, "no", 400)
				return false
			}
			return true
		}, 45, 5, "400 Bad Request"},
		{"redirect", func(_ int, w http.ResponseWriter) bool {
			w.Header().Set("Location", "http://elsewhere/")
			w.WriteHeader(302)
			return false
		}, 0, 50, "the server redirects to http://elsewhere/"},
		{"busy for a while", func(n int, w http.ResponseWriter) bool {
			if n%10 == 3 {
				w.WriteHeader(503)
				return false
			}
			return true
		}, 50, 0, "503 Service Unavailable"},
		{"early hints", func(_ int, w http.ResponseWriter) bool { w.WriteHeader(103); w.WriteHeader(200); return true }, 50, 0, ""},
		{"closes after each", func(_ int, w http.ResponseWriter) bool { w.Header().Set("Connection", "close"); return true }, 50, 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &receiver{answer: func(n int, w http.ResponseWriter, _ *http.Request) bool { return tt.answer(n, w) }}
			s, log := open(t, httpConfig(serveHTTP(t, r)))
			sendNumbered(s, 0, 50)
			needs.Eventually(t, "nothing queued", func() bool { return statsOf(t, s, "http").Queued == 0 })
			got := statsOf(t, s, "http")
			if got.Sent != tt.sent || got.Refused != tt.refused || len(r.got()) != int(tt.sent) {
				t.Errorf("sent %d refused %d received %d, want %d %d", got.Sent, got.Refused, len(r.got()), tt.sent, tt.refused)
			}
			if !strings.Contains(log.String(), tt.log) {
				t.Errorf("log %s\nwant %q", log, tt.log)
			}
		})
	}
}

// A server that is always busy costs an alert after the attempts that
// max_consecutive_timeouts allows, and does not delay the stop for ever. A
// refused alert does not cost the next one, which was not posted with it, even
// if a single failure is enough to give an alert up.
func TestHTTPRefusalIsOneAlerts(t *testing.T) {
	r := &receiver{answer: func(n int, w http.ResponseWriter, _ *http.Request) bool {
		if n%2 == 0 {
			http.Error(w, "no", http.StatusBadRequest)
		}
		return n%2 == 1
	}}
	c := httpConfig(serveHTTP(t, r))
	c.HTTP.MaxTimeouts, c.Peregrine.HTTPPipeline = 0, 1
	s, _ := open(t, c)
	sendNumbered(s, 0, 40)
	closeClean(t, s)
	if got := statsOf(t, s, "http"); got.Sent != 20 || got.Refused != 20 {
		t.Errorf("%+v", got)
	}
}

func TestHTTPAlwaysBusy(t *testing.T) {
	r := &receiver{answer: func(_ int, w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(500); return false }}
	c := httpConfig(serveHTTP(t, r))
	c.HTTP.MaxTimeouts = 2
	s, _ := open(t, c)
	s.Send(numbered(0))
	needs.Eventually(t, "refused", func() bool { return statsOf(t, s, "http").Refused == 1 })
	if n := len(r.requests); n != 3 {
		t.Errorf("%d attempts, want 3", n)
	}
}

// The receiver is away, comes, is killed and comes again, under load: every
// alert arrives, and the counts add up all the time.
func TestHTTPReceiverRestarts(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	s, _ := open(t, httpConfig("http://"+address))
	sendNumbered(s, 0, 500)
	needs.Eventually(t, "an error", func() bool { return statsOf(t, s, "http").Errors > 0 })
	r := &receiver{}
	for round := 1; round <= 3; round++ {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: r}
		served := make(chan error)
		go func() { served <- server.Serve(listener) }()
		sendNumbered(s, 500*round, 500*round+500)
		needs.Eventually(t, "some more", func() bool { return statsOf(t, s, "http").Sent > uint64(500*round) })
		if round == 3 {
			needs.Eventually(t, "all", func() bool { return statsOf(t, s, "http").Sent == 2000 })
		}
		server.Close()
		<-served
	}
	seen := map[string]bool{}
	for _, body := range r.got() {
		seen[body] = true // an alert may come twice when its answer was lost
	}
	if len(seen) != 2000 {
		t.Errorf("%d different alerts arrived", len(seen))
	}
}

// rawServer accepts connections and hands each to serve, with its number.
func rawServer(t *testing.T, serve func(n int, c net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var working sync.WaitGroup
	working.Go(func() {
		for n := 0; ; n++ {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			working.Go(func() { defer c.Close(); serve(n, c) })
		}
	})
	t.Cleanup(func() { listener.Close() })
	return "http://" + listener.Addr().String()
}

// readRequest reads one request from in.
func readRequest(in *bufio.Reader) (string, error) {
	req, err := http.ReadRequest(in)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(req.Body)
	return string(body), err
}

// Servers that break the protocol in their own ways: the worker survives,
// reports the error, and gives the alert up after the allowed attempts or keeps
// it.
func TestHTTPBadServers(t *testing.T) {
	tests := []struct {
		name  string
		serve func(c net.Conn, in *bufio.Reader)
		log   string
	}{
		{"says nothing", func(c net.Conn, in *bufio.Reader) { _, _ = io.Copy(io.Discard, in) }, "i/o timeout"},
		{"reads nothing", func(net.Conn, *bufio.Reader) { <-t.Context().Done() }, "i/o timeout"},
		{"closes without an answer", func(_ net.Conn, in *bufio.Reader) { _, _ = readRequest(in) }, "EOF"},
		{"speaks something else", func(c net.Conn, in *bufio.Reader) {
			_, _ = readRequest(in)
			fmt.Fprint(c, "220 mail.example.org ESMTP\r\n\r\n")
		}, "malformed HTTP"},
		{"endless header", func(c net.Conn, in *bufio.Reader) {
			_, _ = readRequest(in)
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\n")
			for {
				if _, err := fmt.Fprintf(c, "X: %01000d\r\n", 1); err != nil {
					return
				}
			}
		}, "longer than 65536 bytes"},
		{"endless body", func(c net.Conn, in *bufio.Reader) {
			_, _ = readRequest(in)
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
			for {
				if _, err := fmt.Fprintf(c, "%01000d", 1); err != nil {
					return
				}
			}
		}, "longer than 65536 bytes"},
		{"lies about the length", func(c net.Conn, in *bufio.Reader) {
			_, _ = readRequest(in)
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort")
		}, "unexpected EOF"},
		{"a drop at a time", func(c net.Conn, in *bufio.Reader) {
			_, _ = readRequest(in)
			for _, b := range []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n") {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(20 * time.Millisecond) // the server's slowness, not the test's
			}
		}, "i/o timeout"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			url := rawServer(t, func(_ int, c net.Conn) { tt.serve(c, bufio.NewReader(c)) })
			c := httpConfig(url)
			c.OutputTimeout, c.HTTP.MaxTimeouts = 100, 1
			s, log := open(t, c)
			big := numbered(0)
			big.Line = []byte(strings.Repeat("x", 8<<20)) // more than socket buffers hold
			if tt.name == "reads nothing" {
				s.Send(big)
			} else {
				s.Send(numbered(0))
			}
			needs.Eventually(t, tt.log, func() bool { return strings.Contains(log.String(), tt.log) })
			if got := statsOf(t, s, "http"); got.Sent != 0 || got.Errors == 0 {
				t.Errorf("%+v", got)
			}
		})
	}
}

// A server that breaks pipelined connections gets one request at a time, and
// every alert.
func TestHTTPWithoutPipelining(t *testing.T) {
	r := &receiver{}
	url := rawServer(t, func(_ int, c net.Conn) {
		in := bufio.NewReader(c)
		for {
			body, err := readRequest(in)
			if err != nil {
				return
			}
			if in.Buffered() > 0 { // another request is here already: this server cannot bear it
				return
			}
			r.mu.Lock()
			r.bodies = append(r.bodies, body)
			r.mu.Unlock()
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	s, _ := open(t, httpConfig(url))
	sendNumbered(s, 0, 100)
	needs.Eventually(t, "all sent", func() bool { return statsOf(t, s, "http").Sent == 100 })
	sender := s.entries[0].channel.(*pipe).senders[0].(*httpSender)
	closeClean(t, s)
	if sender.ceiling != 1 {
		t.Errorf("still %d requests at once", sender.ceiling)
	}
	if !slices.Equal(r.got(), numberedLines(0, 100)) {
		t.Errorf("received %d", len(r.got()))
	}
}

func TestHTTPOld(t *testing.T) {
	r := &receiver{}
	url := rawServer(t, func(_ int, c net.Conn) {
		if body, err := readRequest(bufio.NewReader(c)); err == nil {
			r.mu.Lock()
			r.bodies = append(r.bodies, body)
			r.mu.Unlock()
			fmt.Fprint(c, "HTTP/1.0 200 OK\r\n\r\nbye") // the body ends with the connection
		}
	})
	s, _ := open(t, httpConfig(url))
	sendNumbered(s, 0, 20)
	closeClean(t, s)
	if !slices.Equal(r.got(), numberedLines(0, 20)) {
		t.Errorf("received %q", r.got())
	}
}

// Each alert is posted once, or counted as uncertain: an answered alert is
// never posted again, whatever happens on the connection afterwards.
func TestHTTPOnceOrUncertain(t *testing.T) {
	const n = 2000
	var mu sync.Mutex
	copies, answers := map[string]int{}, map[string]int{}
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		requests++
		copies[string(body)]++
		switch {
		case requests%37 == 0: // no answer: the connection breaks
			if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
				conn.Close()
			}
			return
		case requests%5 == 0:
			w.WriteHeader(http.StatusForbidden)
		case requests%41 == 0: // an answer, and then the end of the connection
			w.Header().Set("Connection", "close")
		}
		answers[string(body)]++
	}))
	defer server.Close()
	s, _ := open(t, httpConfig(server.URL))
	sendNumbered(s, 0, n)
	needs.Eventually(t, "all finished", func() bool { return statsOf(t, s, "http").Queued == 0 })
	got := statsOf(t, s, "http")
	closeClean(t, s)
	repeated := 0
	for body, c := range copies {
		if c > 1 {
			repeated++
		}
		if answers[body] > 1 && c == answers[body] {
			t.Errorf("%q was answered %d times", body, answers[body])
		}
	}
	if len(copies) != n || got.Sent+got.Refused != n || got.Dropped != got.Refused {
		t.Errorf("%d alerts arrived of %d: %+v", len(copies), n, got)
	}
	if uint64(repeated) > got.Uncertain || got.Uncertain == 0 {
		t.Errorf("%d alerts arrived more than once, %d are uncertain", repeated, got.Uncertain)
	}
}
