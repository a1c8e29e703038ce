// Command replay compares a real workload with its replay, for docs/profile.md:
//
//	make build && go build -o bin/replay ./test/replay && sudo bin/replay
//
// The workload is redis-benchmark against redis, wrk against nginx, and Go
// builds, at the same time and at known rates, in what sensors take for a
// container. It is recorded; the recording is replayed, and recorded in the same
// way. Then both run beside a sensor, by turns. What the tables compare is rates,
// bursts, and what the sensor spends. With
// -headroom 0.03 it compares instead the multiples of the workload at which a
// sensor with that CPU first drops an event; with -keep, "peregrine capacity run
// --load" can then answer for the same recording.
//
// If it is killed, "peregrine generate cleanup" and "peregrine capacity restore"
// undo what it leaves behind.
package main

import (
	"flag"
	"log"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/generator"
)

// bench is how all is measured.
type bench struct {
	binary string
	dir    string // of the workload's files
	flags  []string
	length time.Duration
	rounds int    // beside the sensor
	keep   string // where profiles are kept; "" for nowhere
	// confine, if not nil, limits a sensor that has started.
	confine func(pid int) error
}

func main() {
	log.SetFlags(0)
	if status, is := generator.Child(); is {
		os.Exit(status)
	}
	if os.Getenv(multipleVariable) != "" {
		log.Fatal(workload())
	}
	if err := measure(); err != nil {
		log.Fatal(err)
	}
}

func measure() (err error) {
	b := &bench{}
	flag.StringVar(&b.binary, "binary", "bin/peregrine", "the sensor")
	flag.DurationVar(&b.length, "length", 30*time.Second, "length of each recording")
	flag.IntVar(&b.rounds, "rounds", 5, "measure beside the sensor that often, the original and the replay by turns")
	flag.StringVar(&b.keep, "keep", "", "keep the profiles in this directory")
	cpu := flag.Float64("headroom", 0, "find the multiple at which a sensor with this CPU drops first, instead")
	flags := flag.String("sensor", "", "more flags of the sensor")
	flag.Parse()
	b.flags = strings.Fields(*flags)
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			return err
		}
	}
	if b.dir, err = os.MkdirTemp("", "replay"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if err := furnish(b.dir); err != nil {
		return err
	}
	if *cpu > 0 {
		return b.headroom(os.Stdout, *cpu)
	}
	r, err := b.round()
	if err != nil {
		return err
	}
	if b.keep != "" {
		for name, o := range map[string]*observed{"original": &r.original, "replay": &r.replay} {
			if err := o.profile.WriteFile(b.keep + "/" + name + ".json"); err != nil {
				return err
			}
		}
	}
	report(os.Stdout, &r)
	return nil
}

// round is each load alone, and beside the sensor several times: other programs
// change what it costs from one minute to the next.
type round struct {
	idle, original, replay observed
	watched, watchedReplay []observed
}

func (b *bench) round() (r round, err error) {
	real := func() (load, error) { return startOriginal(b.dir, 1) }
	again := func() (load, error) { return startReplay(r.original.profile, 1) }
	if r.idle, err = b.observe(func() (load, error) { return nothing{}, nil }, true); err != nil {
		return r, err
	}
	if r.original, err = b.observe(real, false); err != nil {
		return r, err
	}
	if r.replay, err = b.observe(again, false); err != nil {
		return r, err
	}
	for range b.rounds {
		one, err := b.observe(real, true)
		if err != nil {
			return r, err
		}
		other, err := b.observe(again, true)
		if err != nil {
			return r, err
		}
		r.watched, r.watchedReplay = append(r.watched, one), append(r.watchedReplay, other)
	}
	return r, nil
}
