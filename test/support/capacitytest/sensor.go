// Package capacitytest simulates a sensor for tests: its events per second and
// CPU, its ring, its output and its memory. In the tests of sweep, run and report,
// it replaces a real sensor with one whose capacity is known, in virtual time.
package capacitytest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/bench/match"
	"github.com/peregrine-sec/peregrine/internal/bench/usage"
	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/sweep"
	"github.com/peregrine-sec/peregrine/internal/sensorstats"
)

// Sensor is a model of a sensor and of the machine it runs on.
type Sensor struct {
	EventsPerCPU float64   // events per second that one CPU takes
	Threads      float64   // CPUs it can use
	Ring         float64   // events that the ring holds
	Output       float64   // alerts per second that the output takes; 0 for any
	Queue        float64   // alerts that wait for it; 0 for any number
	Elsewhere    bool      // the output is another one than the one that is measured
	PerAction    float64   // events of one action
	PerNoise     float64   // events of one background syscall
	Generator    float64   // operations per second that the generator manages; 0 for any
	CPUs         int       // of the machine
	Memory       uint64    // that it uses
	Backlog      float64   // bytes per alert in the queue, for a sensor that eats memory
	Idle         float64   // events per second without load
	Burst        float64   // how far the rate swings around its mean, a share
	Course       []float64 // the rate in each 10 ms of the load, as a multiple of its mean; nil: even
	Tires        float64   // share of its capacity lost in a round of a minute

	// Hiccup, if set, is asked in each step of a round, of a quarter of a
	// second, whether the sensor is kept waiting in it. From then on, while it
	// has a backlog, its capacity is multiplied by Behind.
	Hiccup func() bool
	Behind float64

	// Dies, if set, is asked before each round whether the sensor is killed
	// from outside in it.
	Dies func(round int) bool
	// Fails, if set, is asked before each round for an error of the generator.
	Fails func(round int) error
	// Interrupt, if set, ends the run's context in the given round.
	Interrupt func(round int)
	// DiesStarting, if set, is asked whether the sensor is killed while it is
	// started for the nth time; DiesBefore, whether before a round.
	DiesStarting, DiesBefore func(n int) bool
}

// Default is a sensor like a good one of today: 300 k events per second and
// CPU, one thread, 8 MB of ring.
func Default() Sensor {
	return Sensor{EventsPerCPU: 300e3, Threads: 1, Ring: 80e3, PerAction: 4, PerNoise: 1, Burst: 0.02, CPUs: 4, Memory: 60 << 20, Idle: 300, Generator: 2e6}
}

// Rig is the simulated test stand.
type Rig struct {
	Sensor
	Clock    time.Time
	Limits   []capacity.Limit // that were applied, in order
	Restored int
	Started  int
	Running  bool // the sensor is not ours

	limit  capacity.Limit
	ended  bool
	queued float64 // alerts that wait for the output
	rounds int
	usage  capacity.Usage
}

var (
	_ sweep.Stand  = (*Rig)(nil)
	_ sweep.Sensor = (*Rig)(nil)
)

// New is a test stand whose clock begins at a fixed time.
func New(s Sensor) *Rig {
	r := &Rig{Sensor: s}
	r.Clock = r.Began()
	return r
}

// Began is when the clock begins.
func (*Rig) Began() time.Time { return time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC) }

// Now is the simulated clock.
func (r *Rig) Now() time.Time { return r.Clock }

// Owned implements sweep.Sensor.
func (r *Rig) Owned() bool { return !r.Running }

// Open implements sweep.Stand.
func (r *Rig) Open(_ context.Context, l capacity.Limit) (sweep.Sensor, error) {
	r.limit = l
	r.Limits = append(r.Limits, l)
	return r, nil
}

// Start implements sweep.Sensor.
func (r *Rig) Start(context.Context) error {
	r.Started++
	r.Clock = r.Clock.Add(4 * time.Second) // with its preflight
	r.queued, r.ended = 0, false
	if r.DiesStarting != nil && r.DiesStarting(r.Started) {
		return sweep.ErrEnded
	}
	return nil
}

// Ended implements sweep.Sensor.
func (r *Rig) Ended() bool { return r.ended }

// Place implements sweep.Sensor.
func (r *Rig) Place() string { return "simulation" }

// Usage implements sweep.Sensor.
func (r *Rig) Usage() (capacity.Usage, error) { return r.usage, nil }

// Restore implements sweep.Sensor.
func (r *Rig) Restore(context.Context) error { r.Restored++; return nil }

// ActionNames implements run.Stand.
func (r *Rig) ActionNames() []string { return []string{"syscall.ReadSensitiveFileUntrusted"} }

// Describe implements run.Stand.
func (r *Rig) Describe(context.Context) capacity.Sensor {
	return capacity.Sensor{Kind: "simulated", Name: "a simulated sensor"}
}

// Settle implements sweep.Sensor.
func (r *Rig) Settle(_ context.Context, most time.Duration) (bool, error) {
	if r.Output == 0 || r.queued == 0 {
		return true, nil
	}
	if r.Elsewhere {
		return true, nil // it is not seen
	}
	need := time.Duration(r.queued / r.Output * float64(time.Second))
	r.pass(min(need, most))
	return need <= most, nil
}

// pass lets time pass without load.
func (r *Rig) pass(d time.Duration) {
	r.Clock = r.Clock.Add(d)
	r.queued = max(0, r.queued-r.Output*d.Seconds())
}

// Stop implements sweep.Sensor: it gives waiting alerts time.
func (r *Rig) Stop(context.Context) error {
	if r.queued > 0 {
		r.pass(2 * time.Second)
	}
	return nil
}

// cpus is how much CPU the sensor can get.
func (r *Rig) cpus() float64 {
	c := min(r.Threads, float64(r.CPUs))
	if r.limit.CPU > 0 {
		c = min(c, r.limit.CPU)
	}
	return c
}

// Run implements bench.Runner.
func (r *Rig) Run(ctx context.Context, load bench.Load) (bench.Round, error) {
	r.rounds++
	if r.Interrupt != nil {
		r.Interrupt(r.rounds)
	}
	if ctx.Err() != nil {
		return bench.Round{Partial: true, Number: r.rounds, Flags: []bench.Flag{bench.Interrupted}}, ctx.Err()
	}
	if r.DiesBefore != nil && r.DiesBefore(r.rounds) {
		r.ended = true
		return bench.Round{}, errors.New("the sensor is not there")
	}
	if r.Fails != nil {
		if err := r.Fails(r.rounds); err != nil {
			return bench.Round{}, err
		}
	}
	x := r.offer(load)
	round := bench.Round{
		Schema: bench.RoundSchema, Number: r.rounds, Label: load.Label,
		Start: r.Clock.UnixNano(), Sensor: &bench.SensorStats{Detailed: true},
		Rate: bench.Rate{Target: load.Rate, Offered: x.actions, Completed: x.actions, NoiseTarget: load.Noise, NoiseOffered: x.noise},
	}
	x.play(r, load, &round)
	round.End = r.Clock.UnixNano()
	r.pass(500 * time.Millisecond) // until the last sample
	if round.Total.Lost+round.Total.Late > 0 {
		r.pass(500 * time.Millisecond) // missing alerts may still come
	}
	round.DrainEnd = r.Clock.UnixNano()
	if r.Dies != nil && r.Dies(r.rounds) {
		round.Usage.Gone = true
		round.Flags = append(round.Flags, bench.SensorRestarted)
	}
	return round, nil
}

// offered is a load after the generator has had its say.
type offered struct{ actions, noise, events float64 }

func (r *Rig) offer(load bench.Load) offered {
	x := offered{actions: load.Rate, noise: load.Noise}
	if total := x.actions + x.noise; r.Generator > 0 && total > r.Generator {
		x.actions, x.noise = x.actions*r.Generator/total, x.noise*r.Generator/total
	}
	x.events = x.actions*r.PerAction + x.noise*r.PerNoise
	return x
}

// play lets the round's seconds pass.
func (x offered) play(r *Rig, load bench.Load, round *bench.Round) {
	const step = 250 * time.Millisecond
	seconds := load.Duration.Seconds()
	takes := r.cpus() * r.EventsPerCPU
	if load.Duration >= time.Minute {
		takes *= 1 - r.Tires
	}
	queued, dropped, before, behind := 0.0, 0.0, sensorstats.Counters{}, false
	sum, least, most := 0.0, math.Inf(1), 0.0
	n := int(load.Duration / step)
	for i := range n {
		events := (x.events + r.Idle) * step.Seconds() * (1 + r.Burst*math.Sin(float64(i+r.rounds)))
		pace, hiccup := takes, r.Hiccup != nil && r.Hiccup()
		behind = hiccup || behind && queued > 0
		switch {
		case hiccup:
			pace = 0
		case behind:
			pace *= r.Behind
		}
		for part := range r.parts(i, step) {
			queued = max(0, queued+events*part.load-pace*step.Seconds()*part.time)
			lost := max(0, queued-r.Ring)
			queued -= lost
			dropped += lost
		}
		r.Clock = r.Clock.Add(step)
		now := sensorstats.Counters{Events: before.Events + uint64(events), Drops: uint64(dropped)}
		round.Samples = append(round.Samples, sensorstats.Sample{Number: uint64(i + 1), Time: r.Clock.UnixNano(), Stamped: true, Cur: now, Delta: now.Sub(before), Elapsed: int64(step)})
		before = now
		perSecond := events / step.Seconds()
		sum, least, most = sum+perSecond, min(least, perSecond), max(most, perSecond)
		if dropped == 0 {
			round.Sensor.PreDropMean = sum / float64(i+1)
		}
	}
	s := round.Sensor
	s.Plateau, s.EventsMean, s.EventsMin, s.EventsMax = n, sum/float64(n), least, most
	s.Events, s.Drops = before.Events, before.Drops
	s.ByCause.Buffer = s.Drops
	s.DropPercent = before.DropPercent()
	if dropped == 0 {
		s.PreDropMean = 0
	}
	busy := min(1, (x.events+r.Idle)/takes)
	x.account(r, round, seconds, busy)
	x.alerts(r, round, seconds, queued/takes)
}

// part is a part of a step: shares of its load and its time.
type part struct{ load, time float64 }

// parts are those of a step in which the load is even.
func (s *Sensor) parts(step int, length time.Duration) iter.Seq[part] {
	return func(yield func(part) bool) {
		if s.Course == nil {
			yield(part{1, 1})
			return
		}
		n := int(length / (10 * time.Millisecond))
		for i := range n {
			if !yield(part{s.Course[(step*n+i)%len(s.Course)] / float64(n), 1 / float64(n)}) {
				return
			}
		}
	}
}

// account fills in CPU and memory.
func (x offered) account(r *Rig, round *bench.Round, seconds, busy float64) {
	used := busy * r.cpus()
	round.Usage = &usage.Window{Samples: int(10 * seconds), Seconds: seconds, CPU: used, User: used * 0.7, System: used * 0.3,
		CPUPeak: min(r.cpus(), used*1.1), RSSMean: r.Memory, RSSPeak: r.Memory + uint64(used*4e6), RSSFirst: r.Memory, RSSLast: r.Memory}
	periods := uint64(10 * seconds)
	r.usage.Periods += periods
	if r.limit.CPU > 0 && busy >= 0.95 && r.limit.CPU < r.Threads+0.01 {
		r.usage.ThrottledPeriods += periods
		r.usage.Throttled += time.Duration(seconds * 0.4 * float64(time.Second))
	}
	r.usage.CPU += time.Duration(used * seconds * float64(time.Second))
	r.usage.MemoryPeak = max(r.usage.MemoryPeak, round.Usage.RSSPeak)
	generator := 0.2
	if r.Generator > 0 {
		generator = min(float64(r.CPUs)-1, 1+2*(x.actions+x.noise)/r.Generator)
	}
	round.Observer = bench.Observer{CPU: 0.1, Generator: generator, CPUs: r.CPUs, HostIdle: max(0, float64(r.CPUs)-used-generator)}
	if x.actions+x.noise == 0 {
		round.Observer.Generator, round.Observer.HostIdle = 0, float64(r.CPUs)-used-0.02
	}
	round.Syscalls = &bench.HostCount{PerSecond: x.events*1.2 + 500}
}

// alerts fills in the results of the actions.
func (x offered) alerts(r *Rig, round *bench.Round, seconds, wait float64) {
	started := int(x.actions * seconds)
	if started == 0 {
		return
	}
	// A dropped event is the action's one that counts as often as any other.
	share := 0.0
	if s := round.Sensor; s.Events > 0 {
		share = float64(s.Drops) / float64(s.Events)
	}
	backlog := 0.0
	if r.Output > 0 {
		backlog = max(0, r.queued+x.actions*(1-share)*seconds-r.Output*seconds)
		if r.Queue > 0 && backlog > r.Queue {
			round.Sensor.OutputsDropped, round.Sensor.Alerts = uint64(backlog-r.Queue), uint64(x.actions*seconds)
			backlog = r.Queue
		}
		r.queued = backlog
	}
	if r.Elsewhere {
		backlog = 0
	}
	late := int(math.Ceil(min(max(0, backlog-r.Output), float64(started)))) // a second of drain
	lost := int(share * float64(started-late))
	round.Total = bench.Score{Started: started, OK: started, Matched: started - lost - late, Late: late, Lost: lost}
	round.Loss = bench.Loss{Lost: lost + late, Of: started, Share: float64(lost+late) / float64(started)}
	base := 400e3 // ns
	first, last := int64(base), int64(base*1.2+wait*1e9)
	if late > 0 {
		last = int64(seconds * 1e9 / 3)
	}
	round.Queue = bench.Queue{FirstP99: first, LastP99: last, Stable: last < 2*first+50e6, Drain: last}
	round.Latency = quantiles(started-lost-late, base, wait)
	round.LatencyCurve = curve(started-lost-late, base, wait)
	round.Response = quantiles(started-lost-late, base*1.1, wait)
	round.Alerts = bench.AlertCounts{Received: round.Total.Matched, Matched: round.Total.Matched}
	round.Actions = []bench.ActionResult{{Name: "syscall.ReadSensitiveFileUntrusted", Rule: "Read sensitive file untrusted",
		Score: round.Total, Loss: round.Loss, CostMean: 9000, Cost: quantiles(started, 9000, 0), Latency: round.Latency}}
	if r.Backlog > 0 && r.limit.Memory > 0 && float64(r.Memory)+backlog*r.Backlog > float64(r.limit.Memory) {
		r.usage.OOMKills++
		r.usage.MemoryPeak = uint64(r.limit.Memory)
		round.Usage.Gone, round.Usage.OOMKills = true, 1
	}
}

func quantiles(n int, base, wait float64) match.Quantiles {
	return match.Quantiles{Count: int64(n), P50: int64(base / 2), P90: int64(base * 0.8), P99: int64(base), P999: int64(base*2 + wait*1e9), Max: int64(base*5 + wait*2e9)}
}

// curve rises evenly from each halving of the remainder to the next.
func curve(n int, base, wait float64) (ns []int64) {
	for i := 0; (1-match.CurveQuantile(i))*float64(n) >= 1; i++ {
		ns = append(ns, int64(base*(0.3+0.1*float64(i))+wait*1e9*match.CurveQuantile(i)))
	}
	return ns
}

// String names the model in reports.
func (s Sensor) String() string {
	return fmt.Sprintf("simulated sensor, %.0f events/s per CPU", s.EventsPerCPU)
}
