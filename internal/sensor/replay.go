package sensor

import (
	"context"
	"errors"
	"fmt"

	"github.com/peregrine-sec/peregrine/internal/sensor/capture"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// replay plays a capture as fast as possible. Of a damaged one, it plays the
// readable part before it returns the error.
func (s *sensor) replay(ctx context.Context) error {
	cfg := s.now().config
	path := cfg.Engine.Replay.CaptureFile
	if path == "" {
		return errors.New("engine.kind is replay: engine.replay.capture_file must name a .scap file")
	}
	file, err := wait.Open(ctx, path)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open capture: %w", err)
	}
	defer file.Close()
	r, err := capture.NewReader(file)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open capture: %s: %w", path, err)
	}
	s.now().static.FDTypes = r.FDTypes
	s.ready.Store(true)
	s.ballast = nil
	next := r.Next
	if cfg.Drops.Simulate {
		next = s.simulateDrops(next)
	}
	if err := s.engine.Replay(ctx, next); err != nil && ctx.Err() == nil {
		return fmt.Errorf("read capture %s: %w", path, err)
	}
	return nil
}

// simulateDrops reacts to pretended losses (simulate_drops) in the time of the
// events that next returns: a capture has lost none.
func (s *sensor) simulateDrops(next func() ([]byte, error)) func() ([]byte, error) {
	var seen metrics.Probe
	var view event.View
	return func() ([]byte, error) {
		raw, err := next()
		if err != nil || view.Reset(raw) != nil { // the engine counts malformed events
			return raw, err
		}
		seen.Seen++
		now := int64(view.Header().Time)
		return raw, s.reactToDrops(now, s.drops.Check(now, seen))
	}
}
