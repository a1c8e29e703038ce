package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"

	"github.com/peregrine-sec/peregrine/internal/wait"
)

// Options say what Status and Top show.
type Options struct {
	Socket   string
	Interval time.Duration // between two snapshots
	JSON     bool
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
	if opt.JSON {
		return writeJSON(w, prev, "  ")
	}
	now, err := c.after(ctx, opt.Interval)
	if err != nil {
		return err
	}
	return WriteStatus(w, prev, now)
}

// Top writes a view at each interval until ctx ends.
func Top(ctx context.Context, w io.Writer, opt Options) error {
	c := NewClient(opt.Socket)
	defer c.Close()
	prev, err := c.Snapshot(ctx)
	if err != nil {
		return err
	}
	if opt.Terminal && !opt.JSON && !opt.Once {
		// The alternate screen keeps what was on the terminal: ECMA-48, xterm's
		// control sequences 1049 and 25 (the cursor).
		fmt.Fprint(w, "\x1b[?1049h\x1b[?25l")
		defer fmt.Fprint(w, "\x1b[?25h\x1b[?1049l")
	}
	for {
		now, err := c.after(ctx, opt.Interval)
		if errors.Is(err, context.Canceled) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := opt.show(w, prev, now); err != nil || opt.Once {
			return err
		}
		prev = now
	}
}

func (opt Options) show(w io.Writer, prev, now *metrics.Snapshot) error {
	if opt.JSON {
		return writeJSON(w, now, "")
	}
	if opt.Terminal && !opt.Once {
		fmt.Fprint(w, "\x1b[H\x1b[2J")
	}
	if err := WriteTop(w, prev, now, opt.Rows); err != nil {
		return err
	}
	if !opt.Terminal && !opt.Once {
		fmt.Fprintln(w)
	}
	return nil
}

// after waits for d and asks for a snapshot.
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
