package main

import (
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensorstats"
)

// kept prints the share of its throughput that each workload keeps beside an
// empty program and beside the sensor, run by run in turn, with the events that
// the sensor saw and those that reached user space.
func kept(binary, hooks string, runs int) error {
	dir, err := os.MkdirTemp("", "speed")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	list, err := workloads(dir)
	if err != nil {
		return err
	}
	fmt.Println("| workload | alone, per second | kept with an empty program | kept with the sensor | sensor CPU | seen/s | delivered |")
	fmt.Println("|---|---|---|---|---|---|---|")
	for _, w := range list {
		if program := w.missing(); program != "" {
			fmt.Printf("| %s | %s is not installed |\n", w.name, program)
			continue
		}
		if err := w.compare(binary, hooks, runs); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return nil
}

func (w workload) compare(binary, hooks string, runs int) error {
	var alone, empty, watched, cpu, seen, delivered []float64
	for range runs {
		rate, err := w.run()
		if err != nil {
			return err
		}
		alone = append(alone, rate)
		detach, err := attachEmpty()
		if err != nil {
			return err
		}
		rate, err = w.run()
		if err := detach(); err != nil {
			return err
		}
		if err != nil {
			return err
		}
		empty = append(empty, rate)
		u, err := w.watch(binary, hooks)
		if err != nil {
			return err
		}
		watched, cpu = append(watched, u.rate), append(cpu, u.cpu)
		seen, delivered = append(seen, u.seen), append(delivered, u.delivered)
	}
	fmt.Printf("| %s | %.4g | %.0f %% | %.0f %% | %.1f %% | %.0f | %.1f %% |\n", w.name, middle(alone),
		100*middle(empty)/middle(alone), 100*middle(watched)/middle(alone), 100*middle(cpu), middle(seen), 100*middle(delivered))
	return nil
}

// watched is a run beside the sensor.
type watched struct {
	rate      float64
	cpu       float64 // of one CPU
	seen      float64 // events per second
	delivered float64 // share of them
}

func (w workload) watch(binary, hooks string) (u watched, err error) {
	p, err := start(binary, hooks)
	if err != nil {
		return u, err
	}
	<-p.ready
	if _, err := p.settle(hooks); err != nil {
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
	begin := time.Now()
	if u.rate, err = w.run(); err != nil {
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
	if events > 0 {
		u.delivered = float64(deliveredOf(after)-deliveredOf(before)) / float64(events)
	}
	return u, p.stop()
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
