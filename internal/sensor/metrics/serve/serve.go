// Package serve runs the HTTP servers that report on a sensor. When one has
// ended, no answer reads the sensor any more: what it reads may be closed.
package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
)

// Server serves one listener.
type Server struct {
	name     string // for errors
	listener net.Listener
	http     *http.Server
	// answering is held, shared, by each request that is being answered.
	answering sync.RWMutex
	ctx       context.Context
	end       context.CancelFunc
}

// New makes a server of settings, whose handler is made for a context: it, and
// those of requests, end with Serve.
func New(name string, l net.Listener, settings *http.Server, handler func(context.Context) http.Handler) *Server {
	s := &Server{name: name, listener: l, http: settings}
	s.ctx, s.end = context.WithCancel(context.Background())
	s.http.Handler = s.whileOpen(handler(s.ctx))
	s.http.BaseContext = func(net.Listener) context.Context { return s.ctx }
	return s
}

// whileOpen refuses what arrives once the server waits for its last answers.
func (s *Server) whileOpen(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.answering.TryRLock() {
			http.Error(w, "the sensor is stopping", http.StatusServiceUnavailable)
			return
		}
		defer s.answering.RUnlock()
		next.ServeHTTP(w, r)
	})
}

// Serve answers until ctx ends, and waits for answers that are under way.
func (s *Server) Serve(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() {
		s.end()
		s.http.Close()
	})()
	err := s.http.Serve(s.listener)
	s.end()
	_ = s.http.Close() // of the connections, if Serve failed
	s.answering.Lock() // for good; http.Server.Close does not wait
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	return nil
}
