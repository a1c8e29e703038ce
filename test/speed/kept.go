package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics/live"
	"github.com/peregrine-sec/peregrine/internal/sensorstats"
)

// kept prints the share of its throughput that each workload keeps beside an
// empty program and beside the sensor, run by run in turn, with the events that
// the sensor saw and those that reached user space.
func kept(o options) error {
	dir, err := os.MkdirTemp("", "speed")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	list, err := workloads(dir, o.seconds)
	if err != nil {
		return err
	}
	fmt.Println("| workload | alone, per second | kept with an empty program | kept with the sensor | sensor CPU | seen/s | delivered/s | delivered |")
	fmt.Println("|---|---|---|---|---|---|---|---|")
	var costs strings.Builder
	for _, w := range list {
		if !strings.Contains(w.name, o.only) {
			continue
		}
		if program := w.missing(); program != "" {
			fmt.Printf("| %s | %s is not installed |\n", w.name, program)
			continue
		}
		if err := w.compare(o, &costs); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	fmt.Print(costs.String())
	return nil
}

// compare prints the workload's row, and writes what programs in the kernel
// cost during one run more, if that is asked for.
func (w workload) compare(o options, costs io.Writer) (err error) {
	defer func() {
		if w.clean != nil {
			err = errors.Join(err, w.clean())
		}
	}()
	if err := w.ready(); err != nil {
		return err
	}
	var alone, empty, watched, cpu, seen, delivered, share []float64
	measures := []func() error{
		func() error {
			rate, err := w.run()
			alone = append(alone, rate)
			return err
		},
		func() error {
			rate, err := w.besideEmpty()
			empty = append(empty, rate)
			return err
		},
		func() error {
			u, err := w.watch(o, nil)
			watched, cpu = append(watched, u.rate), append(cpu, u.cpu)
			seen, delivered, share = append(seen, u.seen), append(delivered, u.delivered), append(share, u.delivered/max(u.seen, 1))
			return err
		},
	}
	for n := range o.runs * len(measures) {
		// Each round begins with another one: what a machine does over time
		// favours none.
		if err := measures[(n+n/len(measures))%len(measures)](); err != nil {
			return err
		}
	}
	fmt.Printf("| %s | %.4g | %.0f %% | %.0f %% | %.1f %% | %.0f | %.0f | %.1f %% |\n", w.name, middle(alone),
		100*middle(empty)/middle(alone), 100*middle(watched)/middle(alone), 100*middle(cpu), middle(seen), middle(delivered), 100*middle(share))
	if !o.programs {
		return nil
	}
	fmt.Fprintf(costs, "\n%s", w.name)
	_, err = w.watch(o, costs)
	return err
}

func (w workload) besideEmpty() (rate float64, err error) {
	detach, err := attachEmpty()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, detach()) }()
	return w.run()
}

// watched is a run beside the sensor.
type watched struct {
	rate      float64
	cpu       float64 // of one CPU
	seen      float64 // events per second
	delivered float64 // of these, to user space
}

// watch measures a run beside the sensor. Programs in the kernel are measured
// for costs, if it is not nil, which changes the other figures.
func (w workload) watch(o options, costs io.Writer) (u watched, err error) {
	p, err := start(o.binary, o.hooks)
	if err != nil {
		return u, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	<-p.ready
	if _, err := p.settle(o.hooks); err != nil {
		return u, err
	}
	time.Sleep(time.Second) // the start is over, and a first sample is there
	before, err := p.sample()
	if err != nil {
		return u, err
	}
	cpu, err := p.cpu()
	if err != nil {
		return u, err
	}
	measured := p.measure(costs)
	begin := time.Now()
	if u.rate, err = w.run(); err != nil {
		return u, err
	}
	if err := measured(); err != nil {
		return u, err
	}
	elapsed := time.Since(begin).Seconds()
	now, err := p.cpu()
	if err != nil {
		return u, err
	}
	u.cpu = (now - cpu).Seconds() / elapsed
	time.Sleep(time.Second / 2) // two samples
	after, err := p.sample()
	if err != nil {
		return u, err
	}
	events := after.Cur.Events - before.Cur.Events
	u.seen = float64(events) / elapsed
	u.delivered = float64(deliveredOf(after)-deliveredOf(before)) / elapsed
	return u, nil
}

// measure has the sensor measure its programs for a second, and returns a
// function that waits for the figures and writes them.
func (p *process) measure(w io.Writer) (wait func() error) {
	if w == nil {
		return func() error { return nil }
	}
	type result struct {
		costs *metrics.Costs
		err   error
	}
	got := make(chan result, 1)
	go func() {
		c := live.NewClient(p.socket())
		defer c.Close()
		costs, err := c.Costs(context.Background(), time.Second)
		got <- result{costs, err}
	}()
	return func() error {
		r := <-got
		if r.err == nil {
			live.WriteCosts(w, r.costs)
		}
		return r.err
	}
}

func deliveredOf(s sensorstats.Sample) uint64 {
	if s.Extra == nil {
		return 0
	}
	return s.Extra.Delivered
}

func middle(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}
