package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/peregrine-sec/peregrine/internal/profile"
)

// few is the lowest number of calls in a recording whose rate says something.
const few = 100

func report(w io.Writer, r *round) error {
	fmt.Fprintln(w, "| syscall | original/s | replay/s | | beside the sensor: original/s | replay/s | | 100 ms max: original/s | replay/s | |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|---|")
	for _, s := range r.original.profile.Syscalls {
		if s.Rate()*r.original.profile.Seconds < few {
			continue
		}
		again, w1, w2 := find(r.replay, s.Name), find(r.watched, s.Name), find(r.watchedReplay, s.Name)
		fmt.Fprintf(w, "| %s | %.1f | %.1f | %s | %.1f | %.1f | %s | %.0f | %.0f | %s |\n", s.Name, s.Rate(), again.Rate(), percent(again.Rate(), s.Rate()),
			w1.Rate(), w2.Rate(), percent(w2.Rate(), w1.Rate()),
			s.Bursts.Tenth.Max, again.Bursts.Tenth.Max, percent(again.Bursts.Tenth.Max, s.Bursts.Tenth.Max))
	}
	for _, s := range r.replay.profile.Syscalls {
		if was := find(r.original, s.Name); s.Rate()*r.replay.profile.Seconds >= few && was.Rate()*r.original.profile.Seconds < few {
			fmt.Fprintf(w, "| %s | %.1f | %.1f | new |\n", s.Name, was.Rate(), s.Rate())
		}
	}
	line := func(name string, of func(observed) float64) {
		fmt.Fprintf(w, "| %s | %.1f | %.1f | %s | %.1f | %.1f | %s |\n", name, of(r.original), of(r.replay), percent(of(r.replay), of(r.original)),
			of(r.watched), of(r.watchedReplay), percent(of(r.watchedReplay), of(r.watched)))
	}
	line("all", func(o observed) float64 { return o.profile.Rate })
	line("all, 100 ms p99", func(o observed) float64 { return o.profile.Bursts.Tenth.P99 })
	line("all, 100 ms max", func(o observed) float64 { return o.profile.Bursts.Tenth.Max })
	line("forks", func(o observed) float64 { return o.profile.Processes.Forks })
	line("execs", func(o observed) float64 { return o.profile.Processes.Execs })
	line("threads", func(o observed) float64 { return o.profile.Processes.Threads })
	line("sensor CPU, % of one", func(o observed) float64 { return 100 * o.cost.cpu })
	fmt.Fprintf(w, "| sensor CPU without load, %% of one | %.1f | (%.0f events/s) |\n", 100*r.idle.cost.cpu, r.idle.cost.events)
	line("sensor events", func(o observed) float64 { return o.cost.events })
	line("sensor delivered", func(o observed) float64 { return o.cost.delivered })
	line("sensor drops", func(o observed) float64 { return o.cost.drops })
	return nil
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
