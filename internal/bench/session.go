package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench/intake"
	"github.com/peregrine-sec/peregrine/internal/bench/match"
	"github.com/peregrine-sec/peregrine/internal/bench/target"
	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/profile"
	"github.com/peregrine-sec/peregrine/internal/sensorstats"
)

// Generate performs actions by the options o and reports them: generator.Spawn,
// or a stand-in in tests.
type Generate func(ctx context.Context, o generator.Options) (*generator.Result, error)

// Options configures a Session.
type Options struct {
	Target  target.Target // started
	Actions []*action.Action
	// CPUs is the sensor's limit, 0 for none: a sensor that is held short is
	// waited for longer.
	CPUs    float64
	Workers int // of the actions, if a Load does not say; 0 stands for 1
	Sandbox generator.SandboxOptions
	Seed    uint64
	// Profile, if not nil, is the workload that the background syscalls are: a
	// Load's Noise says how many of them.
	Profile *profile.Profile

	// Patience is how long the sensor may take until it has been seen to work.
	// Default: what a Falco needs under the limit of CPUs.
	Patience time.Duration
	// Drain is how long after the load alerts count as in time. Default 3 s.
	Drain time.Duration
	// Linger is how long after that late alerts are waited for, if some are
	// missing. Default 1 s.
	Linger time.Duration
	// CountSyscalls counts the host's syscalls in each round, which costs each
	// of them some 100 ns. Otherwise they are estimated from Calibrate.
	CountSyscalls bool
	// Tolerance is how far outside of an action's interval an event's time may
	// lie. Default 200 us.
	Tolerance time.Duration

	Recorder Recorder       // nil keeps no raw data
	Progress func(Progress) // nil for silence; called a few times a second
	// Say, if not nil, is told what takes long.
	Say      func(format string, args ...any)
	Generate Generate // nil stands for generator.Spawn

	// Abort, once closed, ends the round at once, without a drain: for the
	// second Ctrl-C. The end of the context is the orderly way.
	Abort <-chan struct{}
}

// Recorder keeps raw data: every instance with its fate, every alert that is
// not the first of its instance, every sample. It is called between rounds,
// never under load.
type Recorder interface {
	Record(r *Round, actions []match.Action, x *match.Index, strays []Stray) error
}

// Stray is an alert that was not the expected one of an action of its round.
type Stray struct {
	intake.Alert
	// Class is its class: foreign, late, duplicate, failed, other.
	Class string `json:"class"`
}

// Session runs rounds against one started target. Its collector and poller
// work all the time, so that alerts between two rounds are credited correctly.
// A Session runs one round at a time.
type Session struct {
	o       Options
	actions []match.Action
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	mu       sync.Mutex
	pending  backlog // not yet matched
	samples  []sensorstats.Sample
	alertErr error // why the stream ended
	statsErr error

	number  int
	earlier []*past // of the last rounds, oldest first
	clock   match.Clock
	// hostname is the sensor's name for this host, learnt from its alerts; ""
	// if it is not known.
	hostname string
	cal      Calibration
	patience patience
	runs     map[string]bool // of the generator, that this session has asked for
	canaries []*past         // actions performed outside of rounds, newest last
	offsets  []int64         // of the sensor's clock, as canaries that are known showed it
}

// past is a round whose late alerts may still come.
type past struct {
	number int
	index  *match.Index
}

const (
	// keepRounds is how many rounds late alerts are credited to.
	keepRounds = 3
	// pollStats is how often the stats are looked at: often enough that lines
	// without a time are stamped well, and one look is three system calls.
	pollStats = 50 * time.Millisecond
	// keepSamples bounds the samples remembered: ten minutes of four a second.
	keepSamples = 2400
)

// Open begins collecting from a started target. Close ends it; the target is
// the caller's to stop, before or after.
func Open(ctx context.Context, o Options) (*Session, error) {
	if o.Target == nil {
		return nil, errors.New("bench: no target")
	}
	o.Drain = cmp.Or(o.Drain, 3*time.Second)
	o.Linger = cmp.Or(o.Linger, time.Second)
	o.Tolerance = cmp.Or(o.Tolerance, 200*time.Microsecond)
	if o.Generate == nil {
		o.Generate = generator.Spawn
	}
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	s := &Session{o: o, clock: match.Clock{Tolerance: int64(o.Tolerance)}, patience: patienceOf(o.CPUs), runs: make(map[string]bool)}
	if o.Patience > 0 {
		s.patience = patience{ready: o.Patience, canary: o.Patience, say: saying}
	}
	if o.Profile != nil {
		if _, _, err := generator.Replay(o.Profile, 1, 0); err != nil {
			return nil, fmt.Errorf("workload: %w", err)
		}
	}
	for _, a := range o.Actions {
		if a.Rule == "" {
			return nil, fmt.Errorf("action %s fires no rule, so no alert can be expected of it: select another action", a.Name)
		}
		s.actions = append(s.actions, match.Action{Name: a.Name, Rule: a.Rule, InThread: a.Cost == action.Fast})
	}
	ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.wg.Go(func() { s.collect(ctx) })
	if reader := o.Target.Stats(); reader != nil {
		s.wg.Go(func() { s.poll(ctx, reader) })
	}
	return s, nil
}

// Close stops collecting.
func (s *Session) Close() error {
	s.cancel()
	s.wg.Wait()
	return nil
}

// collect takes alerts as they come.
func (s *Session) collect(ctx context.Context) {
	source := s.o.Target.Alerts()
	for {
		batch, err := source.Next(ctx)
		s.mu.Lock()
		s.pending.add(batch)
		if err != nil {
			s.alertErr = err
		}
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// poll takes samples as they appear.
func (s *Session) poll(ctx context.Context, reader sensorstats.Reader) {
	tick := time.NewTicker(pollStats)
	defer tick.Stop()
	for {
		samples, err := reader.Poll(time.Now())
		s.mu.Lock()
		s.samples = append(s.samples, samples...)
		s.samples = slices.Delete(s.samples, 0, max(0, len(s.samples)-keepSamples))
		if err != nil {
			s.statsErr = err
		}
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// take hands out the alerts that have come since the last call.
func (s *Session) take() backlog {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pending.take()
}

// Samples are the sensor's samples so far, oldest first.
func (s *Session) Samples() []sensorstats.Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.samples)
}

// StatsError is the newest reason for which stats could not be read.
func (s *Session) StatsError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.statsErr
}

// lastSample is the newest sample; nil before the first.
func (s *Session) lastSample() *sensorstats.Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.samples) == 0 {
		return nil
	}
	last := s.samples[len(s.samples)-1]
	return &last
}
