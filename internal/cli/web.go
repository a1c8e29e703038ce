package cli

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/pflag"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/report"
	"github.com/peregrine-sec/peregrine/internal/capacity/sweep"
	"github.com/peregrine-sec/peregrine/internal/live"
)

// webFlag is the address of the page that shows a run while it goes on.
func webFlag(flags *pflag.FlagSet, address *string) {
	flags.StringVar(address, "web", "", "serve a live page of the run at this loopback PORT or HOST:PORT (0 for a free port) and print its address")
}

// webPage is that page; nil shows nothing.
type webPage struct {
	*live.Page
	limit   atomic.Pointer[capacity.Limit]
	latency atomic.Pointer[float64]
}

// openPage opens the page, and prints where it is.
func openPage(env Env, address, title string) (*webPage, error) {
	if address == "" {
		return nil, nil
	}
	style, script := report.Look()
	p, err := live.Listen(address, title, live.Look{Style: style, Script: script})
	if err != nil {
		return nil, &ExitError{Code: ExitUsage, Err: err}
	}
	fmt.Fprintf(env.Stderr, "live: %s\n", p.URL())
	return &webPage{Page: p}, nil
}

// say is a say that the page hears too.
func (w *webPage) say(say func(string, ...any)) func(string, ...any) {
	if w == nil {
		return say
	}
	return func(format string, args ...any) {
		w.Say(strings.TrimSpace(fmt.Sprintf(format, args...)))
		say(format, args...)
	}
}

// round is a show of rounds that the page sees too.
func (w *webPage) round(show func(bench.Progress)) func(bench.Progress) {
	if w == nil {
		return show
	}
	return func(p bench.Progress) {
		m := p.Moment
		u := live.Update{
			Phase: fmt.Sprintf("round %d: %s", p.Round, p.Phase), Target: p.Rate, Alerts: &m.Alerts, Events: m.Events, Drops: m.Drops, CPU: m.CPU,
			Latency: w.latency.Load(),
		}
		if p.Label != "" {
			u.Phase += ", " + p.Label
		}
		if p.Phase != "load" {
			u.Target = 0
		}
		if l := w.limit.Load(); l != nil {
			u.Limit = l.CPU
			u.Phase = l.String() + ", " + u.Phase
		}
		w.Show(u)
		if show != nil {
			show(p)
		}
	}
}

// trial is a show of a capacity run's rounds that the page sees too.
func (w *webPage) trial(show func(sweep.Progress)) func(sweep.Progress) {
	if w == nil {
		return show
	}
	return func(p sweep.Progress) {
		w.limit.Store(&p.Limit)
		if t := p.Done; t != nil {
			if q := t.Round.Latency; q.Count > 0 {
				ms := float64(q.P99) / 1e6
				w.latency.Store(&ms)
			}
			w.Say(fmt.Sprintf("[%d/%d] %s  %s %.0f/s for %v: %s", p.Row, p.Rows, p.Limit, p.Phase, p.Target, p.Length, describeTrial(t)))
		}
		if p.Message != "" {
			w.Say(fmt.Sprintf("[%d/%d] %s  %s", p.Row, p.Rows, p.Limit, p.Message))
		}
		show(p)
	}
}

// end shows the report and ends the page, once those who look at it have it. A
// run is as good if they do not take it.
func (w *webPage) end(env Env, html string) {
	if w == nil {
		return
	}
	w.End(html)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := w.Close(ctx); err != nil {
		fmt.Fprintf(env.Stderr, "live: some viewers did not receive the end of the run: %v\n", err)
	}
}
