package cli

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench"
)

// progress shows the progress of bench: one line that is overwritten on a
// terminal, plain lines for the steps elsewhere.
type progress struct {
	mu       sync.Mutex
	out      io.Writer
	terminal bool
	quiet    bool
	width    int // of the line on the screen
}

func newProgress(env Env, quiet bool) *progress {
	return &progress{out: env.Stderr, terminal: env.Terminal, quiet: quiet}
}

// say writes a line that stays.
func (p *progress) say(format string, args ...any) {
	if p.quiet {
		return
	}
	p.clear()
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.out, format+"\n", args...)
}

// show overwrites the line of progress.
func (p *progress) show(b bench.Progress) {
	p.overwrite(fmt.Sprintf("round %d  %s  %s of %s  %.0f actions/s  %d alerts  %d drops", b.Round, b.Phase,
		b.Elapsed.Truncate(100*time.Millisecond), b.Duration, b.Rate, b.Alerts, b.Drops))
}

// overwrite replaces the line that does not stay.
func (p *progress) overwrite(text string) {
	if p.quiet || !p.terminal {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.out, "\r%-*s", p.width, text)
	p.width = len(text)
}

// clear takes the line off the screen.
func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.width > 0 {
		fmt.Fprintf(p.out, "\r%*s\r", p.width, "")
		p.width = 0
	}
}
