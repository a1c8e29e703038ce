package generator

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sort"
	"time"

	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/profile"
)

const (
	// replayTick is how long what became due may wait, to be done at once.
	replayTick = 500 * time.Microsecond
	// replayPerWorker is how many syscalls a second one thread is trusted with.
	replayPerWorker = 100_000
)

// Replay is a run that makes the syscalls of a profile, scale times as many: the
// same mix with the same share of failures, in the course that was recorded,
// again and again. Those in containers are made where sensors see a container.
// A length, if not 0, is that of the run: a longer course is sampled, whole
// seconds of it from the quietest to the busiest, so that the run has its highest
// burst. notes are the differences that cannot be avoided, in sentences.
func Replay(p *profile.Profile, scale float64, length time.Duration) (o Options, notes []string, err error) {
	if !(scale > 0) {
		return o, nil, fmt.Errorf("scale %g: must be above 0", scale)
	}
	r := newReplay(p)
	r.subtract()
	o = Options{Mix: r.mix(p, scale, length), Tick: replayTick, Discard: true}
	if o.Mix == nil {
		return o, nil, errors.New("nothing in the profile can be replayed: it has no syscalls")
	}
	for _, c := range r.calls {
		o.Actions = append(o.Actions, Choice{Name: action.Replayed(c.syscall, c.failed), Container: c.container})
	}
	o.Workers = min(runtime.NumCPU(), 1+int(p.Rate*scale/replayPerWorker))
	return o, r.notes(p), o.Check()
}

// replayed is one kind of call to make.
type replayed struct {
	syscall           string
	container, failed bool
	rate              float64 // per second, at scale 1
}

type replay struct {
	calls   []replayed
	unknown []string
}

func newReplay(p *profile.Profile) *replay {
	r := &replay{}
	for _, s := range p.Syscalls {
		_, known, makes := action.Besides(s.Name)
		if !known {
			r.unknown = append(r.unknown, s.Name)
		}
		if !makes {
			continue
		}
		for container, calls := range []profile.Calls{s.Host, s.Container} {
			for _, failed := range []bool{false, true} {
				rate := calls.Rate * (1 - calls.Failed)
				if failed {
					rate = calls.Rate * calls.Failed
				}
				r.add(replayed{action.MadeAs(s.Name), container == 1, failed, rate})
			}
		}
	}
	return r
}

// add joins calls that are made by the same syscall.
func (r *replay) add(c replayed) {
	switch same := r.find(c.syscall, c.container, c.failed); {
	case c.rate <= 0:
	case same != nil:
		same.rate += c.rate
	default:
		r.calls = append(r.calls, c)
	}
}

// subtract takes away what other calls make besides themselves: those that
// bring most with them first, since what they bring may bring something too.
func (r *replay) subtract() {
	order := slices.Clone(r.calls)
	sort.SliceStable(order, func(i, j int) bool { return depth(order[i].syscall) > depth(order[j].syscall) })
	for _, o := range order {
		c := r.find(o.syscall, o.container, o.failed)
		if o.failed || c.rate == 0 {
			continue
		}
		besides, _, _ := action.Besides(o.syscall)
		for syscall, n := range besides {
			if other := r.find(syscall, o.container, false); other != nil {
				other.rate = max(0, other.rate-float64(n)*c.rate)
			}
		}
	}
	r.calls = slices.DeleteFunc(r.calls, func(c replayed) bool { return c.rate <= 0 })
}

func (r *replay) find(syscall string, container, failed bool) *replayed {
	for i := range r.calls {
		if c := &r.calls[i]; c.syscall == syscall && c.container == container && c.failed == failed {
			return c
		}
	}
	return nil
}

// depth is how many calls lead on from one to the next.
func depth(syscall string) int {
	besides, _, _ := action.Besides(syscall)
	most := 0
	for other := range besides {
		most = max(most, 1+depth(other))
	}
	return most
}

// strand names a part of the profile's shape.
type strand struct {
	group     profile.Group
	container bool
}

// mix gives each call its strand of the shape. What a shape has no strand for
// is spread evenly; nil if there is nothing to do.
func (r *replay) mix(p *profile.Profile, scale float64, length time.Duration) *Mix {
	m := &Mix{Each: profile.Window}
	shape := p.Shape
	if seconds := max(1, int(length/time.Second)); length > 0 {
		shape = shape.Sample(seconds * int(time.Second/profile.Window))
	}
	index := map[strand]int{}
	sums := []float64{}
	for _, c := range r.calls {
		key := strand{profile.GroupOf(c.syscall), c.container}
		i, ok := index[key]
		if !ok {
			i = len(sums)
			index[key] = i
			sums = append(sums, 0)
		}
		sums[i] += c.rate
		m.Strands = append(m.Strands, i)
	}
	if len(sums) == 0 {
		return nil
	}
	for i, c := range r.calls {
		m.Shares = append(m.Shares, c.rate/sums[m.Strands[i]])
	}
	m.Rates = make([][]float64, len(sums))
	for key, i := range index {
		m.Rates[i] = course(&p.Shape, &shape, key, sums[i]*scale)
	}
	return m
}

// course is a strand's rate in each window of a sample of the whole shape, which
// has the given mean.
func course(whole, sample *profile.Shape, key strand, mean float64) []float64 {
	counts := func(shape *profile.Shape) []uint32 {
		for _, s := range shape.Strands {
			if s.Group == key.group && s.Container == key.container {
				return s.Counts
			}
		}
		return nil
	}
	var sum float64
	for _, n := range counts(whole) {
		sum += float64(n)
	}
	rates := make([]float64, max(1, sample.Windows()))
	if sum == 0 {
		for i := range rates {
			rates[i] = mean
		}
		return rates
	}
	for i, n := range counts(sample) {
		rates[i] = float64(n) * mean * float64(whole.Windows()) / sum
	}
	return rates
}

// notes say what is not as it was recorded.
func (r *replay) notes(p *profile.Profile) []string {
	var notes []string
	if len(r.unknown) > 0 {
		var rate float64
		for _, s := range p.Syscalls {
			if slices.Contains(r.unknown, s.Name) {
				rate += s.Rate()
			}
		}
		names := r.unknown
		more := ""
		if len(names) > 8 {
			names, more = names[:8], fmt.Sprintf(" and %d more", len(r.unknown)-8)
		}
		notes = append(notes, fmt.Sprintf("getppid stands in for %.1f %% of the calls: %v%s", 100*rate/max(p.Rate, 1e-300), names, more))
	}
	if p.Processes != nil && p.Processes.Threads > 0 {
		notes = append(notes, "threads are started as processes")
	}
	return append(notes, p.Source.Assumed...)
}
