package bench

import (
	"context"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/peregrine-sec/peregrine/internal/bench/intake"
	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/stats"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a sensor and a generator in virtual time: a round of any length
// takes no time at all, as all its instances, alerts and samples appear at
// once, with the times they would have had, all of them in the past.
type fake struct {
	mu      sync.Mutex
	alerts  []intake.Alert
	wake    chan struct{}
	counts  intake.Counts
	samples []stats.Sample
	cur     stats.Counters
	extra   stats.Extra
	exited  chan struct{}
	started []generator.Options
	clock   time.Time // virtual; rounds follow each other in the past
	waiting bool      // the consumer has taken all alerts and waits
	polls   int       // since the last sample

	ceiling float64 // the generator's highest rate; 0 for none
	// react makes the alerts of one instance; nil for one in its middle.
	react func(n int, rule string, in generator.Instance) []intake.Alert
	// act may change an instance before it is reported.
	act func(n int, in *generator.Instance)
	// drops says how many events are dropped in second i of a round.
	drops func(second int) uint64
	// background is events per second of the idle host.
	background uint64
}

func newFake() *fake {
	return &fake{wake: make(chan struct{}, 1), exited: make(chan struct{}), background: 100, clock: time.Now().Add(-24 * time.Hour)}
}

func (f *fake) Start(context.Context, func(int) error) error { return nil }
func (f *fake) PID() int                                     { return 0 }
func (f *fake) Alerts() intake.Source                        { return f }
func (f *fake) Stats() stats.Reader                          { return (*fakeStats)(f) }
func (f *fake) Command() []string                            { return nil }
func (f *fake) Exited() <-chan struct{}                      { return f.exited }
func (f *fake) Stop(context.Context) error                   { return nil }
func (f *fake) Close() error                                 { return nil }

func (f *fake) Counts() intake.Counts {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts
}

func (f *fake) Next(ctx context.Context) ([]intake.Alert, error) {
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

// send delivers alerts.
func (f *fake) send(alerts ...intake.Alert) {
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

// fakeStats is a fake's stats side.
type fakeStats fake

func (f *fakeStats) Poll(time.Time) ([]stats.Sample, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	taken := f.samples
	f.samples = nil
	f.polls++
	return taken, nil
}

func (f *fakeStats) Close() error { return nil }

// sample appends one second of events and drops, that ends at end.
func (f *fake) sample(end time.Time, events, drops uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delta := stats.Counters{Events: events, Drops: drops}
	f.polls = 0
	f.cur.Events += events
	f.cur.Drops += drops
	f.extra.DropsByCause.Buffer += drops
	extra := f.extra
	f.samples = append(f.samples, stats.Sample{Number: 2, Time: end.UnixNano(), Stamped: true,
		Cur: f.cur, Delta: delta, Elapsed: int64(time.Second), Extra: &extra})
}

// generate is the generator: evenly spaced instances of 20 us, the actions in
// turn, in one thread.
func (f *fake) generate(ctx context.Context, o generator.Options) (*generator.Result, error) {
	f.mu.Lock()
	f.started = append(f.started, o)
	f.mu.Unlock()
	start := f.clock
	f.clock = f.clock.Add(o.Duration + time.Minute)
	offered := o.Rate
	if f.ceiling > 0 && (o.Rate == 0 || o.Rate > f.ceiling) {
		offered = f.ceiling
	}
	r := &generator.Result{Start: start, End: start.Add(o.Duration), TargetRate: o.Rate,
		Lateness: hdrhistogram.New(1, 1e9, 2), CPU: o.Duration / 10}
	for _, c := range o.Actions {
		r.Actions = append(r.Actions, generator.ActionResult{Name: c.Name, Errnos: map[syscall.Errno]uint64{}})
	}
	count := int(offered * o.Duration.Seconds())
	for n := range count {
		at := start.Add(time.Duration(float64(n) / offered * float64(time.Second))).UnixNano()
		in := generator.Instance{Action: uint16(n % len(o.Actions)), TID: 77, Planned: at, Start: at, End: at + 20_000}
		if f.act != nil {
			f.act(n, &in)
		}
		f.account(r, in)
		if name := o.Actions[in.Action].Name; !o.Discard && !in.Skipped && in.Errno == 0 {
			f.send(f.reaction(n, name, in)...)
		}
	}
	f.seconds(start, o.Duration, uint64(offered))
	f.delivered()
	return r, nil
}

// delivered waits until all alerts and samples are in the session's hands.
func (f *fake) delivered() {
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

func (f *fake) account(r *generator.Result, in generator.Instance) {
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

func (f *fake) reaction(n int, name string, in generator.Instance) []intake.Alert {
	a, _ := action.Lookup(name)
	if f.react != nil {
		return f.react(n, a.Rule, in)
	}
	return []intake.Alert{alertOf(a.Rule, in)}
}

// alertOf is the alert as it should be: in the middle, 1 ms until receipt.
func alertOf(rule string, in generator.Instance) intake.Alert {
	t := (in.Start + in.End) / 2
	return intake.Alert{Time: t, Received: t + 1_000_000, Rule: rule, TID: in.TID, Source: "syscall"}
}

// seconds writes the samples of a round: one that begins before it, the round,
// and two of rest.
func (f *fake) seconds(start time.Time, d time.Duration, rate uint64) {
	n := int(d.Seconds())
	start = start.Add(-300 * time.Millisecond)
	for i := range n + 3 {
		events := f.background
		if i <= n {
			events += rate * 10
		}
		var drops uint64
		if f.drops != nil {
			drops = f.drops(i)
		}
		f.sample(start.Add(time.Duration(i+1)*time.Second), events, drops)
	}
}

// benchSet are three actions of the method document's kind.
func benchSet(t *testing.T) []*action.Action {
	t.Helper()
	actions, err := action.Select("ReadSensitiveFileUntrusted|DirectoryTraversalMonitoredFileRead|ClearLogActivities", false)
	if err != nil || len(actions) != 3 {
		t.Fatal(actions, err)
	}
	return actions
}

// open is a session against f.
func open(t *testing.T, f *fake, change ...func(*Options)) *Session {
	t.Helper()
	o := Options{Target: f, Actions: benchSet(t), Generate: f.generate, Drain: 50 * time.Millisecond, Linger: 50 * time.Millisecond}
	for _, c := range change {
		c(&o)
	}
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
