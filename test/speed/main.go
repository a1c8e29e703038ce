// Command speed measures the sensor's cost and capacity on this machine, for
// docs/benchmarks.md:
//
//	make build && sudo go run ./test/speed
//	sudo go run ./test/speed -workloads -programs
//	sudo go run ./test/speed -prices
//
// It starts bin/peregrine as a process of its own, again for each row, and
// reads that process's times from /proc and its counters from the statistics
// file. Every figure is a median of several runs; on a machine with other work
// none of them means much. Workloads are compared in short slices that alternate
// while the work goes on, as the speed of a machine is not the same for long: one
// sensor is built for this, which detaches its programs and attaches them again.
package main

import (
	"flag"
	"fmt"
	"log"
	"slices"
	"time"
)

// options of a comparison.
type options struct {
	binary, hooks, only string
	runs, seconds       int
	length, slice       time.Duration
	programs            bool
}

func main() {
	log.SetFlags(0)
	binary := flag.String("binary", "bin/peregrine", "the sensor; -workloads builds one of its own, which can pause")
	runs := flag.Int("runs", 3, "runs of each measurement")
	seconds := flag.Int("seconds", 8, "length of each run")
	length := flag.Duration("for", time.Minute, "with -workloads: how long each is measured")
	slice := flag.Duration("slice", 100*time.Millisecond, "with -workloads: how long each is measured at a time")
	hooks := flag.String("hooks", "tracepoint", "peregrine.hooks of the sensor: auto, functions or tracepoint; -workloads has the tracepoint")
	real := flag.Bool("workloads", false, "measure real work with and without the sensor instead")
	only := flag.String("only", "", "with -workloads: those whose name contains this")
	programs := flag.Bool("programs", false, "with -workloads: show what the programs in the kernel cost, by family and fate, for a second more")
	three := flag.Bool("prices", false, "measure syscalls and redis without a sensor and with each of its hooks instead")
	flag.Parse()
	o := options{*binary, *hooks, *only, *runs, *seconds, *length, *slice, *programs}
	if *three {
		if err := prices(o); err != nil {
			log.Fatal(err)
		}
		return
	}
	if *real {
		if err := kept(o); err != nil {
			log.Fatal(err)
		}
		return
	}
	each := time.Duration(*seconds) * time.Second
	rows := []struct {
		name    string
		measure func() (result, error)
	}{
		{"start to first alert", func() (result, error) { return startup(*binary, *hooks) }},
		{"idle", func() (result, error) { return steady(*binary, *hooks, load{}, each, 0) }},
		{"open/close, 20,000/s", func() (result, error) { return steady(*binary, *hooks, load{rate: 20000, workers: 1}, each, 0) }},
		{"open/close, one loop unpaced", func() (result, error) { return steady(*binary, *hooks, load{workers: 1}, each, 0) }},
		{"open/close, two loops unpaced", func() (result, error) { return steady(*binary, *hooks, load{workers: 2}, each, 0) }},
		{"dup/close, 20,000/s", func() (result, error) {
			return steady(*binary, *hooks, load{rate: 20000, workers: 1, dup: true}, each, 0)
		}},
		{"dup/close, one loop unpaced", func() (result, error) { return steady(*binary, *hooks, load{workers: 1, dup: true}, each, 0) }},
		{"dup/close, two loops, sensor limited to 0.25 CPU", func() (result, error) { return steady(*binary, *hooks, load{workers: 2, dup: true}, each, 0.25) }},
		{"two loops, sensor limited to 0.25 CPU", func() (result, error) { return steady(*binary, *hooks, load{workers: 2}, each, 0.25) }},
		{"one loop, sensor limited to 0.25 CPU", func() (result, error) { return steady(*binary, *hooks, load{workers: 1}, each, 0.25) }},
	}
	fmt.Println("| what | events/s | dropped | CPU | ns/event | resident | first alert |")
	fmt.Println("|---|---|---|---|---|---|---|")
	inForce := ""
	for _, row := range rows {
		var all []result
		for range *runs {
			r, err := row.measure()
			if err != nil {
				log.Fatalf("%s: %v", row.name, err)
			}
			all = append(all, r)
			if r.hooks != "" {
				inForce = r.hooks
			}
		}
		fmt.Printf("| %s | %s |\n", row.name, median(all))
	}
	fmt.Printf("\nHooks in force: %s\n", inForce)
}

// result is one measurement; figures that do not apply are zero.
type result struct {
	events, drops uint64
	elapsed, cpu  time.Duration
	rss           uint64 // bytes
	firstAlert    time.Duration
	hooks         string // in force
}

func (r result) rate() float64 { return float64(r.events) / r.elapsed.Seconds() }

// median takes the run whose CPU time, or time to the first alert, is in the
// middle: the figures of a row belong to one run.
func median(all []result) string {
	slices.SortFunc(all, func(a, b result) int {
		return int(a.cpu + a.firstAlert - b.cpu - b.firstAlert)
	})
	r := all[len(all)/2]
	if r.elapsed == 0 {
		return fmt.Sprintf("| | | | | %v", r.firstAlert.Round(time.Millisecond))
	}
	perEvent := "-"
	if r.events > 1000 {
		perEvent = fmt.Sprintf("%.0f", float64(r.cpu.Nanoseconds())/float64(r.events))
	}
	return fmt.Sprintf("%.0f | %d | %.2f %% | %s | %.1f MiB | ", r.rate(), r.drops,
		100*r.cpu.Seconds()/r.elapsed.Seconds(), perEvent, float64(r.rss)/(1<<20))
}
