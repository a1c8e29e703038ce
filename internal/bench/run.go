package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/bench/intake"
	"github.com/peregrine-sec/peregrine/internal/bench/match"
	"github.com/peregrine-sec/peregrine/internal/bench/syscalls"
	"github.com/peregrine-sec/peregrine/internal/bench/usage"
	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/internal/generator/pace"
	"github.com/peregrine-sec/peregrine/internal/sensorstats"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

var _ Runner = (*Session)(nil)

// observation is everything seen of one round, before it is summed up.
type observation struct {
	number   int
	load     Load
	start    time.Time
	end      time.Time
	drainEnd time.Time
	partial  bool

	main    *generator.Result // nil without actions
	noise   *generator.Result // nil without noise
	actions []match.Action
	index   *match.Index
	tally   match.Tally
	earlier int
	strays  []Stray

	before    *sensorstats.Sample // the last one ahead of the round
	samples   []sensorstats.Sample
	hasStats  bool
	usage     *usage.Window
	host      usage.Host
	syscalls  *HostCount
	counts    intake.Traffic // of this round
	clockStep time.Duration
	gone      bool
}

// Run implements Runner.
func (s *Session) Run(ctx context.Context, load Load) (Round, error) {
	if load.Closed {
		load.Rate = 0
	}
	s.number++
	o := &observation{load: load, number: s.number, actions: s.actions}
	before := s.o.Target.Alerts().Traffic()
	clock := pace.Offset(unix.CLOCK_BOOTTIME)
	stop := s.report(o)
	err := s.load(ctx, o)
	if load.Ended != nil {
		load.Ended()
	}
	if err == nil {
		s.drain(ctx, o)
	}
	stop()
	if err != nil {
		return Round{}, fmt.Errorf("round %d: %w", o.number, err)
	}
	o.partial = ctx.Err() != nil
	o.counts = difference(s.o.Target.Alerts().Traffic(), before)
	o.clockStep = max((pace.Offset(unix.CLOCK_BOOTTIME) - clock).Abs(), o.clockStep)
	s.sampled(o)
	round := o.round()
	round.Findings = diagnose(&round)
	if s.o.Recorder != nil {
		if err := s.o.Recorder.Record(&round, s.actions, o.index, o.strays); err != nil { // a full disk ends no measurement
			round.Findings = append(round.Findings, Finding{"unkept", fmt.Sprintf("the raw data of this round could not be kept: %v", err)})
		}
	}
	s.earlier = append(s.earlier, &past{o.number, o.index})
	if len(s.earlier) > keepRounds {
		s.earlier = s.earlier[1:]
	}
	return round, ctx.Err()
}

// load runs the generator, and the samplers meanwhile.
func (s *Session) load(ctx context.Context, o *observation) error {
	watch, err := usage.Start(s.o.Target.PID())
	if err != nil {
		return err
	}
	counter, err := s.counter()
	if err != nil {
		watch.Stop(time.Time{}, time.Time{})
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if exited := s.o.Target.Exited(); exited != nil {
		go func() {
			select {
			case <-exited:
				cancel()
			case <-ctx.Done():
			}
		}()
	}
	o.start = time.Now()
	err = s.generate(ctx, o)
	o.end = time.Now()
	if counter != nil {
		n, elapsed, countErr := counter.Count()
		err = errors.Join(err, countErr, counter.Close())
		o.syscalls = &HostCount{PerSecond: float64(n) / elapsed.Seconds()}
	}
	if o.main != nil && o.main.Offered > 0 { // without the sandbox's set-up
		o.start, o.end = o.main.Start, o.main.End
	} else if o.noise != nil {
		o.start, o.end = o.noise.Start, o.noise.End
	}
	o.usage, o.host = watch.Stop(o.start, o.end)
	return err
}

func (s *Session) counter() (*syscalls.Counter, error) {
	if !s.o.CountSyscalls {
		return nil, nil
	}
	return syscalls.Attach(false)
}

// generate performs the actions and the noise, side by side. Without either it
// waits: an idle round.
func (s *Session) generate(ctx context.Context, o *observation) error {
	main, noise := s.plan(o)
	if main == nil && noise == nil {
		_ = wait.For(ctx, o.load.Duration) // a round that is cut short still counts
		return nil
	}
	failed := make(chan error, 2)
	start := func(options *generator.Options, result **generator.Result) {
		if options == nil {
			failed <- nil
			return
		}
		var err error
		*result, err = s.o.Generate(ctx, *options)
		failed <- err
	}
	go start(main, &o.main)
	go start(noise, &o.noise)
	return errors.Join(<-failed, <-failed)
}

// noisePerWorker is how many background syscalls a second one thread is
// trusted with.
const noisePerWorker = 150_000

// tickOf is how often a thread wakes up for its actions at a rate; 0 leaves that
// to the generator. A wake-up costs several times an action: with ten actions and
// more in each, the sensor has more of the CPUs. Actions then start half a tick
// late in the mean, which only the response time shows.
func tickOf(rate float64) time.Duration {
	if rate < fastRate {
		return 0
	}
	return fastTick
}

const (
	fastRate = 20_000
	fastTick = 500 * time.Microsecond
)

// plan returns the generator's options for the load and the noise; nil for
// none.
func (s *Session) plan(o *observation) (main, noise *generator.Options) {
	base := generator.Options{Duration: o.load.Duration, Seed: s.o.Seed + uint64(o.number), Workers: 1, Sandbox: s.o.Sandbox, Abort: s.o.Abort}
	if len(s.o.Actions) > 0 && (o.load.Rate > 0 || o.load.Closed) {
		m := base
		m.Actions = generator.Choices(s.o.Actions)
		m.Rate = o.load.Rate
		m.Workers = max(1, s.o.Workers, o.load.Workers)
		if o.load.Closed {
			m.Rate, m.Pacer = 0, pace.Sleep{For: o.load.Sleep}
		}
		m.Tick = tickOf(m.Rate / float64(m.Workers))
		main = &m
	}
	if o.load.Noise > 0 {
		n := s.background(o.load)
		n.Duration, n.Seed, n.Sandbox, n.Abort = base.Duration, base.Seed, base.Sandbox, base.Abort
		noise = &n
	}
	return main, noise
}

// background is the load beside the actions: noise, or the recorded workload at
// the scale that makes as many syscalls.
func (s *Session) background(load Load) generator.Options {
	if p := s.o.Profile; p != nil {
		if o, _, err := generator.Replay(p, load.Noise/p.Rate, load.Duration); err == nil { // as Open has checked
			return o
		}
	}
	n := generator.Noise(load.Noise)
	n.Workers = min(1+int(load.Noise/noisePerWorker), runtime.NumCPU())
	return n
}

// sampledSince says whether the sensor's samples cover the load's end and one
// interval more: drops may surface late.
func (s *Session) sampledSince(end time.Time) bool {
	if s.o.Target.Stats() == nil {
		return true
	}
	last := s.lastSample()
	return last != nil && last.Time-last.Elapsed >= end.UnixNano()
}

// sampled puts the round's samples together.
func (s *Session) sampled(o *observation) {
	all := s.Samples()
	o.hasStats = s.o.Target.Stats() != nil
	o.samples = within(all, o.start.UnixNano(), o.drainEnd.UnixNano())
	for i := range all {
		if all[i].Time <= o.start.UnixNano() {
			o.before = &all[i]
		}
	}
	if o.syscalls == nil {
		o.syscalls = s.cal.estimate(o)
	}
}

func difference(now, before intake.Traffic) intake.Traffic {
	return intake.Traffic{
		Alerts: now.Alerts - before.Alerts, Malformed: now.Malformed - before.Malformed,
		Bytes: now.Bytes - before.Bytes, Reads: now.Reads - before.Reads, LastError: now.LastError,
	}
}
