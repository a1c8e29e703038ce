package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/metrics/live"
)

// kept prints the share of its throughput that each workload keeps beside an
// empty program and beside the sensor, with the events that the sensor saw and
// those that reached user space.
func kept(o options) error {
	dir, err := os.MkdirTemp("", "speed")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	list, err := workloads(dir)
	if err != nil {
		return err
	}
	binary, err := buildPausable(dir)
	if err != nil {
		return err
	}
	fmt.Println("| workload | alone, per second | kept with an empty program | kept with the sensor | difference, points | blocks |" +
		" empty program in the kernel | sensor in the kernel | sensor CPU | seen/s | delivered/s | delivered |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|---|---|")
	var costs strings.Builder
	for _, w := range list {
		if !strings.Contains(w.name, o.only) {
			continue
		}
		if program := w.missing(); program != "" {
			fmt.Printf("| %s | %s is not installed |\n", w.name, program)
			continue
		}
		if err := w.compare(o, binary, &costs); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	fmt.Print(costs.String())
	return nil
}

// compare prints the workload's row, and writes what programs in the kernel
// cost by family and fate, if that is asked for.
func (w workload) compare(o options, binary string, costs io.Writer) (err error) {
	sensor, err := startPausable(binary)
	if err != nil {
		return err
	}
	b := &beside{now: watched, sensor: sensor}
	defer func() { err = errors.Join(err, b.end()) }()
	end, err := w.begin()
	defer func() {
		if end != nil {
			err = errors.Join(err, end())
		}
		if w.clean != nil {
			err = errors.Join(err, w.clean())
		}
	}()
	if err != nil {
		return err
	}
	blocks, did, err := w.blocks(b, o)
	if err != nil {
		return err
	}
	var took [conditions]inKernel
	for _, c := range []condition{empty, watched} {
		if took[c], err = w.inKernel(b, c); err != nil {
			return err
		}
	}
	if o.programs {
		fmt.Fprintf(costs, "\n%s", w.name)
		if err := w.costs(b, costs); err != nil {
			return err
		}
	}
	k, all := keptIn(blocks), slice{}
	for _, b := range blocks {
		all.ops, all.seconds = all.ops+b[alone].ops, all.seconds+b[alone].seconds
	}
	fmt.Printf("| %s | %.4g | %s | %s | %s | %d | %v | %v | %v |\n", w.name, all.rate(),
		interval(k.empty, " %"), interval(k.watched, " %"), interval(k.difference, ""), len(blocks), took[empty], took[watched], did)
	return nil
}

// blocks measures the work, which has begun, under each condition in turn.
func (w workload) blocks(b *beside, o options) (blocks []block, did work, err error) {
	if err := b.become(watched); err != nil {
		return nil, did, err
	}
	before, err := b.sensor.did()
	if err != nil {
		return nil, did, err
	}
	for begin := time.Now(); len(blocks) < 6 || time.Since(begin) < o.length; {
		var one block
		for round := range 2 {
			for _, c := range order(2*len(blocks) + round) {
				if err := b.become(c); err != nil {
					return nil, did, err
				}
				s, err := w.slice(o.slice)
				if err != nil {
					return nil, did, err
				}
				one.add(c, s)
			}
		}
		blocks = append(blocks, one)
	}
	if err := b.become(watched); err != nil {
		return nil, did, err
	}
	after, err := b.sensor.did()
	return blocks, after.minus(before), err
}

// inKernel measures programs for two seconds more.
func (w workload) inKernel(b *beside, c condition) (k inKernel, err error) {
	if err := b.become(c); err != nil {
		return k, err
	}
	return measureKernel(func() error {
		_, err := w.slice(2 * time.Second)
		return err
	})
}

// costs writes what the sensor says of its programs, for a second of work.
func (w workload) costs(b *beside, to io.Writer) error {
	done := make(chan error, 1)
	go func() {
		_, err := w.slice(time.Second)
		done <- err
	}()
	c, err := b.sensor.costs()
	if err == nil {
		live.WriteCosts(to, c)
	}
	return errors.Join(err, <-done)
}
