// Package wait waits for a time, or for a pipe's writer, as far as a context
// allows.
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
