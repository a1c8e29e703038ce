package intake

import (
	"net"
	"os"
	"syscall"
	"testing"
)

// late is a listener that still returns a connection when it is closed, and
// errors of the moment before.
type late struct {
	net.Listener
	errs   []error
	closed chan struct{}
	peer   chan net.Conn
}

func (l *late) Accept() (net.Conn, error) {
	if len(l.errs) > 0 {
		err := l.errs[0]
		l.errs = l.errs[1:]
		return nil, &net.OpError{Op: "accept", Net: "unix", Err: os.NewSyscallError("accept4", err)}
	}
	<-l.closed
	ours, theirs := net.Pipe()
	select {
	case l.peer <- theirs:
		return ours, nil
	default:
		return nil, net.ErrClosed
	}
}

func (l *late) Close() error {
	close(l.closed)
	return nil
}

// A connection that comes while the source is closed does not keep it open,
// and want of descriptors does not end it.
func TestUnixAcceptDuringClose(t *testing.T) {
	for range 100 {
		l := &late{errs: []error{syscall.EMFILE, syscall.ECONNABORTED}, closed: make(chan struct{}), peer: make(chan net.Conn, 1)}
		s := &Unix{mailbox: newMailbox(), listener: l, conns: map[net.Conn]struct{}{}}
		s.wg.Add(1)
		go s.accept()
		if err := s.Close(); err != nil { // waits for the connection's end
			t.Fatal(err)
		}
		if _, err := (<-l.peer).Read(make([]byte, 1)); err == nil {
			t.Fatal("the connection is left open")
		}
	}
}
