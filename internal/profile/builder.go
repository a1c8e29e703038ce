package profile

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Count is calls of one syscall in a window.
type Count struct {
	Syscall   string
	Container bool
	Failed    bool
	Calls     float64
}

// Builder makes a profile of windows as they come. Its memory does not depend
// on the calls in a window, and grows by a few bytes with each window.
type Builder struct {
	windows int
	total   *variation
	failed  float64
	calls   map[string]*tally
	strands map[strandKey][]uint32
}

// tally counts one syscall.
type tally struct {
	sum       [2][2]float64 // by container, by failed
	now       float64       // in this window
	variation *variation
}

type strandKey struct {
	group     Group
	container bool
}

// NewBuilder makes an empty one.
func NewBuilder() *Builder {
	return &Builder{total: newVariation(), calls: map[string]*tally{}, strands: map[strandKey][]uint32{}}
}

// Add takes the calls of the next window.
func (b *Builder) Add(counts []Count) {
	var total float64
	sums := map[strandKey]float64{}
	for _, c := range counts {
		t := b.calls[c.Syscall]
		if t == nil {
			t = &tally{variation: newVariation()}
			t.variation.skip(b.windows)
			b.calls[c.Syscall] = t
		}
		t.sum[index(c.Container)][index(c.Failed)] += c.Calls
		t.now += c.Calls
		total += c.Calls
		if c.Failed {
			b.failed += c.Calls
		}
		sums[strandKey{GroupOf(c.Syscall), c.Container}] += c.Calls
	}
	for _, t := range b.calls {
		t.variation.add(t.now)
		t.now = 0
	}
	b.total.add(total)
	for key := range sums {
		if b.strands[key] == nil {
			b.strands[key] = make([]uint32, b.windows)
		}
	}
	for key, counts := range b.strands {
		b.strands[key] = append(counts, uint32(math.Round(min(sums[key], math.MaxUint32))))
	}
	b.windows++
}

// Elapsed is the time that the windows take.
func (b *Builder) Elapsed() time.Duration { return time.Duration(b.windows) * Window }

// Profile returns the profile of the windows. The caller adds the source, and
// all but the numbers of calls.
func (b *Builder) Profile() *Profile {
	seconds := b.Elapsed().Seconds()
	p := &Profile{Schema: Schema, Seconds: seconds, Bursts: b.total.bursts(), Source: Source{Nodes: 1}}
	if b.windows == 0 {
		return p
	}
	p.Rate = round(b.total.sum / seconds)
	p.Failed = round(share(b.failed, b.total.sum))
	for name, t := range b.calls {
		calls := func(container int) Calls {
			ok, failed := t.sum[container][0], t.sum[container][1]
			return Calls{Rate: round((ok + failed) / seconds), Failed: round(share(failed, ok+failed))}
		}
		p.Syscalls = append(p.Syscalls, Syscall{Name: name, Host: calls(0), Container: calls(1), Bursts: t.variation.bursts()})
	}
	sortSyscalls(p.Syscalls)
	for key, counts := range b.strands {
		p.Shape.Strands = append(p.Shape.Strands, Strand{Group: key.group, Container: key.container, Counts: counts})
	}
	sortStrands(p.Shape.Strands)
	p.Shape = p.Shape.Sample(maxWindows)
	return p
}

func sortSyscalls(list []Syscall) {
	slices.SortFunc(list, func(a, b Syscall) int {
		return cmp.Or(cmp.Compare(b.Rate(), a.Rate()), cmp.Compare(a.Name, b.Name))
	})
}

func sortStrands(list []Strand) {
	slices.SortFunc(list, func(a, b Strand) int {
		return cmp.Or(slices.Index(Groups, a.Group)-slices.Index(Groups, b.Group), index(a.Container)-index(b.Container))
	})
}

func index(b bool) int {
	if b {
		return 1
	}
	return 0
}

func share(part, whole float64) float64 {
	if whole == 0 {
		return 0
	}
	return part / whole
}

// round keeps five digits after the point, for small files.
func round(x float64) float64 { return math.Round(x*1e5) / 1e5 }
