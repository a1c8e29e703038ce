package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/peregrine-sec/peregrine/internal/wait"
)

// rest holds the resources of an idle sensor.
type rest struct {
	rss         uint64
	descriptors int
	goroutines  int
}

func (r rest) String() string {
	return fmt.Sprintf("%d MiB resident, %d descriptors, %d goroutines", r.rss>>20, r.descriptors, r.goroutines)
}

// rest pauses the load, waits until all queues are empty, and looks. The least
// of some looks counts: snapshots themselves take connections and memory.
func (b *books) rest(ctx context.Context, l *load) (least rest, err error) {
	l.paused.Store(true)
	defer l.paused.Store(false)
	deadline := time.Now().Add(time.Minute)
	for quiet := 0; quiet < 10; {
		if err := wait.For(ctx, 300*time.Millisecond); err != nil {
			return least, err
		}
		m, err := b.s.client.Snapshot(ctx)
		if err != nil {
			return least, err
		}
		queued := uint64(0)
		for _, c := range m.Channels {
			queued += c.Queued
		}
		if queued > 0 {
			if time.Now().After(deadline) {
				return least, fmt.Errorf("%d alerts are still queued after a minute without load", queued)
			}
			quiet = 0
			continue
		}
		now := rest{m.Resources.RSS, b.s.descriptors(), m.Resources.Goroutines}
		if quiet++; quiet == 1 {
			least = now
		}
		least = rest{min(least.rss, now.rss), min(least.descriptors, now.descriptors), min(least.goroutines, now.goroutines)}
	}
	return least, nil
}

// compare names the resources that have grown. Memory may grow once: queues and
// tables keep their capacity, bounded by their sizes.
func (r rest) compare(after rest) error { return r.exceeded(after, 48<<20) }

// exceeded names the resources that now has more of than r, with an allowance
// for memory.
func (r rest) exceeded(now rest, room uint64) error {
	var errs []error
	if now.rss > r.rss+room {
		errs = append(errs, fmt.Errorf("memory has grown from %d to %d MiB", r.rss>>20, now.rss>>20))
	}
	if now.descriptors > r.descriptors {
		errs = append(errs, fmt.Errorf("descriptors have grown from %d to %d", r.descriptors, now.descriptors))
	}
	if now.goroutines > r.goroutines {
		errs = append(errs, fmt.Errorf("goroutines have grown from %d to %d", r.goroutines, now.goroutines))
	}
	return errors.Join(errs...)
}
