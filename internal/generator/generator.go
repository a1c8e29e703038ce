// Package generator performs actions at an exact rate and reports them.
//
// Run works in this process: N workers, each a locked OS thread, take the next
// action of one shared schedule (package pace), run it (package action) and
// note an Instance for each. Spawn does the same in a child process within a
// sandbox (package sandbox), for bench and the command line: the host does not
// change, and this program is the parent of every acting process. Background
// noise is a second call of Spawn at the same time.
//
// The generator knows nothing about sensors.
package generator

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/generator/engine"
	"github.com/peregrine-sec/peregrine/internal/generator/pace"
	"github.com/peregrine-sec/peregrine/internal/profile"
)

// Instance is one action that was due. Times are ns of CLOCK_REALTIME as it
// was at the start of the run, carried on by CLOCK_MONOTONIC: a clock that is
// set meanwhile does not tear them apart (see Result.ClockStep). They are
// comparable with the time of an alert's event.
type Instance struct {
	Action  uint16 // index into Options.Actions
	Worker  uint16
	TID     int32 // the thread that made the syscalls; a child's parent for actions that start one
	Planned int64 // when it was due
	Start   int64
	End     int64
	Errno   int32 // 0 for success; -1 for an error without an errno
	Skipped bool  // not done: the action does not apply here
}

// Choice is an action and its share of all actions, 1 if Weight is 0.
type Choice struct {
	Name   string
	Weight int
	// Container performs it where sensors see a container.
	Container bool
}

// Choices are all of the actions, each with the same share.
func Choices(actions []*action.Action) []Choice {
	var choices []Choice
	for _, a := range actions {
		choices = append(choices, Choice{Name: a.Name})
	}
	return choices
}

// Order is how the schedule's places are given to the actions.
type Order string

const (
	// Shuffle takes each action as often as its weight says in every pass, in
	// an order that the seed decides: the default, as event-generator does.
	Shuffle Order = "shuffle"
	// Listed takes them in the order of Options.Actions.
	Listed Order = "listed"
	// Random draws each place on its own, by weight.
	Random Order = "random"
)

// Options configures a run.
type Options struct {
	Actions []Choice
	// Rate is actions per second over all workers. Pacer, if not nil, is used
	// instead. With neither, actions follow each other without a pause.
	Rate  float64
	Pacer pace.Pacer
	// Mix, if not nil, gives rate and shares instead of the rate, the weights
	// and the order.
	Mix *Mix
	// Tick is the shortest time between two wake-ups of a worker; 0 stands for
	// 100 us. A sleep and wake-up cost 20 to 40 us of CPU in a virtual machine,
	// ten times a cheap action: at a rate above 1/Tick, all that became due
	// during a tick is done at once, late by up to Tick.
	Tick time.Duration

	// Like has the recorded arguments that replayed calls are to be like; nil for
	// none.
	Like *profile.Profile

	Duration time.Duration // 0: no limit
	Count    uint64        // actions; 0: no limit
	Passes   uint64        // rounds through all actions by weight; 0: no limit
	Workers  int           // threads; 0 stands for 1
	Seed     uint64
	Order    Order // "" stands for Shuffle

	// Discard keeps no instances in the result: for runs without an end.
	Discard bool
	// Sink, if not nil, gets the instances in batches, while the run goes on
	// and from one goroutine; a batch is valid until Sink returns. They come
	// ordered by time within a worker, not among workers.
	Sink func([]Instance) `json:"-"`

	// Ready, if not nil, is called when all is prepared and the schedule is
	// about to start, with the reason of each action that will be skipped, by
	// index, and "" for the others. A run in two processes calls it for each,
	// with "" for the other's actions.
	Ready func(skips []string) `json:"-"`

	Sandbox SandboxOptions // for Spawn
	// Kubernetes is where Spawn's actions on a cluster work, in this process;
	// nil skips them.
	Kubernetes action.APIServer `json:"-"`
	// Abort, when closed, ends Spawn at once: its child is killed, and the
	// child's changes are undone.
	Abort <-chan struct{} `json:"-"`
}

// SandboxOptions says where Spawn's child works.
type SandboxOptions struct {
	Off      bool   // work on the host's own files
	Egress   bool   // let actions reach addresses outside this host
	StateDir string // where the undo journal is kept; "" stands for sandbox.DefaultStateDir
	// Container says how sensors classify this process, if that is known better
	// than by its cgroups.
	Container Containment
	// Privileged says that the container is known to sensors as privileged.
	Privileged bool
	// Image, if not empty, has all actions run in real containers of it, which
	// Engine starts: privileged ones for those that need that, or for all with
	// Privileged.
	Image  string
	Engine engine.Engine
}

// Containment says whether a process is in a container.
type Containment string

// The containments. "" looks at the cgroups.
const (
	InHost      Containment = "host"
	InContainer Containment = "container"
)

// pacer is the schedule of o.
func (o *Options) pacer() pace.Pacer {
	switch {
	case o.Mix != nil:
		return o.Mix.pacer()
	case o.Pacer != nil:
		return o.Pacer
	case o.Rate > 0:
		return pace.Constant{Rate: o.Rate}
	}
	return pace.Sleep{}
}

// MaxWorkers is the highest number of threads.
const MaxWorkers = 1024

// resolve checks o and finds its actions.
func (o *Options) resolve() ([]*action.Action, error) {
	if len(o.Actions) == 0 {
		return nil, fmt.Errorf("no actions selected")
	}
	if len(o.Actions) > math.MaxUint16 || o.Workers < 0 || o.Workers > MaxWorkers {
		return nil, fmt.Errorf("%d actions on %d workers: expected at most %d actions, and 1 to %d workers", len(o.Actions), o.Workers, math.MaxUint16, MaxWorkers)
	}
	if o.Rate < 0 || math.IsNaN(o.Rate) || o.Duration < 0 || o.Tick < 0 {
		return nil, fmt.Errorf("rate of %g for %v with ticks of %v: must not be negative", o.Rate, o.Duration, o.Tick)
	}
	switch o.Order {
	case "", Shuffle, Listed, Random:
	default:
		return nil, fmt.Errorf("order %q: expected %s, %s or %s", o.Order, Shuffle, Listed, Random)
	}
	if o.Mix != nil {
		if err := o.Mix.check(len(o.Actions)); err != nil {
			return nil, err
		}
	}
	if err := pace.Check(o.pacer()); err != nil {
		return nil, err
	}
	var unknown []string
	actions := make([]*action.Action, len(o.Actions))
	for i, choice := range o.Actions {
		a, ok := action.Lookup(choice.Name)
		if !ok {
			unknown = append(unknown, choice.Name)
		}
		if choice.Weight < 0 || choice.Weight > maxWeight {
			return nil, fmt.Errorf("weight %d of %s: must be from 0 to %d", choice.Weight, choice.Name, maxWeight)
		}
		actions[i] = a
	}
	if unknown != nil {
		return nil, fmt.Errorf("unknown actions %s: see generate list --all", strings.Join(unknown, ", "))
	}
	return actions, nil
}
