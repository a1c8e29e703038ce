package method

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/sensorstats"
)

// Analysis is a table row, with where each figure is from. A figure that the
// files do not give is zero, and Remarks says why.
type Analysis struct {
	// PreDrop is the mean events per second of the seconds before the first
	// drop, in the round that dropped: the method's own reading. CleanRound is
	// the plateau of the last round without a drop.
	PreDrop    float64
	CleanRound float64
	EPS        float64 // of the last round before the one that dropped

	Failing, LastClean *LogRound
	FirstDrop          *sensorstats.Sample
	Idle               float64
	LostGoal           *LogRound // the last round within the goal for alerts; nil for none
	GeneratorLimited   *LogRound // the round in which the generator was the limit

	Sources []string // the files read, with their kind
	Remarks []string // caveats
}

// Goal is the share of alerts that a round may lose and still count as clean by
// its alerts.
const Goal = 0.001

// Analyze puts a stats file and a bench log together. Either may be nil;
// interval is the time of one sample where the stats do not tell it.
func Analyze(samples []sensorstats.Sample, rounds []LogRound, interval time.Duration) (*Analysis, error) {
	if len(samples) == 0 && len(rounds) == 0 {
		return nil, fmt.Errorf("nothing to analyze: neither samples nor rounds")
	}
	a := &Analysis{}
	shape := shapeOf(samples, interval)
	rounds, shape = complete(rounds, shape)
	a.readShape(samples, shape)
	a.readLog(rounds)
	a.align(samples, shape, rounds)
	a.alerts(rounds)
	a.generator(rounds)
	if syscalls, _ := a.Syscalls(); syscalls > 0 && a.EPS > syscalls {
		a.remark("EPS exceeds syscalls/s, which cannot be in one run, as every action is a syscall at least: the two files are of different runs, or the stats count something else")
	}
	return a, nil
}

// Syscalls is the figure of the row, and its kind: the plateau of the round
// that also gives the EPS, else of the seconds before the first drop.
func (a *Analysis) Syscalls() (perSecond float64, kind string) {
	switch {
	case a.CleanRound > 0:
		return a.CleanRound, "clean-round plateau"
	case a.PreDrop > 0:
		return a.PreDrop, "pre-drop plateau"
	}
	return 0, ""
}

// complete leaves out a last round that was interrupted before its statistics
// were printed, and its burst: where nothing has dropped, both figures are of
// the last round that is whole.
func complete(rounds []LogRound, s Shape) ([]LogRound, Shape) {
	n := len(rounds)
	dropped := slices.ContainsFunc(s.Bursts, func(b Burst) bool { return b.FirstDrop >= 0 })
	if n == 0 || rounds[n-1].Throughput >= 0 || dropped {
		return rounds, s
	}
	if len(s.Bursts) >= n {
		s.Bursts = s.Bursts[:len(s.Bursts)-1]
	}
	return rounds[:n-1], s
}

func (a *Analysis) from(format string, args ...any) {
	a.Sources = append(a.Sources, fmt.Sprintf(format, args...))
}

func (a *Analysis) remark(format string, args ...any) {
	a.Remarks = append(a.Remarks, fmt.Sprintf(format, args...))
}

// readShape takes the facts in the stats alone: idle level, first drop,
// plateau.
func (a *Analysis) readShape(samples []sensorstats.Sample, s Shape) {
	if len(samples) == 0 {
		return
	}
	a.Idle = s.Idle
	if s.Resting > 0 {
		a.from("idle: %.1f events/s, mean of %d resting samples", s.Idle, s.Resting)
	}
	if s.IdleDrops > 0 {
		a.remark("%d events were dropped in resting samples: drops of the load that surfaced late, or a host that was not quiet", s.IdleDrops)
	}
	failing := slices.IndexFunc(s.Bursts, func(b Burst) bool { return b.FirstDrop >= 0 })
	if failing < 0 {
		a.remark("no sample with load has drops: the limit was not reached")
		if n := len(s.Bursts); n > 0 {
			a.clean(samples, s.Bursts[n-1])
		}
		return
	}
	b := s.Bursts[failing]
	a.FirstDrop = &samples[b.FirstDrop]
	a.PreDrop = b.Rate
	a.from("first drop: sample %d, %d of %d events (%.4f %%)", a.FirstDrop.Number, a.FirstDrop.Delta.Drops, a.FirstDrop.Delta.Events, a.FirstDrop.Delta.DropPercent())
	if len(b.Plateau) > 0 {
		a.from("pre-drop plateau: %.2f events/s, mean of samples %s of the burst that dropped; %d dropped in all", b.Rate, span(samples, b.Plateau), b.Drops)
	} else {
		a.remark("the failing round dropped from its first second on: no pre-drop plateau")
	}
	if len(b.Edges) > 0 {
		a.from("left out: sample %s, partly load and partly rest", span(samples, b.Edges))
	}
	if failing > 0 {
		a.clean(samples, s.Bursts[failing-1])
	} else {
		a.remark("the stats hold no burst before the one that dropped: the plateau is that of the failing round, which may exceed the sustainable rate")
	}
}

func (a *Analysis) clean(samples []sensorstats.Sample, b Burst) {
	if len(b.Plateau) == 0 {
		return
	}
	a.CleanRound = b.Rate
	a.from("clean-round plateau: %.2f events/s, mean of samples %s", b.Rate, span(samples, b.Plateau))
}

// span names samples by their numbers.
func span(samples []sensorstats.Sample, indexes []int) string {
	var parts []string
	for i := 0; i < len(indexes); {
		j := i
		for j+1 < len(indexes) && indexes[j+1] == indexes[j]+1 {
			j++
		}
		first, last := samples[indexes[i]].Number, samples[indexes[j]].Number
		if first == last {
			parts = append(parts, fmt.Sprint(first))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", first, last))
		}
		i = j + 1
	}
	return strings.Join(parts, ", ")
}

func (a *Analysis) readLog(rounds []LogRound) {
	for i := range rounds {
		if rounds[i].Repeated {
			a.remark("round %d got alerts that were not its own (line %d): late ones, or of another process", rounds[i].Number, rounds[i].Line)
		}
	}
}

// align finds the round that belongs to the burst that dropped. People stop
// the bench when they see drops, so counting is from the end.
func (a *Analysis) align(samples []sensorstats.Sample, s Shape, rounds []LogRound) {
	if len(rounds) == 0 {
		return
	}
	failing := len(rounds)
	if a.FirstDrop != nil {
		after := 0
		for i := len(s.Bursts) - 1; s.Bursts[i].FirstDrop < 0 || samples[s.Bursts[i].FirstDrop].Number != a.FirstDrop.Number; i-- {
			after++
		}
		failing = len(rounds) - 1 - after
		if failing < 0 {
			a.remark("the stats have more bursts than the log has rounds: they are not of the same run")
			return
		}
		a.Failing = &rounds[failing]
		a.from("failing round: %d (log line %d), the one of the burst with the first drop, counted from the end", a.Failing.Number, a.Failing.Line)
	}
	if failing == 0 {
		a.remark("the log has no round before the one that dropped: no EPS")
		return
	}
	a.LastClean = &rounds[failing-1]
	what := "the last before the drops"
	switch {
	case a.FirstDrop == nil && len(samples) > 0:
		what = "the last one that is complete"
	case a.FirstDrop == nil: // no other figure has to be of the same round
		what = "the highest of all"
		for i := range rounds {
			if rounds[i].Throughput > a.LastClean.Throughput {
				a.LastClean = &rounds[i]
			}
		}
	}
	if a.LastClean.Throughput < 0 {
		a.remark("round %d (log line %d) has no statistics: no EPS", a.LastClean.Number, a.LastClean.Line)
		return
	}
	a.EPS = a.LastClean.Throughput
	a.from("EPS: %.1f, throughput of round %d (log line %d), %s", a.EPS, a.LastClean.Number, a.LastClean.Line, what)
}

// alerts compares the two views: the kernel's drops and the generator's lost
// alerts.
func (a *Analysis) alerts(rounds []LogRound) {
	for i := range rounds {
		if rounds[i].Lost() > Goal {
			break
		}
		a.LostGoal = &rounds[i]
	}
	if a.LastClean == nil || a.LastClean.Lost() <= Goal {
		return
	}
	r := a.LastClean
	where := "no round of the log is within it"
	if a.LostGoal != nil {
		where = fmt.Sprintf("by alerts the last clean round is %d", a.LostGoal.Number)
	}
	a.remark("round %d is clean by drops but has lost %.2f %% of its alerts (printed as %d %%), more than the goal of %.1f %%; %s. Without kernel drops alerts get lost or late in the output: queue, rate limit, transport",
		r.Number, 100*r.Lost(), r.Printed(), 100*Goal, where)
}

// generator recognises a run in which the generator was the limit.
func (a *Analysis) generator(rounds []LogRound) {
	offered, targets := []float64{}, []float64{}
	for i := range rounds {
		if rounds[i].Throughput < 0 {
			return
		}
		offered = append(offered, rounds[i].Throughput)
		target := 0.0
		if rounds[i].Sleep > 0 {
			target = 1 / rounds[i].Sleep.Seconds()
		}
		targets = append(targets, target)
	}
	at := bench.LimitedAt(offered, targets)
	if at < 0 {
		return
	}
	r := &rounds[at]
	a.GeneratorLimited = r
	growth := func(i int) float64 { return 100 * (offered[i]/offered[i-1] - 1) }
	a.remark("the generator was the limit by round %d: EPS changed by %+.1f %% and %+.1f %% in two rounds although the sleep was halved in each, with %.1f %% of the alerts lost and the sensor at %.1f %% of a core: the sensor takes at least %.1f EPS, and nothing says how much more",
		r.Number, growth(at-1), growth(at), 100*r.Lost(), r.CPU, slices.Max(offered[:at+1]))
	a.slow(r)
}

// slow says how much of a pass is not sleep, and which actions are likely.
func (a *Analysis) slow(r *LogRound) {
	n := len(r.Actions)
	if n == 0 || r.Throughput <= 0 {
		return
	}
	pass := time.Duration(float64(n) / r.Throughput * float64(time.Second))
	cost := pass - time.Duration(n)*r.Sleep
	text := fmt.Sprintf("one pass through the %d actions takes %v, of which only %v is sleep: an action is slow", n, pass.Round(10*time.Microsecond), (time.Duration(n) * r.Sleep).Round(time.Microsecond))
	var suspects, rest []string
	for _, act := range r.Actions {
		short := act.Name[strings.LastIndexByte(act.Name, '.')+1:]
		if known, ok := action.Lookup(act.Name); ok && (len(known.Touches) > 0 || known.Cost != action.Fast) {
			suspects = append(suspects, short)
		} else {
			rest = append(rest, short)
		}
	}
	if len(suspects) > 0 && len(rest) > 0 {
		slices.Sort(rest)
		text += fmt.Sprintf("; %s writes to disk or starts processes, the others do not: repeat with \"%s\"", strings.Join(suspects, ", "), strings.Join(rest, "|"))
	}
	a.remark("%s (%v per pass without sleep)", text, cost.Round(10*time.Microsecond))
}

// Write prints the row in the form of the method's table, and its sources.
func (a *Analysis) Write(w io.Writer, cpu, memory string) error {
	syscalls, kind := a.Syscalls()
	if kind != "" {
		kind = " (" + kind + ")"
	}
	var out strings.Builder
	fmt.Fprintf(&out, "CPU %s   Memory %s   Syscalls/s %s%s   EPS %s\n", cmp.Or(cpu, "-"), cmp.Or(memory, "-"), a.figure(syscalls, 2), kind, a.figure(a.EPS, 1))
	fmt.Fprintf(&out, "rounded down: %s syscalls/s, %s EPS\n", a.figure(capacity.RoundDown(syscalls), 0), a.figure(capacity.RoundDown(a.EPS), 0))
	for _, part := range []struct {
		title string
		lines []string
	}{{"From", a.Sources}, {"Remarks", a.Remarks}} {
		if len(part.lines) > 0 {
			fmt.Fprintf(&out, "\n%s\n- %s\n", part.title, strings.Join(part.lines, "\n- "))
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// figure prints a figure of the row: a lower bound, if nothing has dropped.
func (a *Analysis) figure(x float64, decimals int) string {
	switch {
	case x <= 0:
		return "-"
	case a.FirstDrop == nil:
		return fmt.Sprintf(">= %.*f", decimals, x)
	}
	return fmt.Sprintf("%.*f", decimals, x)
}
