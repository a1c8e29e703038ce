package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/screen"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// Options say what Status and Top show.
type Options struct {
	Socket   string
	Interval time.Duration // between two snapshots
	JSON     bool
	Programs bool // Status: measure those in the kernel for Interval
	Once     bool // Top: one view, then end
	Rows     int  // Top: lines of each table
	Terminal bool // Top: draw over the last view
}

// Status writes the state of the sensor, with rates over one interval.
func Status(ctx context.Context, w io.Writer, opt Options) error {
	c := NewClient(opt.Socket)
	defer c.Close()
	prev, err := c.Snapshot(ctx)
	if err != nil {
		return err
	}
	if opt.JSON && !opt.Programs {
		return writeJSON(w, prev, "  ")
	}
	now, err := c.second(ctx, opt)
	if err != nil {
		return err
	}
	if opt.JSON {
		return writeJSON(w, now, "  ")
	}
	return writeStatus(w, prev, now)
}

// second is the snapshot after the interval, with what programs cost in it if
// that is asked for.
func (c *Client) second(ctx context.Context, opt Options) (*metrics.Snapshot, error) {
	if !opt.Programs {
		return c.after(ctx, opt.Interval)
	}
	costs, err := c.Costs(ctx, opt.Interval)
	if err != nil {
		return nil, err
	}
	now, err := c.Snapshot(ctx)
	if err == nil {
		now.Costs = costs
	}
	return now, err
}

// Top writes a view at each interval until ctx ends.
func Top(ctx context.Context, w io.Writer, opt Options) error {
	c := NewClient(opt.Socket)
	defer c.Close()
	prev, err := c.Snapshot(ctx)
	if err != nil {
		return err
	}
	var terminal *screen.Screen
	if opt.Terminal && !opt.JSON && !opt.Once {
		if terminal, err = screen.Open(w); err != nil {
			return err
		}
		defer func() { _ = terminal.Close() }() // a terminal that has gone
	}
	for {
		now, err := c.after(ctx, opt.Interval)
		if errors.Is(err, context.Canceled) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := opt.show(w, terminal, prev, now); err != nil || opt.Once {
			return err
		}
		prev = now
	}
}

func (opt Options) show(w io.Writer, terminal *screen.Screen, prev, now *metrics.Snapshot) error {
	if opt.JSON {
		return writeJSON(w, now, "")
	}
	if terminal != nil {
		var view strings.Builder
		return errors.Join(writeTop(&view, prev, now, opt.Rows), terminal.Draw(view.String()))
	}
	if err := writeTop(w, prev, now, opt.Rows); err != nil {
		return err
	}
	if !opt.Terminal && !opt.Once {
		fmt.Fprintln(w)
	}
	return nil
}

// after waits for d and requests a snapshot.
func (c *Client) after(ctx context.Context, d time.Duration) (*metrics.Snapshot, error) {
	if wait.For(ctx, d) != nil {
		return nil, context.Canceled
	}
	return c.Snapshot(ctx)
}

func writeJSON(w io.Writer, s *metrics.Snapshot, indent string) error {
	e := json.NewEncoder(w)
	e.SetIndent("", indent)
	return e.Encode(s)
}
