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
	// Slots are the calls in each slot of the window; nil if they came evenly.
	Slots *[Slots]float64
}

// Builder makes a profile of windows as they come. Its memory does not depend
// on the calls in a window, and grows by a few bytes with each window.
type Builder struct {
	windows int
	total   *variation
	failed  float64
	calls   map[string]*tally
	strands map[strandKey]*course
	// chosen are the syscalls that have strands of their own, once that is known.
	chosen map[strandKey]bool
	// clumps are those on the host and in containers; dense says which had too many.
	clumps [2][]Busy
	dense  [2]bool
}

// tally counts one syscall.
type tally struct {
	sum       [2][2]float64 // by container, by failed
	now       float64       // in this window
	variation *variation
}

// strandKey names a strand; syscall is "" for that of a group's others.
type strandKey struct {
	group     Group
	syscall   string
	container bool
}

// NewBuilder makes an empty one.
func NewBuilder() *Builder {
	return &Builder{total: newVariation(), calls: map[string]*tally{}, strands: map[strandKey]*course{}}
}

// Add takes the calls of the next window.
func (b *Builder) Add(counts []Count) {
	var total float64
	sums := map[strandKey]*[Slots]float64{}
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
		key := b.key(c.Syscall, c.Container)
		if sums[key] == nil {
			sums[key] = new([Slots]float64)
		}
		c.addTo(sums[key])
	}
	for _, t := range b.calls {
		t.variation.add(t.now)
		t.now = 0
	}
	b.total.add(total)
	for key := range sums {
		if b.strands[key] == nil {
			b.strands[key] = newCourse(b.windows, b.chosen == nil && watched[key.syscall])
		}
	}
	for key, c := range b.strands {
		c.add(sums[key])
	}
	if b.windows++; b.windows == undecided {
		b.strands, b.chosen = b.own()
	}
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
	strands, _ := b.own()
	for key, c := range strands {
		p.Shape.Strands = append(p.Shape.Strands, c.strand(key))
	}
	sortStrands(p.Shape.Strands)
	p.Shape.Clumps = b.clumped()
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
		return cmp.Or(slices.Index(Groups, a.Group)-slices.Index(Groups, b.Group), index(a.Container)-index(b.Container), cmp.Compare(a.Syscall, b.Syscall))
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

// NewSockets makes shares of counts: a Socket without a share, and how often it
// was seen.
func NewSockets(counts map[Socket]float64) []Socket {
	var sum float64
	for _, n := range counts {
		sum += n
	}
	shares := map[Socket]float64{}
	for s, n := range counts {
		shares[s] = n / sum
	}
	return sortedSockets(shares)
}

func sortedSockets(shares map[Socket]float64) []Socket {
	var list []Socket
	for s, share := range shares {
		s.Share = round(share)
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b Socket) int {
		return cmp.Or(cmp.Compare(b.Share, a.Share), cmp.Compare(a.Call, b.Call), cmp.Compare(a.Family, b.Family),
			cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Locality, b.Locality))
	})
	return list
}

// NewQuantiles sums samples up, which it sorts; nil for none.
func NewQuantiles(samples []float64) *Quantiles {
	if len(samples) == 0 {
		return nil
	}
	slices.Sort(samples)
	at := func(q float64) float64 { return round(samples[int(q*float64(len(samples)-1))]) }
	return &Quantiles{P50: at(0.5), P99: at(0.99), Max: at(1)}
}
