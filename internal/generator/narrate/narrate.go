// Package narrate reports the progress of a run: event-generator's log lines for
// slow runs, a progress line for fast ones, and a summary at the end.
package narrate

import (
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/generator/eventlog"
	"github.com/peregrine-sec/peregrine/internal/generator/pace"
)

// Screen is where the progress line goes.
type Screen struct {
	Out      io.Writer
	Terminal bool
}

// Story reports one run. Its methods fit generator.Options and are called one
// at a time.
type Story struct {
	log    *eventlog.Logger
	o      generator.Options
	screen Screen
	now    func() time.Time

	detailed bool // a line for each action
	sleep    time.Duration
	skips    []string
	counts   generator.Counts
	late     *hdrhistogram.Histogram // since the last progress
	start    time.Time
	told     time.Time
	width    int // of the progress line on screen
	failed   map[failure]bool
}

// failure is a kind of error that was reported already.
type failure struct {
	action uint16
	errno  int32
}

// Intervals of progress: on a terminal, and as log lines.
const (
	lineEvery = time.Second
	logEvery  = 10 * time.Second
)

// detailedRate is the highest rate at which each action gets its line.
const detailedRate = 100

// New begins a story.
func New(log *eventlog.Logger, o generator.Options, screen Screen) *Story {
	s := &Story{log: log, o: o, screen: screen, now: time.Now, late: pace.NewHistogram(), failed: map[failure]bool{}, skips: make([]string, len(o.Actions))}
	switch p := o.Pacer.(type) {
	case pace.Sleep:
		s.sleep = p.For
		s.detailed = o.Passes == 1 || p.For >= time.Second/detailedRate
	case pace.Constant:
		s.detailed = p.Rate <= detailedRate
	}
	return s
}

// Ready is for generator.Options.
func (s *Story) Ready(skips []string) {
	if s.start.IsZero() {
		s.start = s.now()
		s.told = s.start
	}
	for i, why := range skips {
		if why != "" {
			told := s.skips[i] != ""
			s.skips[i] = why
			if !s.detailed && !told {
				s.log.Log(eventlog.Warn, "action skipped", eventlog.Fields{"action": s.o.Actions[i].Name, "reason": why})
			}
		}
	}
}

// Sink is for generator.Options.
func (s *Story) Sink(batch []generator.Instance) {
	for i := range batch {
		in := &batch[i]
		s.counts.Count(in)
		pace.Record(s.late, time.Duration(in.Start-in.Planned))
		if in.Errno != 0 {
			s.failure(in)
		}
		if s.detailed {
			s.line(in)
		}
	}
	if !s.detailed {
		s.progress()
	}
}

// failure reports each kind of failure once in fast runs.
func (s *Story) failure(in *generator.Instance) {
	kind := failure{in.Action, in.Errno}
	if !s.detailed && !s.failed[kind] {
		s.error(in)
	}
	s.failed[kind] = true
}

func (s *Story) error(in *generator.Instance) {
	text := "failed without an error number"
	if in.Errno > 0 {
		errno := syscall.Errno(in.Errno)
		text = fmt.Sprintf("%s: %s", unix.ErrnoName(errno), errno.Error())
	}
	s.log.Log(eventlog.Error, "action error", eventlog.Fields{"action": s.o.Actions[in.Action].Name, "error": text})
}

// line is event-generator's line about one action.
func (s *Story) line(in *generator.Instance) {
	name := s.o.Actions[in.Action].Name
	fields := eventlog.Fields{"action": name}
	if s.sleep > 0 {
		s.log.Log(eventlog.Info, fmt.Sprintf("sleep for %v", s.sleep), fields)
	}
	switch {
	case in.Skipped:
		s.log.Log(eventlog.Warn, "action skipped", eventlog.Fields{"action": name, "reason": s.skips[in.Action]})
	case in.Errno != 0:
		s.error(in)
	default:
		if a, ok := action.Lookup(name); ok {
			for _, process := range a.Spawns {
				s.log.Log(eventlog.Debug, fmt.Sprintf("spawn as %q", process), fields)
			}
		}
		s.log.Log(eventlog.Info, "action executed", fields)
	}
}

// progress reports at intervals how far the run is.
func (s *Story) progress() {
	every := logEvery
	if s.screen.Terminal {
		every = lineEvery
	}
	now := s.now()
	if now.Sub(s.told) < every {
		return
	}
	s.told = now
	elapsed := now.Sub(s.start)
	p99 := time.Duration(s.late.ValueAtQuantile(99)).Round(time.Microsecond)
	s.late.Reset()
	if !s.screen.Terminal {
		s.log.Log(eventlog.Info, "progress", eventlog.Fields{"elapsed": elapsed.Round(time.Second), "offered": s.counts.Offered,
			"failed": s.counts.Failed, "skipped": s.counts.Skipped, "rate": round(float64(s.counts.Offered) / elapsed.Seconds()), "lateness_p99": p99})
		return
	}
	text := fmt.Sprintf("%s  %d actions  %.0f/s  failed %d  skipped %d  late p99 %v", s.clock(elapsed), s.counts.Offered,
		float64(s.counts.Offered)/elapsed.Seconds(), s.counts.Failed, s.counts.Skipped, p99)
	s.show(text)
}

// clock is the time gone by and, if known, the time in all.
func (s *Story) clock(elapsed time.Duration) string {
	elapsed = elapsed.Round(time.Second)
	if s.o.Duration > 0 {
		return fmt.Sprintf("%v/%v", elapsed, s.o.Duration)
	}
	return elapsed.String()
}

// show replaces the progress line.
func (s *Story) show(text string) {
	fmt.Fprintf(s.screen.Out, "\r%s%s", text, strings.Repeat(" ", max(0, s.width-len(text))))
	s.width = len(text)
}

// End tells the result, which may be nil.
func (s *Story) End(r *generator.Result) {
	if s.width > 0 {
		s.show("")
		fmt.Fprint(s.screen.Out, "\r")
	}
	if r == nil {
		return
	}
	fields := eventlog.Fields{"offered": r.Offered, "completed": r.Completed, "failed": r.Failed, "skipped": r.Skipped, "rate": round(r.OfferedRate()), "elapsed": r.End.Sub(r.Start).Round(time.Millisecond)}
	if r.TargetRate > 0 {
		fields["target_rate"], fields["target"] = round(r.TargetRate), r.Target
		fields["lateness_p50"] = time.Duration(r.Lateness.ValueAtQuantile(50))
		fields["lateness_p99"] = time.Duration(r.Lateness.ValueAtQuantile(99))
		fields["lateness_max"] = time.Duration(r.Lateness.Max())
	}
	s.log.Log(eventlog.Info, "run finished", fields)
	if s.detailed {
		return
	}
	for i := range r.Actions {
		a := &r.Actions[i]
		if a.Completed+a.Failed == 0 {
			continue
		}
		s.log.Log(eventlog.Info, a.Name, eventlog.Fields{"completed": a.Completed, "failed": a.Failed,
			"cost_p50": time.Duration(a.Cost.ValueAtQuantile(50)), "cost_p99": time.Duration(a.Cost.ValueAtQuantile(99))})
	}
}

// round keeps one decimal.
func round(f float64) float64 { return float64(int64(f*10+0.5)) / 10 }
