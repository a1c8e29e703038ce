package runtimes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/internal/sensor/container/rest"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// Status describes one socket.
type Status struct {
	Engine    string `json:"engine"`
	Socket    string `json:"socket"`
	Present   bool   `json:"present"`
	Connected bool   `json:"connected"` // it has answered, and since then always
	Connects  uint64 `json:"connects"`
	Told      uint64 `json:"told"` // containers that it has reported
	Error     string `json:"error,omitempty"`
}

// socket is one Endpoint and the goroutines that ask there.
type socket struct {
	Endpoint
	options *Options
	place   int           // among the endpoints
	rank    int           // of its metadata, see rankOf
	asked   chan question // one waits at most
	present atomic.Bool
	told    told // of the connection

	mu     sync.Mutex
	status Status
}

// question holds ids to look up, and the time at which they were unknown.
type question struct {
	ids []string
	at  time.Time
}

// absentPoll is how often a socket that does not exist is looked for.
const absentPoll = 2 * time.Second

// A broken connection is reopened after firstReconnect, and after twice as long
// each time, up to lastRetry.
const firstReconnect = 100 * time.Millisecond

func newSocket(e Endpoint, place int, o *Options) *socket {
	s := &socket{Endpoint: e, place: place, options: o, asked: make(chan question, 1)}
	s.status.Engine, s.status.Socket = e.Engine, e.Socket
	s.look()
	return s
}

func (s *socket) look() bool {
	info, err := os.Stat(s.Socket)
	is := err == nil && info.Mode()&os.ModeSocket != 0
	s.present.Store(is)
	return is
}

// ask hands over ids to look up; they are asked for again later if the runtime
// is still busy with others.
func (s *socket) ask(q question) {
	select {
	case s.asked <- q:
	default:
	}
}

func (s *socket) state() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := s.status
	status.Present = s.present.Load()
	return status
}

// run keeps a connection to the runtime, when there is one, until ctx ends.
func (s *socket) run(ctx context.Context) {
	pause := firstReconnect
	for ctx.Err() == nil {
		if !s.look() {
			_ = wait.For(ctx, absentPoll)
			continue
		}
		s.rank = rankOf(s.Endpoint, s.place)
		answered, err := s.connect(ctx)
		if ctx.Err() != nil {
			return
		}
		if answered {
			pause = firstReconnect
		}
		s.failed(err)
		_ = wait.For(ctx, pause)
		pause = min(2*pause, lastRetry)
	}
}

// connect lists the runtime's containers, and follows it until something goes
// wrong. It says whether the runtime has answered at all.
func (s *socket) connect(ctx context.Context) (answered bool, err error) {
	client, err := s.Open()
	if err != nil {
		return false, err
	}
	defer client.Close()
	ctx, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel()

	changed := make(chan string, 256)
	broken := make(chan error, 1)
	beside.Go(func() {
		broken <- client.Follow(ctx, func(id string) {
			select {
			case changed <- id:
			default: // the queue is full: it is looked up when its process is seen
			}
		})
	})
	listed, stop := context.WithTimeout(ctx, s.options.Timeout)
	ids, err := client.List(listed)
	stop()
	if err != nil {
		return false, err
	}
	s.connected()
	if len(ids) > maxListed {
		s.options.Log.Warn("container runtime lists too many containers; the others are queried when their processes appear",
			"engine", s.Engine, "socket", s.Socket, "containers", len(ids), "limit", maxListed)
		ids = ids[:maxListed]
	}
	return true, s.serve(ctx, client, ids, changed, broken)
}

// maxListed bounds the containers of one list that are asked for.
const maxListed = 10000

// serve asks for the listed containers, and answers questions meanwhile and
// then, until the connection breaks.
func (s *socket) serve(ctx context.Context, client Client, listed []string, changed <-chan string, broken <-chan error) error {
	always := make(chan struct{})
	close(always)
	s.told = newTold(listed)
	for {
		more := always
		if len(listed) == 0 {
			more = nil
		}
		var ids []string
		select {
		case err := <-broken:
			return err
		case id := <-changed:
			ids = []string{id}
		case q := <-s.asked:
			ids = s.told.open(q)
		case <-more:
			id := listed[0]
			listed = listed[1:]
			if !s.told.pending[id] {
				continue
			}
			err := s.find(ctx, client, id)
			if errors.Is(err, errTimeout) {
				s.note(id, err) // one that hangs must not keep the others unlisted
				continue
			}
			if err != nil {
				return err
			}
		}
		for _, id := range ids {
			if err := s.find(ctx, client, id); err != nil {
				return err
			}
		}
	}
}

// find looks one container up. It is not an error if the runtime does not have
// the container, or answers with an error: others may succeed.
func (s *socket) find(ctx context.Context, client Client, id string) error {
	asked, cancel := context.WithTimeoutCause(ctx, s.options.CallTimeout, errTimeout)
	defer cancel()
	m, err := client.Find(asked, id)
	switch {
	case err == nil && m.FullID != id:
		s.note(id, fmt.Errorf("the answer is about %q instead", m.FullID))
	case err == nil:
		s.deliver(ctx, m)
	case errors.Is(err, container.ErrNotFound):
	case asked.Err() != nil:
		return fmt.Errorf("%w: %w", context.Cause(asked), err)
	case answered(err):
		s.note(id, err)
	default:
		return err
	}
	return nil
}

var errTimeout = errors.New("no answer in time")

// answered says whether an error is the runtime's answer, not the lack of one.
func answered(err error) bool {
	if errors.Is(err, rest.ErrAnswer) {
		return true
	}
	s, ok := status.FromError(err)
	return ok && s.Code() != codes.Unavailable && s.Code() != codes.DeadlineExceeded && s.Code() != codes.Canceled
}

func (s *socket) deliver(ctx context.Context, m container.Container) {
	m.Rank = s.rank
	s.mu.Lock()
	s.status.Told++
	s.mu.Unlock()
	s.options.Deliver(ctx, m)
	s.told.note(m.FullID, time.Now())
}

// note keeps the error for one container; the first since the connection was
// made is logged.
func (s *socket) note(id string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status.Error == "" {
		s.options.Log.Warn("container runtime has no usable metadata of a container", "engine", s.Engine, "socket", s.Socket, "container", id, "error", err)
	}
	s.status.Error = fmt.Sprintf("container %s: %v", id, err)
}

func (s *socket) connected() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Connected, s.status.Error = true, ""
	s.status.Connects++
	s.options.Log.Info("container runtime connected", "engine", s.Engine, "socket", s.Socket)
}

// failed notes an error, and logs it if the last time went well or failed in
// another way.
func (s *socket) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := "the connection ended"
	if err != nil {
		text = err.Error()
	}
	if s.status.Connected || s.status.Error == "" {
		s.options.Log.Warn("container runtime does not answer; retrying", "engine", s.Engine, "socket", s.Socket, "error", text)
	}
	s.status.Connected, s.status.Error = false, text
}
