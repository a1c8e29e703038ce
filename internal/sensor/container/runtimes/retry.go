package runtimes

import "time"

// retries holds the time of the next request for each unknown container. The
// zero retries is ready.
type retries map[string]*retry

type retry struct {
	at    time.Time
	pause time.Duration
}

// due takes the containers that are unknown now, and returns those to ask for,
// and the delay until the next check; 0 for never.
func (r *retries) due(unknown []string, now time.Time) (due []string, next time.Duration) {
	kept := make(retries, len(unknown))
	for _, id := range unknown {
		w := (*r)[id]
		switch {
		case w == nil:
			w = &retry{pause: firstRetry}
		case now.Before(w.at):
			kept[id] = w
			next = sooner(next, w.at.Sub(now))
			continue
		default:
			w.pause = min(2*w.pause, lastRetry)
		}
		w.at = now.Add(w.pause)
		kept[id] = w
		due = append(due, id)
		next = sooner(next, w.pause)
	}
	*r = kept
	return due, next
}

func sooner(a, b time.Duration) time.Duration {
	if a == 0 {
		return b
	}
	return min(a, b)
}
