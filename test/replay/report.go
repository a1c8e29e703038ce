package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/peregrine-sec/peregrine/internal/profile"
	"github.com/peregrine-sec/peregrine/internal/sample"
)

// few is the lowest number of calls in a recording whose rate says something.
const few = 100

func report(w io.Writer, r *round) {
	fmt.Fprintln(w, "| syscall | original/s | replay/s | | 100 ms max: original/s | replay/s | |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|")
	for _, s := range r.original.profile.Syscalls {
		if s.Rate()*r.original.profile.Seconds < few {
			continue
		}
		again := find(r.replay, s.Name)
		fmt.Fprintf(w, "| %s | %.1f | %.1f | %s | %.0f | %.0f | %s |\n", s.Name, s.Rate(), again.Rate(), percent(again.Rate(), s.Rate()),
			s.Bursts.Tenth.Max, again.Bursts.Tenth.Max, percent(again.Bursts.Tenth.Max, s.Bursts.Tenth.Max))
	}
	for _, s := range r.replay.profile.Syscalls {
		if was := find(r.original, s.Name); s.Rate()*r.replay.profile.Seconds >= few && was.Rate()*r.original.profile.Seconds < few {
			fmt.Fprintf(w, "| %s | %.1f | %.1f | new |\n", s.Name, was.Rate(), s.Rate())
		}
	}
	line := func(name string, of func(*profile.Profile) float64) {
		was, is := of(r.original.profile), of(r.replay.profile)
		fmt.Fprintf(w, "| %s | %.1f | %.1f | %s |\n", name, was, is, percent(is, was))
	}
	line("all", func(p *profile.Profile) float64 { return p.Rate })
	line("all, 100 ms p99", func(p *profile.Profile) float64 { return p.Bursts.Tenth.P99 })
	line("all, 100 ms max", func(p *profile.Profile) float64 { return p.Bursts.Tenth.Max })
	line("forks", func(p *profile.Profile) float64 { return p.Processes.Forks })
	line("execs", func(p *profile.Profile) float64 { return p.Processes.Execs })
	line("threads", func(p *profile.Profile) float64 { return p.Processes.Threads })
	beside(w, r)
}

// beside is what the sensor made of it: the medians of all rounds, and of the
// differences within each. Its cost without any load is that of other programs.
func beside(w io.Writer, r *round) {
	fmt.Fprintf(w, "\n| beside the sensor, medians of %d | no load | original | replay | difference |\n|---|---|---|---|---|\n", len(r.watched))
	line := func(name string, of func(*observed) float64) {
		var was, is, ratios []float64
		for i := range r.watched {
			was, is = append(was, of(&r.watched[i])), append(is, of(&r.watchedReplay[i]))
			ratios = append(ratios, is[i]/was[i])
		}
		ratio := "-"
		if sample.Median(was) > 0 {
			ratio = percent(sample.Median(ratios), 1)
		}
		fmt.Fprintf(w, "| %s | %.1f | %.1f | %.1f | %s |\n", name, of(&r.idle), sample.Median(was), sample.Median(is), ratio)
	}
	line("CPU, % of one", func(o *observed) float64 { return 100 * o.cost.cpu })
	line("pauses/s", func(o *observed) float64 { return o.cost.pauses })
	line("events/s", func(o *observed) float64 { return o.cost.events })
	line("delivered/s", func(o *observed) float64 { return o.cost.delivered })
	line("dropped/s", func(o *observed) float64 { return o.cost.drops })
	line("syscalls/s", func(o *observed) float64 { return o.profile.Rate })
}

func find(o observed, name string) profile.Syscall {
	i := slices.IndexFunc(o.profile.Syscalls, func(s profile.Syscall) bool { return s.Name == name })
	if i < 0 {
		return profile.Syscall{}
	}
	return o.profile.Syscalls[i]
}

func percent(is, was float64) string {
	if was == 0 {
		return "-"
	}
	return fmt.Sprintf("%+.1f %%", 100*(is/was-1))
}
