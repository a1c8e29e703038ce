// Command soak runs the sensor under load for a long time while everything
// around it fails: outputs die, hang and come back, a disk fills, rules and
// configurations good and bad are reloaded, processes storm, the sensor is
// stopped and short of memory. It checks the sensor's books all the time, and
// at the end that nothing has grown and nothing is left.
//
//	go run ./test/soak -for 1h
//
// The faults follow from the seed, which is printed: -seed repeats a run. It
// needs root and the kernel's eBPF, touches nothing outside of its directory
// but one cgroup, and sends nothing beyond the loopback interface.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/peregrine-sec/peregrine/internal/wait"
)

func main() {
	length := flag.Duration("for", time.Hour, "how long")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "decides which faults come when")
	binary := flag.String("binary", "bin/peregrine", "the sensor")
	flag.Parse()
	fmt.Printf("soak: %v, -seed %d\n", *length, *seed)
	if err := run(*binary, *length, *seed); err != nil {
		fmt.Fprintf(os.Stderr, "soak: -seed %d:\n%v\n", *seed, err)
		os.Exit(1)
	}
}

// settling is the time without faults at both ends, in which the sensor's rest
// is measured.
const settling = 5 * time.Second

// run ends early, with an error, on a signal.
func run(binary string, length time.Duration, seed uint64) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	w, err := newWorld()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	s, err := start(ctx, binary, w)
	if err != nil {
		return err
	}
	defer s.kill()
	books := newBooks(s, w)
	load := startLoad(w)
	sampling, endSampling := context.WithCancel(ctx)
	go books.watch(sampling)

	err = wait.For(ctx, settling)
	before, berr := books.rest(ctx, load)
	err = errors.Join(err, berr)
	books.bound(before)
	faults := schedule(rand.New(rand.NewPCG(seed, 0)), length-2*settling)
	begin := time.Now()
	for i := 0; i < len(faults) && err == nil; i++ {
		f := faults[i]
		if err = wait.For(ctx, time.Until(begin.Add(f.at))); err == nil {
			fmt.Printf("%8s  %s for %v\n", f.at.Round(time.Second), f.kind.name, f.lasts.Round(time.Millisecond))
			err = f.inject(ctx, w, s)
		}
		if err == nil {
			err = books.problem()
		}
	}
	after, aerr := books.rest(ctx, load)
	load.stop()
	endSampling()
	err = errors.Join(err, aerr, books.problem())
	if err == nil {
		fmt.Printf("at rest  before: %v\n         after:  %v\n", before, after)
		err = errors.Join(before.compare(after), s.table(ctx), s.stop(w))
	}
	if err == nil {
		fmt.Printf("passed: %d faults, %d samples, %d alerts, %v, %d events seen, %d dropped\n",
			len(faults), books.samples, books.last.Alerts, &s.contained, books.last.Probe.Seen, books.last.Probe.Drops.Total())
	}
	return err
}
