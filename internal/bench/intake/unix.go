package intake

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/peregrine-sec/peregrine/internal/linux/unixsock"
)

// Unix is a stream socket that sensors, or a relay such as socat, connect to
// and write JSON lines.
type Unix struct {
	*mailbox
	texts    bool
	listener net.Listener
	wg       sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

var _ Source = (*Unix)(nil)

// newUnix listens at path, readable by its owner only. A socket left behind
// by a run that was killed is replaced; anything else at path is an error.
func newUnix(path string, texts bool) (*Unix, error) {
	listener, err := unixsock.Listen(path)
	if err != nil {
		return nil, fmt.Errorf("receive alerts: %w", err)
	}
	s := &Unix{mailbox: newMailbox(), texts: texts, listener: listener, conns: make(map[net.Conn]struct{})}
	s.wg.Add(1)
	go s.accept()
	return s, nil
}

func (s *Unix) accept() {
	defer s.wg.Done()
	for {
		conn, err := s.listener.Accept()
		switch {
		case err == nil:
			s.add(conn)
		case errors.Is(err, net.ErrClosed):
			return
		case passes(err):
			time.Sleep(10 * time.Millisecond)
		default:
			s.end(fmt.Errorf("accept a connection for alerts: %w", err))
			return
		}
	}
}

// passes says whether an error of accept(2) is one of the moment: others have
// all descriptors, or memory, or the peer has gone again.
func passes(err error) bool {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// add serves a connection, or closes it when it came while Close was called.
func (s *Unix) add(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		conn.Close()
		return
	}
	s.conns[conn] = struct{}{}
	s.wg.Add(1)
	go s.serve(conn)
}

// serve reads one connection; its end is not the end of the stream.
func (s *Unix) serve(conn net.Conn) {
	defer s.wg.Done()
	r := &Reader{mailbox: s.mailbox, texts: s.texts, r: conn, stop: make(chan struct{})}
	if err := r.run(); err != nil {
		s.put(nil, 0, 1, err)
	}
	conn.Close()
	s.mu.Lock()
	delete(s.conns, conn)
	s.mu.Unlock()
}

// Close stops listening, ends all connections and removes the socket.
func (s *Unix) Close() error {
	err := s.listener.Close()
	s.mu.Lock()
	s.closed = true
	for conn := range s.conns {
		conn.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
	s.end(nil)
	return err
}
