// Package wait waits for a time, for a pipe's writer or for a call, as far as a
// context or a time allows.
package wait

import (
	"context"
	"time"
)

// For waits for d. Its error is the context's, if that ends first.
func For(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Every calls f at each interval until ctx ends, which is no error, or f fails.
func Every(ctx context.Context, interval time.Duration, f func(now time.Time) error) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			if err := f(now); err != nil {
				return err
			}
		}
	}
}

// Within returns when f has returned, or after d: for calls that the reader of
// a pipe can block.
func Within(d time.Duration, f func()) {
	done := make(chan struct{})
	go func() {
		f()
		close(done)
	}()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}
