// Package terminal shows a run on a terminal while it goes on: its figures with
// their courses, and the last steps.
package terminal

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/live"
	"github.com/peregrine-sec/peregrine/internal/screen"
)

const (
	// every is how often the view is drawn, which is also how soon it fits a
	// window that was resized.
	every = 250 * time.Millisecond
	// maxSteps bounds the steps that are kept for the end: the last ones.
	maxSteps = 1 << 16
)

// Dashboard is the view of one run. Its methods may be called from any
// goroutine.
type Dashboard struct {
	out    io.Writer
	screen *screen.Screen
	stop   chan struct{}
	ended  chan struct{}

	mu   sync.Mutex
	view view
}

// Open takes the terminal until Close.
func Open(out io.Writer, board live.Board, color bool) (*Dashboard, error) {
	s, err := screen.Open(out)
	if err != nil {
		return nil, err
	}
	d := &Dashboard{out: out, screen: s, stop: make(chan struct{}), ended: make(chan struct{}), view: newView(board, color, time.Now())}
	go d.draw()
	return d, nil
}

// Show adds a moment.
func (d *Dashboard) Show(u live.Update) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.view.add(u)
}

// Say adds a step.
func (d *Dashboard) Say(text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	steps := d.view.steps
	d.view.steps = append(steps[max(0, len(steps)+1-maxSteps):], text)
}

// Close gives the terminal back, with the steps on it.
func (d *Dashboard) Close() error {
	close(d.stop)
	<-d.ended
	err := d.screen.Close()
	d.mu.Lock()
	steps := d.view.steps
	d.mu.Unlock()
	for _, step := range steps {
		for line := range strings.SplitSeq(step, "\n") {
			_, werr := fmt.Fprintln(d.out, human.Text(line))
			err = errors.Join(err, werr)
		}
	}
	return err
}

// draw draws until Close. A terminal that has gone is no reason to end a run.
func (d *Dashboard) draw() {
	defer close(d.ended)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		columns, rows := screen.Size(d.out)
		d.mu.Lock()
		text := d.view.render(columns, rows, time.Now())
		d.mu.Unlock()
		_ = d.screen.Draw(text)
		select {
		case <-d.stop:
			return
		case <-tick.C:
		}
	}
}
