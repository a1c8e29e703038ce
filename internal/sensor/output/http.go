package output

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
)

// httpSender posts alerts over one connection, one request for each. Once the
// server has shown that it keeps HTTP/1.1 connections open, several requests
// are written at once and the answers read in order (RFC 9112, section 9.3.2:
// pipelining), which costs a fraction of a round trip for each.
//
// An alert counts as sent when the server has answered 2xx, and is posted once.
// If a connection breaks before an answer, it is unknown whether the server has
// the alert: it is posted again, rather twice than never, and counted as
// uncertain.
type httpSender struct {
	target  *httpTarget
	depth   int // requests to write at once now
	ceiling int // and at most
	broken  int // pipelined connections that broke

	conn    net.Conn
	raw     *answerReader
	in      *bufio.Reader // on raw
	version uint64        // of target at the time of connecting
	out     []byte
	ends    []int // of the requests in out

	doubt map[*alert.Alert]bool // posted without an answer, and to be posted again

	head  *alert.Alert // the first alert of the last failed attempt
	tries int          // attempts in a row that head has failed
}

var _ sender = (*httpSender)(nil)

const (
	// maxAnswer bounds the bytes read of one answer.
	maxAnswer = 64 << 10
	// maxRequests bounds one write.
	maxRequests = 256 << 10
	// maxBroken is how often pipelining may fail before it is given up.
	maxBroken = 3
)

// reply is the result of one post.
type reply uint8

const (
	accepted reply = iota
	rejected       // 4xx, 3xx: another attempt would meet the same answer
	busy           // 429, 5xx: another attempt may succeed
)

func (s *httpSender) deliver(ctx context.Context, batch []*alert.Alert) (sent, refused int, err error) {
	reused := s.conn != nil
	if err := s.connect(ctx); err != nil {
		return 0, 0, err
	}
	conn := s.conn
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })() // reads and writes fail at once
	n, err := s.post(batch)
	if err == nil {
		var replies []reply
		replies, err = s.answers(batch[:n])
		if len(replies) < n {
			s.doubts(batch[len(replies):n])
		}
		sent, refused = sortOut(batch, replies)
	} else {
		s.doubts(batch[:n])
	}
	if err == nil {
		s.tries = 0
		s.settle(batch[:sent+refused])
		return sent, refused, nil
	}
	if s.conn != nil && !errors.As(err, new(*statusError)) {
		s.drop(n)
		if reused && sent+refused == 0 && !isTimeout(err) {
			return 0, 0, nil // the server closed an idle connection: reconnect at once
		}
	}
	// The answer to the alert before says nothing of one that was not posted yet.
	if next := sent + refused; next < n || next < len(batch) && isTimeout(err) {
		refused += s.giveUp(batch[next], err)
	}
	s.settle(batch[:sent+refused])
	return sent, refused, err
}

// doubts counts alerts that the server may have or not, each once.
func (s *httpSender) doubts(unanswered []*alert.Alert) {
	for _, a := range unanswered {
		if !s.doubt[a] {
			s.target.uncertain.Add(1)
		}
		if s.doubt == nil {
			s.doubt = map[*alert.Alert]bool{}
		}
		s.doubt[a] = true
	}
}

// settle forgets finished alerts: their memory becomes other alerts.
func (s *httpSender) settle(finished []*alert.Alert) {
	for i := 0; i < len(finished) && len(s.doubt) > 0; i++ {
		delete(s.doubt, finished[i])
	}
}

// giveUp counts the attempts of one alert; it returns 1 when they are enough.
// An unreachable server is not held against an alert.
func (s *httpSender) giveUp(a *alert.Alert, err error) int {
	if s.head != a {
		s.head, s.tries = a, 0
	}
	if !isTimeout(err) && !errors.As(err, new(*statusError)) {
		return 0
	}
	if s.tries++; s.tries <= s.target.c.MaxTimeouts {
		return 0
	}
	s.tries = 0
	return 1
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func (s *httpSender) connect(ctx context.Context) error {
	if s.conn != nil && (s.version != s.target.version.Load() || closedByPeer(s.conn)) {
		s.drop(0)
	}
	if s.conn != nil {
		return nil
	}
	s.version = s.target.version.Load()
	conn, err := s.target.dial(ctx)
	if err != nil {
		return err
	}
	s.conn, s.depth = conn, 1
	s.raw = &answerReader{r: conn}
	s.in = bufio.NewReader(s.raw)
	return nil
}

// closedByPeer says whether the peer has closed an idle connection: a post
// would get no answer.
func closedByPeer(conn net.Conn) bool {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return true
	}
	closed := false
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		closed = n == 0 && err == nil || err != nil && !errors.Is(err, unix.EAGAIN)
	})
	return closed || err != nil
}

// post writes requests for the first alerts of batch and returns how many the
// server may have.
func (s *httpSender) post(batch []*alert.Alert) (n int, err error) {
	s.out, s.ends = s.out[:0], s.ends[:0]
	for n < len(batch) && n < s.depth && len(s.out) < maxRequests {
		s.out = s.target.appendRequest(s.out, batch[n].Line)
		s.ends = append(s.ends, len(s.out))
		n++
	}
	if err := s.conn.SetWriteDeadline(time.Now().Add(s.target.timeout)); err != nil {
		return 0, err
	}
	written, err := s.conn.Write(s.out)
	for n > 0 && s.ends[n-1] > written { // an incomplete request does not count
		n--
	}
	return n, err
}

// answers reads an answer for each request. The replies end early if the
// server closes the connection or breaks it.
func (s *httpSender) answers(requests []*alert.Alert) ([]reply, error) {
	replies := make([]reply, 0, len(requests))
	var trouble error
	for range requests {
		v, last, err := s.answer()
		if err != nil && !errors.As(err, new(*statusError)) {
			return replies, err
		}
		if trouble == nil {
			trouble = err
		}
		replies = append(replies, v)
		if last {
			s.drop(0)
			return replies, trouble
		}
	}
	s.depth = min(2*s.depth, s.ceiling)
	return replies, trouble
}

// statusError is an answer other than 2xx.
type statusError struct {
	status, location string
}

func (e *statusError) Error() string {
	if e.location != "" {
		return fmt.Sprintf("the server redirects to %s; set http_output.url to that", e.location)
	}
	return fmt.Sprintf("the server answers %s", e.status)
}

// answer reads one; last says that the server closes the connection after it.
func (s *httpSender) answer() (v reply, last bool, err error) {
	if err := s.conn.SetReadDeadline(time.Now().Add(s.target.timeout)); err != nil {
		return 0, true, err
	}
	s.raw.left = maxAnswer
	r, err := http.ReadResponse(s.in, nil)
	for i := 0; err == nil && r.StatusCode < 200 && i < 5; i++ { // 100 Continue and its like
		r, err = http.ReadResponse(s.in, nil)
	}
	if err != nil {
		return 0, true, s.explain(err)
	}
	defer r.Body.Close()
	if err := s.readBody(r); err != nil {
		return 0, true, s.explain(err)
	}
	last = r.Close || !r.ProtoAtLeast(1, 1)
	switch code := r.StatusCode; {
	case code/100 == 2:
		return accepted, last, nil
	case code == http.StatusTooManyRequests || code >= 500:
		v = busy
	default:
		v = rejected
	}
	status := &statusError{status: r.Status}
	if r.StatusCode/100 == 3 {
		status.location = r.Header.Get("Location")
	}
	return v, last, status
}

// readBody reads the body to its end, where the next answer starts.
func (s *httpSender) readBody(r *http.Response) error {
	if !s.target.c.Echo {
		_, err := io.Copy(io.Discard, r.Body)
		return err
	}
	body, err := io.ReadAll(r.Body)
	s.target.log.Info("http_output: the server answers", "status", r.Status, "body", string(body[:min(len(body), 1024)]))
	return err
}

// explain prefers the connection's own error to the parser's error about the
// truncated answer.
func (s *httpSender) explain(err error) error {
	if s.raw.err != nil && s.raw.err != io.EOF {
		err = s.raw.err
	}
	return fmt.Errorf("the server's answer: %w", err)
}

// answerReader reads up to left bytes and remembers why it could not.
type answerReader struct {
	r    io.Reader
	left int
	err  error
}

func (a *answerReader) Read(p []byte) (n int, err error) {
	if a.left <= 0 {
		a.err = fmt.Errorf("longer than %d bytes", maxAnswer)
		return 0, a.err
	}
	n, err = a.r.Read(p[:min(len(p), a.left)])
	a.left -= n
	if err != nil {
		a.err = err
	}
	return n, err
}

// sortOut moves the accepted alerts to the front of batch, the rejected ones
// behind them, and counts both.
func sortOut(batch []*alert.Alert, replies []reply) (sent, refused int) {
	var no, again []*alert.Alert
	for i, v := range replies {
		switch v {
		case accepted:
			batch[sent] = batch[i]
			sent++
		case rejected:
			no = append(no, batch[i])
		case busy:
			again = append(again, batch[i])
		}
	}
	copy(batch[sent:], append(no, again...))
	return sent, len(no)
}

// drop closes the connection; pipelined is how many requests were under way
// if it broke. A server that breaks pipelined connections gets one at a time.
func (s *httpSender) drop(pipelined int) {
	if pipelined > 1 {
		if s.broken++; s.broken >= maxBroken {
			s.ceiling = 1
		}
	}
	_ = s.conn.Close()
	s.conn = nil
}

func (s *httpSender) reopen() { s.target.reload() }

func (s *httpSender) close() error {
	if s.conn != nil {
		s.drop(0)
	}
	return nil
}
