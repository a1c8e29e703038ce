package generator

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/profile"
)

const (
	// replayTick is how long due calls may wait, to be made in one batch.
	replayTick = 500 * time.Microsecond
	// replayPerWorker is the most syscalls a second for one thread.
	replayPerWorker = 60_000
)

// Replay is a run that makes the syscalls of a profile, at scale times the
// rate: the same mix with the same share of failures except as notes say, in
// the recorded course, repeatedly. Those in containers are made where sensors
// see a container. A length, if not 0, is that of the run: a longer course is
// sampled, whole seconds of it from the quietest to the busiest, so that the
// run has its highest burst. notes are the differences that cannot be avoided,
// in sentences.
func Replay(p *profile.Profile, scale float64, length time.Duration) (o Options, notes []string, err error) {
	if !(scale > 0) {
		return o, nil, fmt.Errorf("scale %g: must be above 0", scale)
	}
	r := newReplay(p)
	r.threads(p.Processes)
	r.late()
	r.subtract()
	o = Options{Mix: r.mix(p, scale, length), Tick: replayTick, Discard: true, Like: &profile.Profile{Processes: p.Processes, Paths: p.Paths, Sockets: p.Sockets}}
	if o.Mix == nil {
		return o, nil, errors.New("nothing in the profile can be replayed: it has no syscalls")
	}
	for _, c := range r.calls {
		o.Actions = append(o.Actions, Choice{Name: action.Replayed(c.syscall, c.failed), Container: c.container})
	}
	o.Workers = min(runtime.NumCPU(), 1+int(o.Mix.peak()/replayPerWorker))
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
	others  []string           // syscalls replaced by another one, with its name
	beyond  map[string]float64 // side calls that the profile lacks, per second
}

func newReplay(p *profile.Profile) *replay {
	r := &replay{beyond: map[string]float64{}}
	for _, s := range p.Syscalls {
		_, known, makes := action.Besides(s.Name)
		if !known {
			r.unknown = append(r.unknown, s.Name)
		}
		if !makes {
			continue
		}
		if as := action.MadeAs(s.Name); as != s.Name {
			r.others = append(r.others, s.Name+" as "+as)
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

// threads makes the share of the clones that started threads start threads.
func (r *replay) threads(p *profile.Processes) {
	if p == nil || p.Threads == 0 {
		return
	}
	for _, c := range slices.Clone(r.calls) {
		if c.syscall == "clone" && !c.failed {
			started := c.rate * p.Threads / (p.Threads + p.Forks)
			r.find(c.syscall, c.container, false).rate -= started
			r.add(replayed{action.Thread, c.container, false, started})
		}
	}
}

// late has the accepts for which the recording lacks a connect that succeeded go
// with those that failed: with EINPROGRESS, of clients that do not wait. Both
// kinds of accept share the connects.
func (r *replay) late() {
	left := slices.Clone(r.calls) // connects that no accept has taken
	take := func(container, failed bool, most float64) float64 {
		i := slices.IndexFunc(left, func(c replayed) bool { return c.syscall == "connect" && c.container == container && c.failed == failed })
		if i < 0 {
			return 0
		}
		taken := min(most, left[i].rate)
		left[i].rate -= taken
		return taken
	}
	for _, c := range slices.Clone(r.calls) {
		if c.failed || c.syscall != "accept" && c.syscall != "accept4" {
			continue
		}
		if late := take(c.container, true, c.rate-take(c.container, false, c.rate)); late > 0 {
			r.find(c.syscall, c.container, false).rate -= late
			r.add(replayed{action.Late(c.syscall), c.container, false, late})
		}
	}
}

// subtract takes away the side calls of other calls: those with most of them
// first, since side calls may have side calls too.
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
			brought := float64(n) * c.rate
			syscall, failed := action.CutFailed(syscall)
			if other := r.find(syscall, o.container, failed); other != nil {
				covered := min(brought, other.rate)
				other.rate -= covered
				brought -= covered
			}
			if _, _, makes := action.Besides(syscall); makes { // the ends of processes are recorded, and not made
				r.beyond[syscall] += brought
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

// strand names a part of the profile's shape; syscall is "" for the others of a
// group.
type strand struct {
	group     profile.Group
	syscall   string
	container bool
}

// mix gives each call its strand of the shape. Calls whose strand the shape
// lacks are spread evenly; nil without calls.
func (r *replay) mix(p *profile.Profile, scale float64, length time.Duration) *Mix {
	m := &Mix{Each: profile.Window / profile.Slots}
	shape := p.Shape
	if seconds := max(1, int(length/time.Second)); length > 0 {
		shape = shape.Sample(seconds * int(time.Second/profile.Window))
	}
	index := map[strand]int{}
	sums := []float64{}
	for _, c := range r.calls {
		key := strandOf(&p.Shape, &c)
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
	m.Timed = make([]Timing, len(sums))
	for key, i := range index {
		m.Rates[i], m.Timed[i] = course(&p.Shape, &shape, key, sums[i]*scale)
	}
	for i := range m.Clumps {
		m.Clumps[i] = clumps(&shape, i == 1)
	}
	return m
}

// clumps are the tenths of each slot in which sensors have something to look at.
func clumps(shape *profile.Shape, container bool) []uint16 {
	bits := make([]uint16, shape.Windows()*profile.Slots)
	for _, busy := range shape.In(container) {
		if slot := int(busy.Slot / tenths); slot < len(bits) {
			bits[slot] |= 1 << (busy.Slot % tenths)
		}
	}
	return bits
}

// course is a strand's rate in each slot of a sample of the whole shape, which has
// the given mean, and its timing: that of its place if the calls of each slot are
// known.
func course(whole, sample *profile.Shape, key strand, mean float64) (rates []float64, timing Timing) {
	rates = make([]float64, max(1, sample.Windows())*profile.Slots)
	if e := key.in(whole).Exact; e != nil && len(e.Busy) > 0 {
		return key.exact(whole, sample, rates, mean), Host + Timing(bit(key.container))
	}
	var sum float64
	for _, n := range key.in(whole).Counts {
		sum += float64(n)
	}
	if sum == 0 {
		for i := range rates {
			rates[i] = mean
		}
		return rates, Even
	}
	played := key.in(sample)
	for i, n := range played.Counts {
		slots := played.Busy(i)
		busy := 0
		for _, is := range slots {
			busy += bit(is)
		}
		rate := float64(n) * mean * float64(whole.Windows()) / sum
		for s, is := range slots {
			rates[i*profile.Slots+s] = rate * float64(profile.Slots) / float64(busy) * float64(bit(is))
		}
	}
	return rates, Even
}

// exact is the course of a strand whose calls in each slot are known.
func (key strand) exact(whole, sample *profile.Shape, rates []float64, mean float64) []float64 {
	var sum float64
	for _, busy := range key.without(whole) {
		sum += float64(busy.Calls)
	}
	for _, busy := range key.without(sample) {
		rates[busy.Slot] += float64(busy.Calls) * mean * float64(whole.Windows()*profile.Slots) / sum
	}
	return rates
}

// without are the strand's busy slots. A clone belongs to an execve in the same
// slot or a little later, whose replay makes it, and a connect to an accept.
func (key strand) without(shape *profile.Shape) []profile.Busy {
	e := key.in(shape).Exact
	if e == nil {
		return nil
	}
	busy := e.Busy
	for _, name := range brings[key.syscall] {
		if others := (strand{profile.GroupOf(name), name, key.container}).in(shape).Exact; others != nil {
			busy = less(busy, others.Busy)
		}
	}
	return busy
}

// brings are the calls whose replay makes the given one.
var brings = map[string][]string{"clone": {"execve"}, "connect": {"accept", "accept4"}}

// less takes for each call of others the one of busy that is the next before it,
// in the slot itself or up to a window before. Those that all would go stay.
func less(busy, others []profile.Busy) []profile.Busy {
	left := slices.Clone(busy)
	for _, o := range others {
		n := o.Calls
		i := sort.Search(len(left), func(i int) bool { return left[i].Slot > o.Slot }) - 1
		for ; n > 0 && i >= 0 && left[i].Slot+profile.Slots > o.Slot; i-- {
			taken := min(n, left[i].Calls)
			left[i].Calls -= taken
			n -= taken
		}
	}
	left = slices.DeleteFunc(left, func(b profile.Busy) bool { return b.Calls == 0 })
	if len(left) == 0 {
		return busy
	}
	return left
}

// strandOf is the strand that a call belongs to.
func strandOf(shape *profile.Shape, c *replayed) strand {
	name := strings.TrimSuffix(c.syscall, action.Late(""))
	if name == action.Thread {
		name = "clone"
	}
	own := strand{profile.GroupOf(name), name, c.container}
	if own.in(shape).Counts == nil {
		own.syscall = ""
	}
	return own
}

// in is the strand of a shape, an empty one if the shape lacks it: those of all
// syscalls that are made as the same one.
func (key strand) in(shape *profile.Shape) (joined profile.Strand) {
	for _, s := range shape.Strands {
		if s.Group == key.group && action.MadeAs(s.Syscall) == key.syscall && s.Container == key.container {
			joined = alongside(joined, s)
		}
	}
	return joined
}

// alongside is two strands at the same time. Their slots are known if they are exact.
func alongside(a, b profile.Strand) profile.Strand {
	if a.Counts == nil {
		return b
	}
	sum := profile.Strand{Group: a.Group, Syscall: a.Syscall, Container: a.Container}
	for i, n := range a.Counts {
		sum.Counts = append(sum.Counts, n+min(b.Counts[i], math.MaxUint32-n))
	}
	if a.Exact != nil && b.Exact != nil {
		sum.Exact = &profile.Exact{Windows: a.Exact.Windows, Busy: slices.Concat(a.Exact.Busy, b.Exact.Busy)}
		slices.SortStableFunc(sum.Exact.Busy, func(x, y profile.Busy) int { return cmp.Compare(x.Slot, y.Slot) })
	}
	return sum
}

func bit(is bool) int {
	if is {
		return 1
	}
	return 0
}

// notes list the differences from the recording.
func (r *replay) notes(p *profile.Profile) []string {
	var notes []string
	note := func(names []string, rate float64, format string) {
		if percent := 100 * rate / max(p.Rate, 1e-300); percent >= 0.05 {
			notes = append(notes, fmt.Sprintf(format+": %s", percent, enumerate(names)))
		}
	}
	var unknown, fail, beyond float64
	for _, s := range p.Syscalls {
		if slices.Contains(r.unknown, s.Name) {
			unknown += s.Rate()
		}
	}
	note(r.unknown, unknown, "getppid stands in for %.1f %% of the calls")
	var failing []string
	for _, c := range r.calls {
		if !c.failed && action.NeverSucceeds(c.syscall) {
			fail += c.rate
			failing = append(failing, c.syscall)
		}
	}
	slices.Sort(failing)
	note(slices.Compact(failing), fail, "%.1f %% of the calls fail, and succeeded")
	maps.DeleteFunc(r.beyond, func(_ string, rate float64) bool { return rate < 1e-4 }) // rates are rounded
	for _, rate := range r.beyond {
		beyond += rate
	}
	note(slices.Sorted(maps.Keys(r.beyond)), beyond, "%.1f %% more calls are made, which others need")
	if len(r.others) > 0 {
		notes = append(notes, "made as another syscall: "+enumerate(r.others))
	}
	return append(notes, p.Source.Assumed...)
}

// enumerate names the first few.
func enumerate(names []string) string {
	const few = 8
	if len(names) > few {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
	}
	return strings.Join(names, ", ")
}

// Misplaced says which calls of a replay are not made where they were recorded,
// on the host or in a container; "" if all are.
func Misplaced(o Options) (string, error) {
	actions, err := o.resolve()
	if err != nil {
		return "", err
	}
	for _, p := range o.split(actions) {
		for _, c := range p.choices {
			switch {
			case c.Container && !p.inside:
				return "what containers did is done on the host: without the sandbox there is no container", nil
			case !c.Container && p.inside:
				return "what the host did is done in a container too: this run has no other place", nil
			}
		}
	}
	return "", nil
}
