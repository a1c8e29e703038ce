package intake

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/linux/follow"
)

const (
	// readPause lets alerts gather between two reads: at most a thousand reads
	// a second whatever the rate, for at most that much added to a latency.
	readPause = time.Millisecond
	// filePause is the polling interval of files: each poll is three system
	// calls.
	filePause = 5 * time.Millisecond
	// pipeSize is the most that an unprivileged process may request, 40 ms of
	// 20,000 alerts a second (pipe(7), /proc/sys/fs/pipe-max-size).
	pipeSize = 1 << 20
)

// lines turns bytes of one stream into alerts.
type lines struct {
	box     *mailbox
	decoder *decoder
	batch   []Alert
	bad     error
	badN    uint64
	n       int
}

// add decodes one line. Lines that cannot be JSON objects are the sensor's
// other output, which Falco mixes into its standard output: they are counted
// as malformed, but are not an error of their own.
func (l *lines) add(line []byte) {
	l.n += len(line) + 1
	if len(bytes.TrimSpace(line)) == 0 {
		return
	}
	var a Alert
	if err := l.decoder.decode(line, &a); err != nil {
		l.bad = err
		l.badN++
		return
	}
	l.batch = append(l.batch, a)
}

// flush hands the batch over as received at now.
func (l *lines) flush(now int64) {
	if l.n == 0 {
		return
	}
	for i := range l.batch {
		l.batch[i].Received = now
	}
	l.box.put(l.batch, l.n, l.badN, l.bad)
	l.batch, l.n, l.badN, l.bad = l.batch[:0], 0, 0, nil
}

// Reader reads JSON lines from a pipe, a socket or standard input.
type Reader struct {
	*mailbox
	texts bool
	r     io.ReadCloser
	done  chan struct{}
	stop  chan struct{}
	once  sync.Once
}

var _ Source = (*Reader)(nil)

// NewReader starts reading r, which Close closes; texts keeps those of the
// alerts. If r is a pipe it is made larger, so that a reader that is kept
// waiting does not stop the sensor.
func NewReader(r io.ReadCloser, texts bool) *Reader {
	if f, ok := r.(*os.File); ok {
		// Best effort: the stream is correct with the default size, too.
		if raw, err := f.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize) })
		}
	}
	s := &Reader{mailbox: newMailbox(), texts: texts, r: r, done: make(chan struct{}), stop: make(chan struct{})}
	go func() {
		defer close(s.done)
		s.end(s.run())
	}()
	return s
}

func (s *Reader) run() error {
	l := &lines{box: s.mailbox, decoder: newDecoder(s.texts)}
	buf := make([]byte, pipeSize)
	held := 0 // bytes of an unfinished line at the start of buf
	for {
		n, err := s.r.Read(buf[held:])
		now := time.Now().UnixNano()
		text := buf[:held+n]
		for {
			i := bytes.IndexByte(text, '\n')
			if i < 0 {
				break
			}
			l.add(text[:i])
			text = text[i+1:]
		}
		if err != nil {
			l.add(text) // a last line without a newline
			text = nil
		}
		full := held+n == len(buf)
		held = copy(buf, text)
		if held == len(buf) {
			held, l.badN, l.bad = 0, l.badN+1, errors.New("malformed alert: line of over 1 MiB")
		}
		l.flush(now)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, os.ErrClosed), errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			return fmt.Errorf("read alerts: %w", err)
		case !full:
			s.pause()
		}
	}
}

func (s *Reader) pause() {
	select {
	case <-s.stop:
	case <-time.After(readPause):
	}
}

// Close stops reading. Next still returns lines already read.
func (s *Reader) Close() error {
	var err error
	s.once.Do(func() {
		close(s.stop)
		err = s.r.Close()
	})
	return err
}

// File follows a file to which the sensor appends JSON lines.
type File struct {
	*mailbox
	texts  bool
	follow *follow.File
	stop   chan struct{}
	done   chan struct{}
	once   sync.Once
}

var _ Source = (*File)(nil)

// NewFile follows path from its present end; it need not exist yet.
func NewFile(path string, texts bool) (*File, error) {
	f, err := follow.Open(path, true)
	if err != nil {
		return nil, fmt.Errorf("open alert file: %w", err)
	}
	s := &File{mailbox: newMailbox(), texts: texts, follow: f, stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		s.end(s.run())
	}()
	return s, nil
}

func (s *File) run() error {
	l := &lines{box: s.mailbox, decoder: newDecoder(s.texts)}
	tick := time.NewTicker(filePause)
	defer tick.Stop()
	for {
		now := time.Now().UnixNano()
		if err := s.follow.Poll(l.add); err != nil {
			return fmt.Errorf("read alerts: %w", err)
		}
		l.flush(now)
		select {
		case <-s.stop:
			return nil
		case <-tick.C:
		}
	}
}

// Close stops following.
func (s *File) Close() error {
	s.once.Do(func() { close(s.stop) })
	<-s.done
	return s.follow.Close()
}
