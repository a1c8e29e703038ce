// Package match finds, for each alert, the action instance that caused it: the
// one of the same rule, and thread where both know it, whose interval contains
// the event's time. It is pure: instances and alerts in, counts and
// distributions out. So late alerts count in their own round, foreign alerts are
// recognised, and a duplicate alert cannot hide the loss of another.
package match

import (
	"cmp"
	"slices"
	"sort"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/bench/intake"
	"github.com/peregrine-sec/peregrine/internal/generator"
)

// Action holds the facts about an action of the generator that matching needs.
type Action struct {
	Name string
	Rule string
	// InThread says that the event happens in the thread that the instance
	// names. Otherwise, as for actions that start a process, only time decides.
	InThread bool
}

// Clock relates the two clocks of a match.
type Clock struct {
	// Offset is how far the sensor's event times are ahead of the generator's, in ns.
	Offset int64
	// Tolerance is how far outside of an interval an event may lie, in ns, if
	// it lies in no interval.
	Tolerance int64
}

// Class is the result of matching an alert.
type Class uint8

const (
	Matched   Class = iota
	Late            // matched, but received after the deadline
	Duplicate       // its instance has an alert already
	Failed          // its instance reported an error
	Foreign         // an expected rule, but not one of this run's actions
	Outside         // before the first instance
	Other           // a rule that no action fires
	classes
)

// Tally counts alerts by class.
type Tally [classes]int

// Sum is the number of alerts.
func (t Tally) Sum() int {
	n := 0
	for _, k := range t {
		n += k
	}
	return n
}

// state of an instance.
const (
	free uint8 = iota
	matched
	late
	failed
	skipped
)

// Index holds the instances of one round and the state of each.
type Index struct {
	actions   []Action
	instances []generator.Instance
	run       string
	state     []uint8
	event     []int64 // time of the alert that matched, in our clock; 0 for none
	received  []int64
	rules     map[string]*rule
	clock     Clock
	start     int64 // of the first instance
	thirds    [2]int64

	perAction []perAction
	// Latency by third of the round, of the time an action was planned.
	parts [3]*Histogram
	last  int64 // receipt of the newest alert matched in time
}

type perAction struct {
	tally             Tally
	repeated          int
	latency, response *Histogram
}

// rule is the instances that fire one rule.
type rule struct {
	all      lane
	byThread map[int32]*lane
	inThread bool
}

// lane is instances ordered by start. maxEnd[i] is the latest end among the
// first i+1, which bounds the search backwards.
type lane struct {
	ids    []int32
	maxEnd []int64
}

// NewIndex prepares the instances of one round, which it keeps and sorts.
// run is the generator's run that performed them; "" if it is not known.
func NewIndex(actions []Action, instances []generator.Instance, run string, clock Clock) *Index {
	slices.SortFunc(instances, func(a, b generator.Instance) int { return cmp.Compare(a.Start, b.Start) })
	x := &Index{
		actions: actions, instances: instances, run: run, clock: clock,
		state: make([]uint8, len(instances)), event: make([]int64, len(instances)), received: make([]int64, len(instances)),
		rules: make(map[string]*rule),
	}
	for i := range x.parts {
		x.parts[i] = NewHistogram()
	}
	for _, a := range actions {
		x.perAction = append(x.perAction, perAction{latency: NewHistogram(), response: NewHistogram()})
		if x.rules[a.Rule] == nil {
			x.rules[a.Rule] = &rule{byThread: make(map[int32]*lane), inThread: true}
		}
		x.rules[a.Rule].inThread = x.rules[a.Rule].inThread && a.InThread
	}
	for i := range instances {
		x.add(int32(i))
	}
	if n := len(instances); n > 0 {
		x.start = instances[0].Start
		length := instances[n-1].Start - x.start
		x.thirds = [2]int64{x.start + length/3, x.start + 2*length/3}
	}
	return x
}

// add enters an instance into the lanes of its rule.
func (x *Index) add(id int32) {
	in := &x.instances[id]
	switch {
	case in.Skipped:
		x.state[id] = skipped
		return
	case in.Errno != 0:
		x.state[id] = failed
	}
	r := x.rules[x.actions[in.Action].Rule]
	r.all.push(id, in.End)
	own := r.byThread[in.TID]
	if own == nil {
		own = &lane{}
		r.byThread[in.TID] = own
	}
	own.push(id, in.End)
}

func (l *lane) push(id int32, end int64) {
	if n := len(l.maxEnd); n > 0 {
		end = max(end, l.maxEnd[n-1])
	}
	l.ids = append(l.ids, id)
	l.maxEnd = append(l.maxEnd, end)
}

// Ours says whether rule is one that the actions fire.
func (x *Index) Ours(rule string) bool { return x.rules[rule] != nil }

// Match takes alerts, in any order, and returns their classes in sum. Alerts
// received after deadline that match are Late; deadline 0 is never. Matching
// in the order of event times and preferring the instance that ends first
// finds the maximum number of matches, when workers overlap and alerts do not
// have their thread. each, if not nil, is called with every alert's class, and
// the instance or nil.
func (x *Index) Match(alerts []intake.Alert, deadline int64, each func(*intake.Alert, Class, *generator.Instance)) Tally {
	order := make([]int32, len(alerts))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		x, y := &alerts[a], &alerts[b]
		return cmp.Or(cmp.Compare(x.Time, y.Time), cmp.Compare(x.TID, y.TID), strings.Compare(x.Rule, y.Rule), cmp.Compare(x.Received, y.Received))
	})
	var tally Tally
	id, v := int32(-1), Other
	for n, i := range order {
		a := &alerts[i]
		if id < 0 || v == Failed || !same(a, &alerts[order[n-1]]) {
			id, v = x.one(a, deadline)
		} else {
			v = Duplicate
			x.perAction[x.instances[id].Action].repeated++
		}
		tally[v]++
		var in *generator.Instance
		if id >= 0 {
			in = &x.instances[id]
			x.perAction[in.Action].tally[v]++
		}
		if each != nil {
			each(a, v, in)
		}
	}
	return tally
}

// same says whether two alerts are of one event, which was sent twice: a thread
// has no two at once.
func same(a, b *intake.Alert) bool {
	return a.Time == b.Time && a.TID == b.TID && a.TID != 0 && a.Rule == b.Rule
}

// one decides on one alert.
func (x *Index) one(a *intake.Alert, deadline int64) (id int32, v Class) {
	r := x.rules[a.Rule]
	if r == nil {
		return -1, Other
	}
	if r.inThread && x.run != "" && a.Run != "" && a.Run != x.run {
		if a.Run == intake.Stranger {
			return -1, Foreign
		}
		return -1, Outside // of another run of the generator's
	}
	t := a.Time - x.clock.Offset
	if len(x.instances) == 0 || t < x.start-x.clock.Tolerance {
		return -1, Outside
	}
	l := &r.all
	if r.inThread && a.TID != 0 {
		if l = r.byThread[a.TID]; l == nil {
			return -1, Foreign
		}
	}
	id = x.containing(l, t)
	if id < 0 {
		id = x.nearest(l, t)
	}
	switch {
	case id < 0:
		return -1, Foreign
	case x.state[id] == failed:
		return id, Failed
	case x.state[id] != free:
		if x.event[id] == t {
			x.perAction[x.instances[id].Action].repeated++ // and does not tell its thread
		}
		return id, Duplicate
	}
	x.event[id], x.received[id] = t, a.Received
	if deadline != 0 && a.Received > deadline {
		x.state[id] = late
		return id, Late
	}
	x.state[id] = matched
	x.record(id, t, a.Received)
	return id, Matched
}

// containing is the best instance whose interval contains t: a free one, the
// one that ends first, else one that is taken, else one that failed; -1 if no
// interval does.
func (x *Index) containing(l *lane, t int64) int32 {
	best := int32(-1)
	n := sort.Search(len(l.ids), func(i int) bool { return x.instances[l.ids[i]].Start > t })
	for i := n - 1; i >= 0 && l.maxEnd[i] >= t; i-- {
		id := l.ids[i]
		if x.instances[id].End < t {
			continue
		}
		if best < 0 || x.better(id, best) {
			best = id
		}
	}
	return best
}

// better says whether a is the better of two instances that contain an event.
func (x *Index) better(a, b int32) bool {
	if x.state[a] != x.state[b] {
		return x.state[a] < x.state[b]
	}
	return x.instances[a].End < x.instances[b].End
}

// nearest is the instance that starts or ends closest to t, within tolerance;
// -1 if none is near. Only the neighbours in order of start are looked at:
// intervals that overlap are met by containing.
func (x *Index) nearest(l *lane, t int64) int32 {
	best, distance := int32(-1), x.clock.Tolerance+1
	n := sort.Search(len(l.ids), func(i int) bool { return x.instances[l.ids[i]].Start > t })
	for i := max(0, n-2); i < min(n+2, len(l.ids)); i++ {
		in := &x.instances[l.ids[i]]
		d := max(in.Start-t, t-in.End)
		if d < distance {
			best, distance = l.ids[i], d
		}
	}
	return best
}

// record counts the latency of a match in time.
func (x *Index) record(id int32, event, received int64) {
	in := &x.instances[id]
	p := &x.perAction[in.Action]
	latency := received - event
	p.latency.Add(latency)
	p.response.Add(received - in.Planned)
	part := 0
	for part < 2 && in.Start >= x.thirds[part] {
		part++
	}
	x.parts[part].Add(latency)
	x.last = max(x.last, received)
}
