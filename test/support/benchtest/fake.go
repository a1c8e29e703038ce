// Package benchtest simulates a sensor and a generator in virtual time, for
// tests of everything that measures. Their faults are injected and known exactly.
package benchtest

import (
	"context"
	"sync"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/peregrine-sec/peregrine/internal/bench/intake"
	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/sensorstats"
)

// Fake is a sensor and a generator in virtual time: a round of any length
// takes no time at all, as all its instances, alerts and samples appear at
// once, with the times they would have had, all of them in the past.
type Fake struct {
	mu      sync.Mutex
	alerts  []intake.Alert
	wake    chan struct{}
	counts  intake.Traffic
	samples []sensorstats.Sample
	cur     sensorstats.Counters
	extra   sensorstats.Extra
	exited  chan struct{}
	// Started has the options of each run of the generator.
	Started []generator.Options
	clock   time.Time // virtual; rounds follow each other in the past
	waiting bool      // the consumer has taken all alerts and waits
	polls   int       // since the last sample

	Ceiling float64 // the generator's highest rate; 0 for none
	// React makes the alerts of one instance; nil for one in its middle.
	React func(n int, rule string, in generator.Instance) []intake.Alert
	// Act may change an instance before it is reported.
	Act func(n int, in *generator.Instance)
	// Drops says how many events are dropped in second i of a round.
	Drops func(second int) uint64
	// Background is events per second of the idle host.
	Background uint64
}

// New is a sensor without faults.
func New() *Fake {
	return &Fake{wake: make(chan struct{}, 1), exited: make(chan struct{}), Background: 100, clock: time.Now().Add(-24 * time.Hour)}
}

func (f *Fake) Start(context.Context, func(int) error) error { return nil }
func (f *Fake) PID() int                                     { return 0 }
func (f *Fake) Alerts() intake.Source                        { return f }
func (f *Fake) Stats() sensorstats.Reader                    { return (*fakeStats)(f) }
func (f *Fake) Command() []string                            { return nil }
func (f *Fake) Exited() <-chan struct{}                      { return f.exited }
func (f *Fake) Stop(context.Context) error                   { return nil }
func (f *Fake) Close() error                                 { return nil }

func (f *Fake) Traffic() intake.Traffic {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts
}

func (f *Fake) Next(ctx context.Context) ([]intake.Alert, error) {
	for {
		f.mu.Lock()
		batch := f.alerts
		f.alerts, f.waiting = nil, batch == nil
		f.mu.Unlock()
		if batch != nil {
			return batch, nil
		}
		select {
		case <-f.wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Send delivers alerts.
func (f *Fake) Send(alerts ...intake.Alert) {
	f.mu.Lock()
	f.alerts = append(f.alerts, alerts...)
	f.counts.Alerts += uint64(len(alerts))
	f.counts.Reads++
	f.waiting = false
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// fakeStats is a Fake's stats side.
type fakeStats Fake

func (f *fakeStats) Poll(time.Time) ([]sensorstats.Sample, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	taken := f.samples
	f.samples = nil
	f.polls++
	return taken, nil
}

func (f *fakeStats) Close() error { return nil }

// Sample appends one second of events and drops, that ends at end.
func (f *Fake) Sample(end time.Time, events, drops uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delta := sensorstats.Counters{Events: events, Drops: drops}
	f.polls = 0
	f.cur.Events += events
	f.cur.Drops += drops
	f.extra.DropsByCause.Buffer += drops
	extra := f.extra
	f.samples = append(f.samples, sensorstats.Sample{Number: 2, Time: end.UnixNano(), Stamped: true,
		Cur: f.cur, Delta: delta, Elapsed: int64(time.Second), Extra: &extra})
}

// Generate is the generator: evenly spaced instances of 20 us, the actions in
// turn, in one thread.
func (f *Fake) Generate(ctx context.Context, o generator.Options) (*generator.Result, error) {
	f.mu.Lock()
	f.Started = append(f.Started, o)
	start := f.clock
	f.clock = f.clock.Add(o.Duration + time.Minute)
	f.mu.Unlock()
	offered := o.Rate
	if f.Ceiling > 0 && (o.Rate == 0 || o.Rate > f.Ceiling) {
		offered = f.Ceiling
	}
	r := &generator.Result{Start: start, End: start.Add(o.Duration), TargetRate: o.Rate,
		Lateness: hdrhistogram.New(1, 1e9, 2), CPU: o.Duration / 10}
	for _, c := range o.Actions {
		r.Actions = append(r.Actions, generator.ActionResult{Name: c.Name, Errnos: map[syscall.Errno]uint64{}})
	}
	count := int(offered * o.Duration.Seconds())
	if o.Duration == 0 { // a canary
		offered, count = 1000, int(o.Count)
	}
	for n := range count {
		at := start.Add(time.Duration(float64(n) / offered * float64(time.Second))).UnixNano()
		in := generator.Instance{Action: uint16(n % len(o.Actions)), TID: 77, Planned: at, Start: at, End: at + 20_000}
		if f.Act != nil {
			f.Act(n, &in)
		}
		f.Account(r, in)
		if name := o.Actions[in.Action].Name; !o.Discard && !in.Skipped && in.Errno == 0 {
			f.Send(f.Reaction(n, name, in)...)
		}
	}
	if o.Discard { // there may be no listener yet
		return r, nil
	}
	f.seconds(start, o.Duration, uint64(offered))
	f.Delivered()
	return r, nil
}

// Delivered waits until all alerts and samples are in the session's hands.
func (f *Fake) Delivered() {
	for {
		f.mu.Lock()
		done := f.waiting && f.polls >= 2
		f.mu.Unlock()
		if done {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// Account counts an instance in a result.
func (f *Fake) Account(r *generator.Result, in generator.Instance) {
	r.Offered++
	switch {
	case in.Skipped:
		r.Skipped++
	case in.Errno != 0:
		r.Failed++
		r.Actions[in.Action].Errnos[syscall.Errno(in.Errno)]++
	default:
		r.Completed++
	}
	r.Instances = append(r.Instances, in)
}

// Reaction is the alerts of one instance of the named action.
func (f *Fake) Reaction(n int, name string, in generator.Instance) []intake.Alert {
	a, _ := action.Lookup(name)
	if f.React != nil {
		return f.React(n, a.Rule, in)
	}
	return []intake.Alert{AlertOf(a.Rule, in)}
}

// AlertOf is the alert as it should be: in the middle, 1 ms until receipt.
func AlertOf(rule string, in generator.Instance) intake.Alert {
	t := (in.Start + in.End) / 2
	return intake.Alert{Time: t, Received: t + 1_000_000, Rule: rule, TID: in.TID, Source: "syscall"}
}

// seconds writes the samples of a round: one that begins before it, the round,
// and two of rest.
func (f *Fake) seconds(start time.Time, d time.Duration, rate uint64) {
	n := int(d.Seconds())
	start = start.Add(-300 * time.Millisecond)
	for i := range n + 3 {
		events := f.Background
		if i <= n {
			events += rate * 10
		}
		var drops uint64
		if f.Drops != nil {
			drops = f.Drops(i)
		}
		f.Sample(start.Add(time.Duration(i+1)*time.Second), events, drops)
	}
}

// Exit ends the sensor's process.
func (f *Fake) Exit() { close(f.exited) }

// Count sets the traffic of the intake.
func (f *Fake) Count(c intake.Traffic) { f.counts = c }
