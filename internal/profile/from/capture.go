// Package from makes profiles from other recordings: captures, and the rates
// stored by sensors and Prometheus. Missing facts are assumed; the profile lists
// the assumptions.
package from

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/peregrine-sec/peregrine/internal/profile"
	"github.com/peregrine-sec/peregrine/internal/sensor/capture"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// longest is how long a capture may be: a day has some ten megabytes of windows.
const longest = 24 * time.Hour

// Capture makes a profile of a .scap file.
func Capture(path string) (*profile.Profile, error) {
	r, err := capture.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	c := &captured{builder: profile.NewBuilder(), counts: map[key]float64{}}
	if err := c.read(r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c.profile(r, path)
}

// captured is a capture on its way to a profile.
type captured struct {
	builder *profile.Builder
	counts  map[key]float64 // of the window
	start   uint64          // of the first window; 0 before the first syscall
}

type key struct {
	syscall           string
	container, failed bool
}

// read takes all events. A capture that is cut off counts up to its last whole event.
func (c *captured) read(r *capture.Reader) error {
	for {
		raw, err := r.Next()
		switch {
		case err == io.EOF, errors.As(err, new(*capture.FormatError)) && c.start > 0:
			c.flush()
			return nil
		case err != nil:
			return err
		}
		var v event.View
		if err := v.Reset(raw); err != nil {
			return err
		}
		if err := c.add(v.Header()); err != nil {
			return err
		}
	}
}

const (
	window   = uint64(profile.Window)
	maxErrno = 4095
)

func (c *captured) add(h *event.Header) error {
	if h.Syscall == event.NoSyscall || int(h.Syscall) >= event.NumSyscalls() {
		return nil // the lists that a capture begins with, signals, ends of processes
	}
	if c.start == 0 {
		c.start = h.Time
	}
	// Events of several CPUs may be a little out of order: they stay in the window.
	for h.Time >= c.start+uint64(c.builder.Elapsed())+window {
		if c.flush(); c.builder.Elapsed() > longest {
			return fmt.Errorf("events over more than %v: cut the capture into parts", longest)
		}
	}
	c.counts[key{event.ID(h.Syscall).String(), h.VTID != h.TID, h.Res < 0 && h.Res >= -maxErrno}]++
	return nil
}

// flush ends the window.
func (c *captured) flush() {
	var list []profile.Count
	for k, n := range c.counts {
		list = append(list, profile.Count{Syscall: k.syscall, Container: k.container, Failed: k.failed, Calls: n})
	}
	clear(c.counts)
	c.builder.Add(list)
}

func (c *captured) profile(r *capture.Reader, path string) (*profile.Profile, error) {
	p := c.builder.Profile()
	if p.Rate == 0 {
		return nil, fmt.Errorf("%s: no syscalls in it", path)
	}
	p.Source = profile.Source{Kind: profile.FromCapture, Nodes: 1, Started: time.Unix(0, int64(c.start)).UTC().Truncate(time.Second), CPUs: int(r.Machine().CPUs),
		Assumed: []string{"the capture holds all syscalls: those that a filter left out of it, or that were dropped, are missing here too"}}
	return p, nil
}
