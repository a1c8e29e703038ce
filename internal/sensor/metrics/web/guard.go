package web

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"slices"
	"sync"
)

// maxConnections bounds the connections that clients, broken or hostile, can
// hold open.
const maxConnections = 64

// guard is a listener that accepts every connection. Beyond the limit it closes
// an older one: an idle one, the oldest of the peer that has most. A health
// check is answered however many connections others hold open, and whether or
// not they read their answers.
type guard struct {
	net.Listener
	mu   sync.Mutex
	open []*guardedConn // the oldest first
}

type guardedConn struct {
	net.Conn
	guard *guard
	peer  string
	busy  bool // a request is being answered; guard.mu
}

func (g *guard) Accept() (net.Conn, error) {
	conn, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	peer, _, err := net.SplitHostPort(conn.RemoteAddr().String())
	if err != nil {
		peer = conn.RemoteAddr().String()
	}
	c := &guardedConn{Conn: conn, guard: g, peer: peer}
	if victim := g.add(c); victim != nil {
		_ = victim.Close() // it is gone in any case
	}
	return c, nil
}

// add notes c, and returns the connection that has to go.
func (g *guard) add(c *guardedConn) *guardedConn {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = append(g.open, c)
	if len(g.open) <= maxConnections {
		return nil
	}
	byPeer := map[string]int{}
	for _, o := range g.open {
		byPeer[o.peer]++
	}
	older := g.open[:len(g.open)-1]
	victim := older[0]
	for _, o := range older[1:] {
		if victim.busy && !o.busy || victim.busy == o.busy && byPeer[o.peer] > byPeer[victim.peer] {
			victim = o
		}
	}
	return victim
}

func (c *guardedConn) Close() error {
	c.guard.mu.Lock()
	c.guard.open = slices.DeleteFunc(c.guard.open, func(o *guardedConn) bool { return o == c })
	c.guard.mu.Unlock()
	return c.Conn.Close()
}

type connKey struct{}

// remember lets handlers know their connection: http.Server.ConnContext.
func remember(ctx context.Context, conn net.Conn) context.Context {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	return context.WithValue(ctx, connKey{}, conn)
}

// busy marks the connections whose requests h answers.
func busy(h http.Handler) http.Handler {
	mark := func(r *http.Request, is bool) {
		if c, ok := r.Context().Value(connKey{}).(*guardedConn); ok {
			c.guard.mu.Lock()
			c.busy = is
			c.guard.mu.Unlock()
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mark(r, true)
		defer mark(r, false)
		h.ServeHTTP(w, r)
	})
}
