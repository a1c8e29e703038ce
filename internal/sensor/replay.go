package sensor

import (
	"context"
	"errors"
	"fmt"

	"github.com/peregrine-sec/peregrine/internal/sensor/capture"
)

// replay plays a capture as fast as it goes. What could be read of a damaged
// one is played before the error is returned.
func (s *sensor) replay(ctx context.Context) error {
	path := s.now().config.Engine.Replay.CaptureFile
	if path == "" {
		return errors.New("engine.kind is replay: engine.replay.capture_file must name a .scap file")
	}
	r, err := capture.Open(path)
	if err != nil {
		return fmt.Errorf("open capture: %w", err)
	}
	defer r.Close()
	s.ready.Store(true)
	if err := s.engine.Replay(ctx, r.Next); err != nil {
		return fmt.Errorf("read capture %s: %w", path, err)
	}
	return nil
}
