package output

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// sender is the receiving end of a channel as one worker sees it.
type sender interface {
	// deliver sends the alerts of batch, which has at least one. It returns how
	// many the receiver has and how many are given up, because a retry would
	// meet the same error; they are the first of batch, which deliver may
	// reorder. The rest is offered again, after a pause if err is a failure and
	// nothing was given up. deliver returns soon after ctx ends.
	deliver(ctx context.Context, batch []*alert.Alert) (sent, refused int, err error)
	// reopen makes the next deliver reopen the file or connection. It may be
	// called while deliver runs.
	reopen()
	// close ends the connection; deliver is not called afterwards.
	close() error
}

const (
	batchSize    = 256
	firstPause   = 50 * time.Millisecond
	longestPause = 2 * time.Second
	// gatherFor lets a stream of alerts collect into batches (the runtime's
	// timers make a millisecond of it). Where the batch before had fewer than
	// streamBatch, or is streamGap ago, waiting would save less than it costs.
	gatherFor   = 500 * time.Microsecond
	streamBatch = 16
	streamGap   = 5 * time.Millisecond
)

// pipe is a channel made of a queue and workers, each with its own sender.
type pipe struct {
	name   string
	q      *queue
	gather time.Duration
	log    *slog.Logger

	senders []sender
	ctx     context.Context // ends when a stop can wait no longer
	cancel  context.CancelFunc
	working sync.WaitGroup
	started bool

	sent, refused, undelivered, errors atomic.Uint64
	abandoned                          atomic.Bool // alerts still held are undelivered
	gone                               atomic.Bool // the receiver, for good

	uncertain *atomic.Uint64 // nil: every attempt has a result
	latency   metrics.Histogram

	mu      sync.Mutex
	lastErr string
	failing time.Time // since when; zero if the last attempt succeeded
	told    time.Time
}

var _ channel = (*pipe)(nil)

func newPipe(name string, q *queue, gather time.Duration, log *slog.Logger, senders ...sender) *pipe {
	ctx, cancel := context.WithCancel(context.Background())
	return &pipe{name: name, q: q, gather: gather, log: log.With("channel", name), senders: senders, ctx: ctx, cancel: cancel}
}

func (p *pipe) start() {
	p.started = true
	for _, s := range p.senders {
		p.working.Go(func() { p.work(p.ctx, s) })
	}
}

func (p *pipe) send(a *alert.Alert) { p.q.push(a) }

func (p *pipe) reopen() {
	for _, s := range p.senders {
		s.reopen()
	}
}

// work delivers the queue until it is closed and empty, or ctx ends.
func (p *pipe) work(ctx context.Context, s sender) {
	batch := make([]*alert.Alert, 0, batchSize)
	last, size := time.Time{}, 0
	for {
		var ok, closed bool
		batch, ok, closed = p.q.take(batch[:0], batchSize)
		switch {
		case ok:
			size = len(batch)
			p.deliver(ctx, s, batch)
			last = time.Now()
		case closed:
			if err := s.close(); err != nil {
				p.failed(err)
			}
			return
		default:
			<-p.q.wake
			if worthCollecting(p.gather, size, time.Since(last)) {
				p.collect()
			}
		}
	}
}

// worthCollecting says whether a batch should gather, of which the one before
// had some alerts, some time ago.
func worthCollecting(gather time.Duration, before int, ago time.Duration) bool {
	asked := gather > gatherFor // by the configuration, to spare writes
	return (asked || before >= streamBatch) && ago < streamGap+gather
}

// collect lets a batch gather, unless the queue is closed.
func (p *pipe) collect() {
	t := time.NewTimer(p.gather)
	defer t.Stop()
	select {
	case <-t.C:
	case <-p.q.ending:
	}
}

// deliver tries until every alert of batch is sent or refused, or ctx ends.
func (p *pipe) deliver(ctx context.Context, s sender, batch []*alert.Alert) {
	for pause := firstPause; len(batch) > 0; {
		sent, refused, err := s.deliver(ctx, batch)
		if sent > 0 {
			p.delivered(batch[:sent], err == nil)
			pause = firstPause
		}
		p.giveUp(batch[sent:sent+refused], &p.refused)
		batch = batch[sent+refused:]
		switch {
		case err == nil:
		case ctx.Err() != nil:
			p.giveUp(batch, &p.undelivered)
			return
		default:
			p.failed(err)
			if refused == 0 {
				_ = wait.For(ctx, pause)
				pause = min(2*pause, longestPause)
			}
		}
	}
}

// giveUp counts alerts that no receiver gets.
func (p *pipe) giveUp(lost []*alert.Alert, as *atomic.Uint64) {
	if len(lost) > 0 {
		as.Add(uint64(len(lost)))
		p.q.done(lost)
	}
}

// delivered counts alerts that the receiver has.
func (p *pipe) delivered(done []*alert.Alert, all bool) {
	now := time.Now()
	observe(&p.latency, now, done)
	p.sent.Add(uint64(len(done)))
	p.q.done(done)
	if all {
		p.recovered(now)
	}
}

// observe counts the time from event to now. More than an hour is not a latency
// but an event of a capture file.
func observe(h *metrics.Histogram, now time.Time, done []*alert.Alert) {
	for _, a := range done {
		if d := time.Duration(now.UnixNano() - a.Time); d >= 0 && d < time.Hour {
			h.Observe(d, 1)
		}
	}
}

// failed notes an error, and tells the first of a row and then one in
// tellEvery.
func (p *pipe) failed(err error) {
	p.errors.Add(1)
	if errors.Is(err, errGone) {
		p.gone.Store(true)
	}
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failing.IsZero() {
		p.failing = now
	}
	p.lastErr = err.Error()
	if now.Sub(p.told) < tellEvery {
		return
	}
	p.told = now
	_, _, held := p.q.counts()
	p.log.Error("output: alerts are not delivered", "error", err, "waiting", held, "since", p.failing.Format(time.RFC3339))
}

func (p *pipe) recovered(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failing.IsZero() {
		return
	}
	if p.told.After(p.failing) || p.told.Equal(p.failing) {
		p.log.Info("output: alerts are delivered again", "after", now.Sub(p.failing).Round(time.Millisecond))
		p.told = time.Time{}
	}
	p.failing, p.lastErr = time.Time{}, ""
}

func (p *pipe) stats() metrics.Channel {
	// In this order an alert that is finished meanwhile still counts as queued.
	c := metrics.Channel{
		Name: p.name, Sent: p.sent.Load(), Refused: p.refused.Load(), Undelivered: p.undelivered.Load(),
		Errors: p.errors.Load(), Capacity: uint64(p.q.capacity), Latency: p.latency.Read(),
		Gone: p.gone.Load(),
	}
	c.Alerts, c.Overflow, _ = p.q.counts()
	rest := c.Alerts - c.Overflow - c.Sent - c.Refused - c.Undelivered
	if p.abandoned.Load() {
		c.Undelivered += rest
	} else {
		c.Queued = rest
	}
	c.Dropped = c.Overflow + c.Refused + c.Undelivered
	if p.uncertain != nil {
		c.Uncertain = p.uncertain.Load()
	}
	p.mu.Lock()
	c.LastError = p.lastErr
	p.mu.Unlock()
	return c
}

// stuck is how long a close that can wait no longer gives workers to return:
// most writes can be interrupted, some system calls cannot.
const stuck = 100 * time.Millisecond

// close delivers waiting alerts until ctx ends.
func (p *pipe) close(ctx context.Context) error {
	p.q.close()
	if !p.started {
		return p.closeSenders()
	}
	defer context.AfterFunc(ctx, p.cancel)()
	drained := make(chan struct{})
	go func() {
		p.working.Wait()
		close(drained)
	}()
	select {
	case <-drained:
	case <-ctx.Done():
		select {
		case <-drained:
		case <-time.After(stuck):
			p.abandoned.Store(true)
		}
	}
	p.cancel()
	if c := p.stats(); c.Undelivered > 0 {
		return fmt.Errorf("%s: %d alerts not delivered: %w", p.name, c.Undelivered, context.Cause(ctx))
	}
	return nil
}

func (p *pipe) closeSenders() error {
	p.cancel()
	var errs []error
	for _, s := range p.senders {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}
