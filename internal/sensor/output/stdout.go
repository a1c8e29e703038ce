package output

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
)

// stdout writes lines to standard output.
type stdout struct {
	f       *os.File
	timeout time.Duration
	lines   lineBuffer
}

var _ sender = (*stdout)(nil)

// errGone says that a receiver is gone for good: no other can come.
var errGone = errors.New("the reader of standard output has gone")

func newStdout(f *os.File, timeout time.Duration) (*stdout, error) {
	fd, err := ownDescriptor(int(f.Fd()))
	if err != nil {
		return nil, fmt.Errorf("standard output: %w", err)
	}
	return &stdout{f: os.NewFile(uintptr(fd), "standard output"), timeout: timeout}, nil
}

// ownDescriptor is another descriptor for the file behind fd. A closed pipe
// behind descriptor 1 itself would end the process (os/signal, SIGPIPE), behind
// any other it is an error. A pipe or terminal is reopened: blocking is a
// property of the open file description, which others may share, and a blocked
// write cannot be ended.
func ownDescriptor(fd int) (int, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return -1, err
	}
	if kind := st.Mode & unix.S_IFMT; kind == unix.S_IFIFO || kind == unix.S_IFCHR {
		flags := unix.O_WRONLY | unix.O_NONBLOCK | unix.O_CLOEXEC | unix.O_NOCTTY
		if own, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), flags, 0); err == nil {
			return own, nil
		} // it belongs to another user, or has no reader: the copy returns the error
	}
	return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
}

func (s *stdout) deliver(ctx context.Context, batch []*alert.Alert) (sent, refused int, err error) {
	sent, err = s.lines.writeWithin(ctx, s.timeout, s.f, batch)
	if errors.Is(err, unix.EPIPE) {
		s.lines.restart()
		return sent, len(batch) - sent, fmt.Errorf("%w: %w", errGone, err)
	}
	return sent, 0, err
}

func (s *stdout) reopen()      {}
func (s *stdout) close() error { return s.f.Close() }
