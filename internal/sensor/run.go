package sensor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
)

// run drives the engine until ctx ends, the capture does, or something fatal
// happens. The services run beside it and end with it.
func (s *sensor) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.finish = cancel
	services, err := s.services()
	if err != nil {
		return err
	}
	var beside sync.WaitGroup
	for _, service := range services {
		beside.Go(func() {
			if err := service(ctx); err != nil {
				s.fail(err)
			}
		})
	}
	var reason error
	beside.Go(func() {
		select {
		case reason = <-s.fatal:
			cancel()
		case <-ctx.Done():
		}
	})
	err = s.loop(ctx)
	cancel()
	beside.Wait()
	return errors.Join(err, reason, s.lastLook())
}

func (s *sensor) loop(ctx context.Context) error {
	if s.now().config.Engine.Kind == "replay" {
		return s.replay(ctx)
	}
	ready := "ready: events are being seen"
	if s.now().config.Engine.Kind == "nodriver" {
		ready = "ready"
	}
	s.log.Info(ready, "after", time.Since(s.started).Round(time.Millisecond))
	s.ready.Store(true)
	s.ballast = nil
	// The goroutine that reads the ring keeps its processor while it pauses:
	// others need one more.
	if processors := runtime.GOMAXPROCS(0); processors < 2 {
		defer runtime.GOMAXPROCS(processors)
		runtime.GOMAXPROCS(2)
	}
	s.engine.Run(ctx, s.source)
	if err := s.source.Stop(); err != nil {
		return fmt.Errorf("stop probe: %w", err)
	}
	s.engine.Finish(s.source)
	return nil
}

// writePIDFile writes this process's id to a file, and returns a function that
// removes the file at the end, unless another process has taken it.
func writePIDFile(path string) (remove func(), err error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("write pid file: %s is not a regular file; name one, or a new one", path)
	}
	fresh := errors.Is(err, os.ErrNotExist)
	text := strconv.Itoa(os.Getpid()) + "\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		if fresh {
			err = errors.Join(err, ignoreGone(os.Remove(path)))
		}
		return nil, fmt.Errorf("write pid file: %w", err)
	}
	return func() {
		if now, err := os.ReadFile(path); err == nil && string(now) == text {
			_ = os.Remove(path) // the sensor ends; a stale file is no reason to fail
		}
	}, nil
}

func ignoreGone(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
