package output

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
)

// ledger counts alerts by the names of channels. A channel ends when a new
// configuration replaces it; its counts stay, and go on with its successor's.
type ledger struct {
	log      *slog.Logger
	allGone  func()             // called when no channel has a receiver left
	stop     context.CancelFunc // ends watch
	watching sync.WaitGroup
	retiring sync.WaitGroup
	hurry    chan struct{} // closed when channels that were replaced must end

	mu       sync.Mutex
	timeout  time.Duration // output_timeout in force
	accounts []*account    // in the order of their first opening
	closed   bool
}

// account is the counts of all channels of one name.
type account struct {
	name  string
	open  []channel       // the last is in force, those before still deliver
	ended metrics.Channel // sum of those that have ended
}

func (l *ledger) setTimeout(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timeout = d
}

func (l *ledger) opened(e entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(e.maker.name)
	if a == nil {
		a = &account{name: e.maker.name}
		l.accounts = append(l.accounts, a)
	}
	a.open = append(a.open, e.channel)
}

func (l *ledger) account(name string) *account {
	for _, a := range l.accounts {
		if a.name == name {
			return a
		}
	}
	return nil
}

// retire closes a channel that is no longer sent to, and returns at once.
func (l *ledger) retire(e entry, timeout time.Duration) {
	l.retiring.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		go func() {
			select {
			case <-l.hurry:
				cancel()
			case <-ctx.Done():
			}
		}()
		if err := e.close(ctx); err != nil {
			l.log.Warn("output: channel replaced", "error", err)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		a := l.account(e.maker.name)
		a.open = slices.DeleteFunc(a.open, func(c channel) bool { return c == e.channel })
		last := e.stats()
		last.Capacity, last.Idle, last.Gone, last.LastError, last.Streams = 0, false, false, "", nil
		a.ended = sum(a.ended, last)
	})
}

// close ends the watch. It returns false if the ledger has been closed before.
func (l *ledger) close() bool {
	l.mu.Lock()
	was := l.closed
	l.closed = true
	l.mu.Unlock()
	if was {
		return false
	}
	l.stop()
	l.watching.Wait()
	return true
}

// finishRetired makes channels that were replaced end with ctx, and waits for
// them.
func (l *ledger) finishRetired(ctx context.Context) {
	defer context.AfterFunc(ctx, func() { close(l.hurry) })()
	l.retiring.Wait()
}

// stats are the counts by name.
func (l *ledger) stats() []metrics.Channel {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]metrics.Channel, len(l.accounts))
	for i, a := range l.accounts {
		all[i] = a.ended
		all[i].Name = a.name
		for _, c := range a.open {
			all[i] = sum(all[i], c.stats())
		}
	}
	return all
}

// sum adds up the counts; the other fields are those of b.
func sum(a, b metrics.Channel) metrics.Channel {
	b.Alerts += a.Alerts
	b.Sent += a.Sent
	b.Queued += a.Queued
	b.Dropped += a.Dropped
	b.Overflow += a.Overflow
	b.Refused += a.Refused
	b.Undelivered += a.Undelivered
	b.Uncertain += a.Uncertain
	b.Errors += a.Errors
	b.Latency = a.Latency.Plus(b.Latency)
	return b
}
