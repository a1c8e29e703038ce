package intake

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/peregrine-sec/peregrine/internal/endpoint"
)

// maxBody bounds one posted alert.
const maxBody = 1 << 20

// HTTP is a server for `POST /` with one JSON alert per body.
type HTTP struct {
	*mailbox
	server   *http.Server
	listener net.Listener
	decoders sync.Pool
}

var _ Source = (*HTTP)(nil)

// NewHTTP listens at once: an address in use is an error here, not a round
// without alerts later.
func NewHTTP(o endpoint.Server, texts bool) (*HTTP, error) {
	config, err := o.Config()
	if err != nil {
		return nil, fmt.Errorf("http alert server: %w", err)
	}
	listener, err := net.Listen("tcp", o.Address)
	if err != nil {
		return nil, fmt.Errorf("http alert server: %w", err)
	}
	if config != nil {
		listener = tls.NewListener(listener, config)
	}
	s := &HTTP{
		mailbox:  newMailbox(),
		listener: listener,
		decoders: sync.Pool{New: func() any { return newDecoder(texts) }},
	}
	s.server = &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // handshake errors of strangers
	}
	go func() {
		if err := s.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.end(fmt.Errorf("http alert server: %w", err))
		}
	}()
	return s, nil
}

// Addr is the address listened at.
func (s *HTTP) Addr() net.Addr { return s.listener.Addr() }

// serve takes one alert. It answers 200 to unreadable ones too, since a sensor
// would retry with the same bytes.
func (s *HTTP) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		http.Error(w, "post alerts here", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	now := time.Now().UnixNano()
	if err != nil {
		s.put(nil, len(body), 1, fmt.Errorf("read a posted alert: %w", err))
		return
	}
	d := s.decoders.Get().(*decoder)
	defer s.decoders.Put(d)
	var a Alert
	if err := d.decode(body, &a); err != nil {
		s.put(nil, len(body), 1, err)
		return
	}
	a.Received = now
	s.put([]Alert{a}, len(body), 0, nil)
}

// Close ends the server; posts under way are answered first.
func (s *HTTP) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := s.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.server.Close()
	}
	s.end(nil)
	return err
}
