package wait

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

func TestFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		if err := For(t.Context(), time.Hour); err != nil || time.Since(begin) != time.Hour {
			t.Errorf("%v after %v, want nil after 1h", err, time.Since(begin))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begin = time.Now()
		if err := For(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Minute {
			t.Errorf("%v after %v, want the deadline after 1m", err, time.Since(begin))
		}
	})
}

// Every ends with its context, or with the first error.
func TestEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		calls := 0
		err := Every(ctx, time.Hour, func(now time.Time) error {
			if calls++; !now.Equal(time.Now()) {
				t.Errorf("called with %v at %v", now, time.Now())
			}
			if calls == 3 {
				cancel()
			}
			return nil
		})
		if err != nil || calls != 3 {
			t.Errorf("%d calls, error %v", calls, err)
		}
		failed := errors.New("failed")
		if err := Every(t.Context(), time.Hour, func(time.Time) error { return failed }); err != failed {
			t.Errorf("error %v, expected that of the call", err)
		}
	})
}
