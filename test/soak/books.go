package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// books are the sensor's counters, checked at every sample.
type books struct {
	s *sensor
	w *world

	mu      sync.Mutex
	most    rest // no sample may show more; zero: not known yet
	last    metrics.Snapshot
	samples int
	failed  int // samples in a row without an answer
	err     error
}

func newBooks(s *sensor, w *world) *books { return &books{s: s, w: w} }

// bound sets the bounds from the resources held at rest: while it works and
// reloads, the sensor may hold more, up to a bound.
func (b *books) bound(r rest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.most = rest{rss: r.rss + 128<<20, descriptors: r.descriptors + 64, goroutines: r.goroutines + 64}
}

// problem is the first thing that was wrong.
func (b *books) problem() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return fmt.Errorf("%w\n%s", b.err, b.s.tail())
	}
	return nil
}

func (b *books) watch(ctx context.Context) {
	for wait.For(ctx, 250*time.Millisecond) == nil {
		if !b.s.halted.Load() {
			b.sample(ctx)
		}
	}
}

// patience is how many samples may fail in a row: under a memory limit and a
// storm an answer takes its time.
const patience = 20

func (b *books) sample(ctx context.Context) {
	m, err := b.s.client.Snapshot(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		if b.failed++; b.failed == patience && ctx.Err() == nil {
			b.err = errors.Join(b.err, fmt.Errorf("no answer for %d samples: %w", patience, err))
		}
		return
	}
	b.failed = 0
	if err := errors.Join(balanced(m), forward(&b.last, m), b.within(m)); err != nil && b.err == nil {
		b.err = fmt.Errorf("sample %d: %w", b.samples, err)
	}
	b.last = *m
	b.samples++
}

// keep is longer than a container without processes is remembered.
const keep = 2 * time.Minute

// within names the resources above their bounds.
func (b *books) within(m *metrics.Snapshot) error {
	var errs []error
	// The queried runtime does not know others' containers.
	if n := b.w.containers.recent(keep); m.Metadata.Known > n {
		errs = append(errs, fmt.Errorf("%d containers are known, and %d were started in the last %v", m.Metadata.Known, n, keep))
	}
	if b.most.rss > 0 {
		errs = append(errs, b.most.exceeded(rest{m.Resources.RSS, b.s.descriptors(), m.Resources.Goroutines}, 0))
	}
	return errors.Join(errs...)
}

// balanced says which sums do not hold in a snapshot.
func balanced(m *metrics.Snapshot) error {
	var errs []error
	p := &m.Probe
	if sum := p.Filtered + p.Delivered + p.Drops.Total(); p.Seen != sum {
		errs = append(errs, fmt.Errorf("seen %d, but filtered %d + delivered %d + dropped %d = %d", p.Seen, p.Filtered, p.Delivered, p.Drops.Total(), sum))
	}
	if bugs := p.Drops.Of(event.DropBug); bugs > 0 {
		errs = append(errs, fmt.Errorf("%d drops by a bug", bugs))
	}
	if m.Events > p.Delivered {
		errs = append(errs, fmt.Errorf("%d events processed of %d delivered", m.Events, p.Delivered))
	}
	for _, c := range m.Channels {
		if c.Alerts != c.Sent+c.Queued+c.Dropped {
			errs = append(errs, fmt.Errorf("channel %s: %d alerts, but sent %d + queued %d + dropped %d", c.Name, c.Alerts, c.Sent, c.Queued, c.Dropped))
		}
		if all := m.Alerts + m.Internal; c.Alerts+m.Throttled != all {
			errs = append(errs, fmt.Errorf("channel %s: %d alerts + %d withheld of %d", c.Name, c.Alerts, m.Throttled, all))
		}
		if c.Queued > c.Capacity+inFlight {
			errs = append(errs, fmt.Errorf("channel %s: %d queued, room for %d", c.Name, c.Queued, c.Capacity))
		}
	}
	return errors.Join(errs...)
}

// inFlight is the number of alerts that a channel may hold besides its queue.
const inFlight = 4096

// forward names the counters that have gone backwards.
func forward(before, now *metrics.Snapshot) error {
	var errs []error
	rising := func(name string, was, is uint64) {
		if is < was {
			errs = append(errs, fmt.Errorf("%s fell from %d to %d", name, was, is))
		}
	}
	rising("seen", before.Probe.Seen, now.Probe.Seen)
	rising("delivered", before.Probe.Delivered, now.Probe.Delivered)
	rising("dropped", before.Probe.Drops.Total(), now.Probe.Drops.Total())
	rising("events", before.Events, now.Events)
	rising("alerts", before.Alerts, now.Alerts)
	rising("reloads", before.Reloads+before.ReloadErrors, now.Reloads+now.ReloadErrors)
	was := map[string]metrics.Channel{}
	for _, c := range before.Channels {
		was[c.Name] = c
	}
	for _, c := range now.Channels {
		rising(c.Name+" alerts", was[c.Name].Alerts, c.Alerts)
		rising(c.Name+" sent", was[c.Name].Sent, c.Sent)
		rising(c.Name+" dropped", was[c.Name].Dropped, c.Dropped)
		delete(was, c.Name)
	}
	for name := range was {
		errs = append(errs, fmt.Errorf("channel %s is gone", name))
	}
	return errors.Join(errs...)
}
