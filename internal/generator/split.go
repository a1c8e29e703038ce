package generator

import (
	"context"
	"errors"
	"math/bits"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/generator/child"
	"github.com/peregrine-sec/peregrine/internal/generator/pace"
	"github.com/peregrine-sec/peregrine/internal/generator/sandbox"
)

// Spawn is Run in a child process, in a sandbox unless o.Sandbox.Off, with the
// actions that need a container in a second child that looks like one. An
// open-loop schedule is shared between the two by weight; in a closed loop
// they take turns, pass by pass. Actions on a cluster are a third part, which
// this process does itself.
//
// When ctx ends, the schedule does, and the result has the actions so far. The
// caller must be a program whose main calls Child first.
func Spawn(ctx context.Context, o Options) (*Result, error) {
	if os.Getenv(child.Variable) != "" {
		// This is a worker process whose main did not call Child: going on would
		// start worker processes without end.
		return nil, errors.New("generator.Child must be called first in main and in TestMain")
	}
	actions, err := o.resolve()
	if err != nil {
		return nil, err
	}
	parts := o.split(actions)
	if len(parts) == 1 {
		return parts[0].spawn(ctx, o)
	}
	if _, open := o.pacer().(pace.OpenLoop); open {
		return together(ctx, o, parts)
	}
	return inTurns(ctx, o, parts)
}

// part is the share of a run that one worker process does.
type part struct {
	indices   []int // of its actions in Options.Actions
	actions   []*action.Action
	choices   []Choice
	lookalike bool
	real      bool // in a container of Sandbox.Image
	// privileged says that sensors know the container as such.
	privileged bool
	cluster    bool // in this process: the sandbox has no way to a cluster
	inside     bool // in a container, as sensors see it
	weight     int
	others     int // actions that are not in this part
}

// split parts the actions for the host from those for a container. A process
// that is in a container already does all in one.
func (o *Options) split(actions []*action.Action) []*part {
	real := o.Sandbox.Image != ""
	inside := real || o.Sandbox.Container == InContainer || o.Sandbox.Container == "" && sandbox.InContainer()
	host, container, cluster := &part{inside: inside, real: real}, &part{inside: true, lookalike: true}, &part{cluster: true}
	privileged := &part{inside: true, real: true, privileged: true}
	host.privileged = inside && o.Sandbox.Privileged
	for i, a := range actions {
		p := host
		switch {
		case (a.Needs.Place == action.Container || o.Actions[i].Container) && !inside && !o.Sandbox.Off:
			p = container
		case a.Needs.Place == action.Privileged && real && !host.privileged:
			p = privileged
		case a.Needs.Place == action.Cluster && o.Kubernetes != nil:
			p = cluster
		}
		p.indices = append(p.indices, i)
		p.actions = append(p.actions, a)
		p.choices = append(p.choices, o.Actions[i])
		p.weight += max(o.Actions[i].Weight, 1)
	}
	parts := []*part{host, container, privileged, cluster}
	for _, p := range parts {
		p.others = len(actions) - len(p.indices)
	}
	return slices.DeleteFunc(parts, func(p *part) bool { return len(p.indices) == 0 })
}

// spawn runs the part by itself, with the options given.
func (p *part) spawn(ctx context.Context, o Options) (*Result, error) {
	o.Actions = p.choices
	if o.Mix != nil {
		o.Mix = p.mix(o.Mix)
	}
	sink := o.Sink
	if sink != nil {
		o.Sink = func(batch []Instance) {
			p.renumber(batch)
			sink(batch)
		}
	}
	if ready := o.Ready; ready != nil {
		all := len(p.indices) + p.others
		o.Ready = func(skips []string) { ready(p.spread(skips, all)) }
	}
	if p.cluster {
		result, err := inProcess(ctx, o)
		if result != nil && sink == nil {
			p.renumber(result.Instances)
		}
		return result, err
	}
	o.Kubernetes = nil
	b := brief{Options: o, Env: p.place(&o), Network: !o.Sandbox.Off && !o.Sandbox.Egress, Instances: sink != nil || !o.Discard}
	for _, a := range p.actions {
		b.Overlay = append(b.Overlay, a.Touches...)
	}
	b.Options.Sink, b.Options.Ready, b.Options.Abort = nil, nil, nil
	result, err := spawnOne(ctx, o, b, p)
	if result != nil && sink == nil {
		p.renumber(result.Instances)
	}
	return result, err
}

// mix is what this part has to make of the whole mix.
func (p *part) mix(m *Mix) *Mix { return m.of(p.indices).leaveOut(p.choices) }

// inProcess runs actions that leave nothing on this host.
func inProcess(ctx context.Context, o Options) (*Result, error) {
	scratch, err := os.MkdirTemp("", "peregrine-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	return Run(ctx, o, action.Env{Scratch: scratch, Kubernetes: o.Kubernetes})
}

// renumber makes the instances' actions those of the whole run.
func (p *part) renumber(batch []Instance) {
	for i := range batch {
		batch[i].Action = uint16(p.indices[batch[i].Action])
	}
}

// spread maps the skips of the part's actions to their places in the whole.
func (p *part) spread(skips []string, all int) []string {
	whole := make([]string, all)
	for i, why := range skips {
		whole[p.indices[i]] = why
	}
	return whole
}

// together runs the parts at the same time, each at its share of the rate. A
// part that gets no action, because there are so few, is left out.
func together(ctx context.Context, o Options, parts []*part) (*Result, error) {
	counts := shares(o.Count, parts)
	if o.Count > 0 {
		n := 0
		parts = slices.DeleteFunc(slices.Clone(parts), func(*part) bool { n++; return counts[n-1] == 0 })
		counts = slices.DeleteFunc(counts, func(count uint64) bool { return count == 0 })
	}
	total := 0
	for _, p := range parts {
		total += p.weight
	}
	sink := newMutexSink(o.Sink)
	results := make([]*Result, len(parts))
	group, ctx := errgroup.WithContext(ctx) // when one fails, the other is to stop
	for i, p := range parts {
		o := o
		if o.Mix == nil { // which is split by actions, not by weight
			o.Pacer = pace.Scale(o.pacer(), float64(p.weight)/float64(total))
		}
		o.Count = counts[i]
		o.Sink = sink
		group.Go(func() (err error) {
			results[i], err = p.spawn(ctx, o)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return merge(&o, parts, results), nil
}

// shares divides n actions among the parts by weight: each gets the integer
// part of its share, and the rest goes to the largest remainders.
func shares(n uint64, parts []*part) []uint64 {
	var total uint64
	for _, p := range parts {
		total += uint64(p.weight)
	}
	counts, remainders := make([]uint64, len(parts)), make([]uint64, len(parts))
	left := n
	for i, p := range parts {
		high, low := bits.Mul64(n, uint64(p.weight))
		counts[i], remainders[i] = bits.Div64(high, low, total)
		left -= counts[i]
	}
	for ; left > 0; left-- {
		best := 0
		for i, r := range remainders {
			if r > remainders[best] {
				best = i
			}
		}
		counts[best]++
		remainders[best] = 0
	}
	return counts
}

// inTurns runs one pass of each part after the other, again and again.
func inTurns(ctx context.Context, o Options, parts []*part) (*Result, error) {
	begin := time.Now()
	whole := newResult(o.Actions)
	for pass := uint64(0); ctx.Err() == nil && (o.Passes == 0 || pass < o.Passes); pass++ {
		for i, p := range parts {
			turn := o
			turn.Passes, turn.Seed = 1, o.Seed+pass
			if o.Duration > 0 {
				if turn.Duration = o.Duration - time.Since(begin); turn.Duration <= 0 {
					return whole, nil
				}
			}
			if o.Count > 0 {
				if turn.Count = o.Count - whole.Offered; turn.Count == 0 {
					return whole, nil
				}
			}
			result, err := p.spawn(ctx, turn)
			if err != nil {
				return whole, err
			}
			whole.merge(p, result, uint16(i))
		}
	}
	return whole, nil
}

// merge makes one result of those of the parts.
func merge(o *Options, parts []*part, results []*Result) *Result {
	whole := newResult(o.Actions)
	for i, p := range parts {
		whole.merge(p, results[i], uint16(i))
	}
	return whole
}
