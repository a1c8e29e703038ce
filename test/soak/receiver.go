package main

import (
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// receiver is an HTTP server that a fault can hang or stop.
type receiver struct {
	network, address string
	handler          http.Handler

	mu     sync.Mutex
	server *http.Server
	hang   chan struct{} // requests wait for it; nil if they need not
}

func newReceiver(network, address string, handler http.Handler) (*receiver, error) {
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	r := &receiver{network: network, address: l.Addr().String(), handler: handler}
	r.serve(l)
	return r, nil
}

func (r *receiver) serve(l net.Listener) {
	server := &http.Server{Handler: r, ReadHeaderTimeout: time.Minute}
	r.mu.Lock()
	r.server = server
	r.mu.Unlock()
	go func() { _ = server.Serve(l) }() // until it is closed
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	hang := r.hang
	r.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-q.Context().Done():
			return
		}
	}
	r.handler.ServeHTTP(w, q)
}

// die closes all connections and the port.
func (r *receiver) die() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.server.Close()
}

func (r *receiver) comeBack() error {
	var err error
	for range 50 { // another process may have the port for a moment
		var l net.Listener
		if l, err = net.Listen(r.network, r.address); err == nil {
			r.serve(l)
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

func (r *receiver) setHang(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case on && r.hang == nil:
		r.hang = make(chan struct{})
	case !on && r.hang != nil:
		close(r.hang)
		r.hang = nil
	}
}

func (r *receiver) close() error {
	r.setHang(false)
	if err := r.die(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
