package bench

import (
	"context"
	"time"
)

// Load is the load of one round.
type Load struct {
	// Rate is actions per second over all selected actions together, open
	// loop; 0 means no actions (an idle round).
	Rate float64
	// Noise is background syscalls per second that no rule detects.
	Noise    float64
	Duration time.Duration
	// Closed makes it event-generator's loop: Sleep before each action, and
	// the next action only after the last. Rate is ignored.
	Closed bool
	Sleep  time.Duration
	// Ended, if not nil, is called when the load ends and the drain begins.
	Ended func()
	// Workers is the number of generator threads; 0 lets the generator choose.
	Workers int
	// Label names the round in records and reports.
	Label string
}

// Runner runs rounds against a started target. *Session is the one that does.
type Runner interface {
	// Run performs one round and returns when its alerts are drained. An
	// interrupted round is returned as Partial together with ctx.Err().
	Run(ctx context.Context, load Load) (Round, error)
}
