package stand

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/capacity/sweep"
)

// preflight has each action's alert seen.
func (s *sensor) preflight(ctx context.Context) error {
	found, err := s.session.Preflight(ctx, s.Watch)
	if err != nil {
		return err
	}
	for _, check := range found.Checks {
		fmt.Fprintf(s.Log, "preflight: %s: %s: %s\n", check.Status, check.Name, check.Text)
	}
	var texts []string
	for _, check := range found.Failed() {
		texts = append(texts, check.Name+": "+check.Text)
	}
	reason := strings.Join(texts, "; ")
	switch {
	case reason == "":
		return nil
	case s.Ended():
		return errors.New("it ended during the preflight")
	case s.Force:
		fmt.Fprintf(s.Log, "preflight failed, and --force goes on: %s\n", reason)
		return nil
	}
	return &sweep.PreflightError{Reason: reason}
}
