package serve

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"testing"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// The end tells an answer to give up, and waits for it, also if the request has
// an unread body; so does it for what was made for the server's own context.
func TestServeWaits(t *testing.T) {
	for _, body := range []string{"", "Content-Length: 10\r\n"} {
		began, asked, goOn, ended := make(chan bool), make(chan bool), make(chan bool), false
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := New("test", l, &http.Server{}, func(own context.Context) http.Handler {
			return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				close(began)
				<-r.Context().Done()
				<-own.Done()
				close(asked)
				<-goOn
				ended = true
			})
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Serve(ctx) }()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: sensor\r\n%s\r\n", body)
		<-began
		cancel()
		<-asked
		for open := true; open; { // until Serve waits, or has not
			select {
			case err := <-done:
				t.Fatalf("Serve ended during an answer: %v", err)
			default:
				if open = s.answering.TryRLock(); open {
					s.answering.RUnlock()
					runtime.Gosched()
				}
			}
		}
		close(goOn)
		if err := <-done; err != nil || !ended {
			t.Errorf("Serve: %v, the answer has ended: %v", err, ended)
		}
		c.Close()
	}
}

// A listener that fails ends the server with its error.
func TestServeFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	s := New("test", l, &http.Server{}, func(context.Context) http.Handler { return http.NotFoundHandler() })
	if err := s.Serve(t.Context()); err == nil {
		t.Error("served a closed listener")
	}
}
