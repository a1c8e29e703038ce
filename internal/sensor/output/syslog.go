package output

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
)

// syslog sends alerts to the local syslog daemon. The standard library's
// client has no deadline: a daemon that does not read would hold the worker
// at a clean stop.
type syslog struct {
	paths   []string // sockets to try, in order
	timeout time.Duration

	conn  net.Conn
	buf   []byte
	stale atomic.Bool
}

var _ sender = (*syslog)(nil)

// syslogPaths are the sockets of Linux, of macOS-like and of BSD-like systems.
var syslogPaths = []string{"/dev/log", "/var/run/syslog", "/var/run/log"}

// facilityUser is openlog's default facility: RFC 3164, section 4.1.1.
const facilityUser = 1

func (s *syslog) deliver(_ context.Context, batch []*alert.Alert) (sent, refused int, err error) {
	if s.stale.Swap(false) {
		s.drop()
	}
	switch err := s.connect(); {
	case errors.Is(err, fs.ErrNotExist):
		// As with syslog(3), alerts sent without a daemon are discarded:
		// containers have none, and waiting for one would hold memory and delay
		// the stop.
		return 0, len(batch), nil
	case err != nil:
		return 0, 0, err
	}
	_ = s.conn.SetWriteDeadline(time.Now().Add(s.timeout))
	for i, a := range batch {
		s.format(a)
		_, err := s.conn.Write(s.buf)
		if errors.Is(err, unix.EMSGSIZE) {
			return i, 1, fmt.Errorf("syslog: an alert of %d bytes is too large: %w", len(a.Line), err)
		}
		if err != nil {
			s.drop()
			return i, 0, fmt.Errorf("syslog: %w", err)
		}
	}
	return len(batch), 0, nil
}

func (s *syslog) connect() error {
	if s.conn != nil {
		return nil
	}
	var first error // of a socket that is there, if any is
	for _, path := range s.paths {
		for _, network := range []string{"unixgram", "unix"} {
			conn, err := net.DialTimeout(network, path, s.timeout)
			if err == nil {
				s.conn = conn
				return nil
			}
			if first == nil || errors.Is(first, fs.ErrNotExist) {
				first = err
			}
		}
	}
	return fmt.Errorf("syslog: is a daemon running? %w", first)
}

// format writes <PRI>TIME TAG[PID]: TEXT, as syslog(3) does; a stream ends it
// with a zero byte.
func (s *syslog) format(a *alert.Alert) {
	s.buf = append(s.buf[:0], '<')
	s.buf = strconv.AppendInt(s.buf, int64(facilityUser<<3|int(a.Priority)&7), 10)
	s.buf = append(s.buf, '>')
	s.buf = time.Now().AppendFormat(s.buf, time.Stamp)
	s.buf = append(s.buf, " peregrine["...)
	s.buf = strconv.AppendInt(s.buf, int64(os.Getpid()), 10)
	s.buf = append(append(s.buf, "]: "...), a.Line...)
	if s.conn.RemoteAddr().Network() == "unix" {
		s.buf = append(s.buf, 0)
	}
}

// absent says whether there is no daemon's socket.
func (s *syslog) absent() bool {
	return !slices.ContainsFunc(s.paths, func(path string) bool {
		_, err := os.Stat(path)
		return err == nil
	})
}

func (s *syslog) drop() {
	if s.conn != nil {
		_ = s.conn.Close()
		s.conn = nil
	}
}

func (s *syslog) reopen() { s.stale.Store(true) }

func (s *syslog) close() error {
	s.drop()
	return nil
}
