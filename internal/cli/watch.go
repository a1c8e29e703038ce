package cli

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/sweep"
	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/live"
	"github.com/peregrine-sec/peregrine/internal/live/terminal"
	"github.com/peregrine-sec/peregrine/internal/page"
)

// watchFlags say how people see a run while it goes on.
type watchFlags struct{ ui, web string }

func (f *watchFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.web, "web", "", "serve a live page of the run at this loopback PORT or HOST:PORT (0 for a free port) and print its address")
	choiceFlag(cmd, cmd.Flags(), &f.ui, "ui", "show progress as a dashboard (live), as lines (plain), or as the terminal allows (auto)", "auto", "plain", "live")
}

// runBoard is the dashboard of bench and capacity.
func runBoard(title string) live.Board {
	return live.Board{Title: title, Charts: []page.Chart{
		{Wide: true, Caption: "Load, alerts, events and drops, per second", Lines: []page.Line{
			{Name: "load", Color: "load", Dash: page.Dashed}, {Name: "alerts", Color: "good"}, {Name: "events", Color: "accent"}, {Name: "drops", Color: "drops"}}},
		{Caption: "CPUs of the sensor, and its limit", Lines: []page.Line{{Name: "CPU", Color: "accent"}, {Name: "CPU limit", Color: "warn", Dash: page.Dashed}}},
		{Caption: "Latency of 99 % of the last round's alerts", Y: page.Axis{Unit: page.Millis}, Lines: []page.Line{{Name: "latency p99", Color: "accent"}}},
	}}
}

// watch is the live view of a run: lines or a dashboard on the terminal, and a
// page in a browser.
type watch struct {
	env   Env
	lines *progress
	board *terminal.Dashboard // nil: lines
	page  *live.Page          // nil: none
	once  sync.Once

	patience time.Duration // with viewers of the page, at the end

	limit   atomic.Pointer[capacity.Limit]
	latency atomic.Pointer[float64] // of the last round, ms
}

// open begins to show a run; end must be called. logs says that others write to
// the terminal too, which then has lines.
func (f *watchFlags) open(env Env, board live.Board, quiet, logs bool) (*watch, error) {
	w := &watch{env: env, lines: newProgress(env, quiet), patience: 5 * time.Second}
	drawn := env.Terminal && env.Getenv("TERM") != "dumb" && !quiet && (f.ui == "live" || f.ui == "auto" && !logs)
	var err error
	if f.web != "" {
		if w.page, err = live.Listen(f.web, board); err != nil {
			return nil, asUsage(err)
		}
	}
	if drawn {
		if w.board, err = terminal.Open(env.Stderr, board, env.Getenv("NO_COLOR") == ""); err != nil {
			w.end("")
			return nil, fmt.Errorf("draw on the terminal: %w", err)
		}
		w.lines = newProgress(env, true)
	}
	if w.page != nil {
		address := "live: " + w.page.URL()
		if w.board != nil {
			w.board.Say(address)
		} else {
			fmt.Fprintln(env.Stderr, address)
		}
	}
	return w, nil
}

// drawn says whether moments of the run are seen: on a dashboard or a page.
func (w *watch) drawn() bool { return w.board != nil || w.page != nil }

// say tells a step.
func (w *watch) say(format string, args ...any) {
	w.lines.say(format, args...)
	w.step(format, args...)
}

// step tells a step where moments are seen.
func (w *watch) step(format string, args ...any) {
	text := strings.TrimSpace(fmt.Sprintf(format, args...))
	if w.page != nil {
		w.page.Say(text)
	}
	if w.board != nil {
		w.board.Say(text)
	}
}

func (w *watch) show(u live.Update) {
	if w.page != nil {
		w.page.Show(u)
	}
	if w.board != nil {
		w.board.Show(u)
	}
}

// moment shows a moment of a round.
func (w *watch) moment(p bench.Progress) {
	m := p.Moment
	load, cpus := p.Rate, math.NaN()
	phase := fmt.Sprintf("round %d: %s", p.Round, p.Phase)
	if p.Label != "" {
		phase += ", " + p.Label
	}
	if p.Phase != "load" {
		load = 0
	}
	if l := w.limit.Load(); l != nil {
		phase = l.String() + ", " + phase
		if l.CPU > 0 {
			cpus = l.CPU
		}
	}
	w.show(live.Update{Phase: phase, Values: page.Values{load, m.Alerts, known(m.Events), known(m.Drops), known(m.CPU), cpus, known(w.latency.Load())}})
}

func known(x *float64) float64 {
	if x == nil {
		return math.NaN()
	}
	return *x
}

// round shows a moment of a bench.
func (w *watch) round(p bench.Progress) {
	w.lines.show(p)
	w.moment(p)
}

// rounded shows the end of a round of a bench.
func (w *watch) rounded(r *bench.Round) {
	w.late(r)
	w.step("round %d: %.0f actions/s, %s lost, latency p99 %s", r.Number, r.Rate.Offered, human.Share(r.Loss.Share), human.Duration(time.Duration(r.Latency.P99)))
}

func (w *watch) late(r *bench.Round) {
	if r.Latency.Count > 0 {
		ms := float64(r.Latency.P99) / 1e6
		w.latency.Store(&ms)
	}
}

// trial shows where a capacity run is.
func (w *watch) trial(p sweep.Progress) {
	w.limit.Store(&p.Limit)
	if p.Done != nil {
		w.late(&p.Done.Round)
	}
	text, done := capacityStep(p)
	if done {
		w.say("%s", text)
	} else {
		w.lines.overwrite(text)
	}
}

// end shows the report, "" for none, and restores the terminal. The page ends
// once its viewers have the report; a run does not fail if they do not take it.
func (w *watch) end(html string) {
	w.once.Do(func() {
		w.lines.clear()
		if w.board != nil {
			_ = w.board.Close() // a terminal that has gone
		}
		if w.page == nil {
			return
		}
		w.page.End(html)
		ctx, cancel := context.WithTimeout(context.Background(), w.patience)
		defer cancel()
		if err := w.page.Close(ctx); err != nil {
			fmt.Fprintf(w.env.Stderr, "live: some viewers did not receive the end of the run: %v\n", err)
		}
	})
}

// capacityStep says where a capacity run is: at a step, or in a round that is
// still under way.
func capacityStep(c sweep.Progress) (text string, done bool) {
	where := fmt.Sprintf("[%d/%d] %s", c.Row, c.Rows, c.Limit)
	if c.Sensor != "" {
		where += " " + c.Sensor
	}
	eta := c.Left.Round(10 * time.Second)
	switch {
	case c.Message != "":
		return fmt.Sprintf("%s  %s", where, c.Message), true
	case c.Done == nil:
		return fmt.Sprintf("%s  %-7s %9.0f/s for %v ...  about %v left", where, c.Phase, c.Target, c.Length, eta), false
	}
	return fmt.Sprintf("%s  %-7s %9.0f/s for %-4v %s  (about %v left)", where, c.Phase, c.Target, c.Length, describeTrial(c.Done), eta), true
}

// describeTrial is a trial in a few words.
func describeTrial(t *capacity.Trial) string {
	text := "clean"
	switch {
	case !t.Verdict.Clean:
		text = t.Verdict.Reasons[0]
	case t.Verdict.Limited:
		text = fmt.Sprintf("clean, but the generator managed only %.0f/s", t.Verdict.Offered)
	}
	if s := t.Round.Sensor; s != nil && s.Plateau > 0 {
		text += fmt.Sprintf(", %.0f events/s", s.EventsMean)
	}
	if u := t.Round.Usage; u != nil {
		text += fmt.Sprintf(", %.2f CPU", u.CPU)
	}
	return text
}
