package stand

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/capacity/sweep"
)

// startUp is how long a sensor with a whole CPU may take from its start until
// it sees events; with less CPU it takes as many times longer. A Falco takes
// 1.4 s with one CPU, 2.6 s with half a CPU, and 5.5 s with a quarter.
const (
	startUp     = 10 * time.Second
	mostStartUp = 5 * time.Minute
)

// patience is how long the sensor is given under its limit.
func (s *sensor) patience() time.Duration {
	if s.limit.CPU <= 0 || s.limit.CPU >= 1 {
		return startUp
	}
	return min(mostStartUp, time.Duration(float64(startUp)/s.limit.CPU))
}

// preflight has each action's alert seen. What a sensor says of itself is not
// enough: a Falco is "ready" seconds before its first event. So all is tried
// again until it has been seen, or the time is up.
func (s *sensor) preflight(ctx context.Context) error {
	began := time.Now()
	for attempt := 1; ; attempt++ {
		found, err := s.session.Preflight(ctx, s.Watch)
		if err != nil {
			return err
		}
		for _, check := range found.Checks {
			fmt.Fprintf(s.Log, "preflight: %s: %s: %s\n", check.Status, check.Name, check.Text)
		}
		failed := found.Failed()
		took := time.Since(began)
		switch {
		case len(failed) == 0:
			return nil
		case s.Ended():
			return fmt.Errorf("it ended %v after it had come up", took.Round(time.Millisecond))
		case took < s.patience():
			continue
		}
		var texts []string
		for _, check := range failed {
			texts = append(texts, check.Name+": "+check.Text)
		}
		reason := fmt.Sprintf("%s (tried %d times in %v with %s)", strings.Join(texts, "; "), attempt, took.Round(100*time.Millisecond), s.limit)
		if s.Force {
			fmt.Fprintf(s.Log, "preflight failed, and --force goes on: %s\n", reason)
			return nil
		}
		return &sweep.PreflightError{Reason: reason}
	}
}
