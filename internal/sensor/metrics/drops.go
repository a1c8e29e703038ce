package metrics

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// DropPolicy decides what to do about lost events: syscall_event_drops. Once
// in a second of its caller's time it looks at the share of events lost since
// its last look; above the threshold it acts, as far as its token bucket
// allows. Pure: time and counters are passed in, the time by a monotonic clock.
type DropPolicy struct {
	config config.EventDrops
	bucket *alert.Throttle
	last   Probe
	at     int64
	begun  bool

	occurrences, taken uint64
}

// Reaction is what to do now. The zero value: nothing.
type Reaction struct {
	Log   bool
	Alert bool
	Exit  bool
	// Message is the text for the log and for the error of Exit, and the
	// alert to send.
	Message alert.Message
}

// NewDropPolicy makes a policy with a full bucket.
func NewDropPolicy(c config.EventDrops) *DropPolicy {
	return &DropPolicy{config: c, bucket: newBucket(c)}
}

// newBucket differs from alert.NewThrottle in that rate 0 is no exception:
// nothing passes after the burst.
func newBucket(c config.EventDrops) *alert.Throttle {
	const once = 1e-18 // a token in 30 billion years
	return alert.NewThrottle(max(c.Rate, once), c.MaxBurst)
}

// Occurrences is how often losses were above the threshold, and how often the
// actions were taken.
func (d *DropPolicy) Occurrences() (seen, taken uint64) { return d.occurrences, d.taken }

// Check looks at the probe's counters at time now, in ns.
func (d *DropPolicy) Check(now int64, p Probe) Reaction {
	if !d.begun {
		d.begun, d.at, d.last = true, now, p
		return Reaction{}
	}
	if now-d.at < 1e9 {
		return Reaction{}
	}
	return d.look(now, p, false)
}

// Last checks the counters once more at the end, however short the time since
// the last check, and whatever the bucket holds: there is no later check.
func (d *DropPolicy) Last(now int64, p Probe) Reaction {
	if !d.begun {
		return Reaction{}
	}
	return d.look(now, p, true)
}

func (d *DropPolicy) look(now int64, p Probe, last bool) Reaction {
	seen, delta := p.Seen-d.last.Seen, p.Drops.Minus(d.last.Drops)
	d.at, d.last = now, p
	threshold, lost := d.config.Threshold, delta.Total()
	if d.config.Simulate && seen > 0 {
		threshold, lost = 0, lost+1
	}
	if lost == 0 || float64(lost) <= threshold*float64(seen) {
		return Reaction{}
	}
	d.occurrences++
	actions := d.config.Actions
	if len(actions) == 0 || slices.Contains(actions, "ignore") || !d.bucket.Allow(now) && !last {
		return Reaction{}
	}
	d.taken++
	return Reaction{
		Log: slices.Contains(actions, "log"), Alert: slices.Contains(actions, "alert"), Exit: slices.Contains(actions, "exit"),
		Message: dropMessage(seen, lost, &delta),
	}
}

// dropMessage has all its fields as texts, as in Falco.
func dropMessage(seen, lost uint64, d *event.Drops) alert.Message {
	m := alert.Message{
		Rule: alert.RuleEventDrop, Priority: alert.Debug,
		Text: fmt.Sprintf("Falco internal: syscall event drop. %d system calls dropped in last second.", lost),
	}
	add := func(name, value string) {
		m.Fields = append(m.Fields, alert.Field{Name: name, Value: alert.Value{Kind: alert.String, Str: value}})
	}
	add("n_evts", strconv.FormatUint(seen, 10))
	add("n_drops", strconv.FormatUint(lost, 10))
	for name, n := range dropsByName(d) {
		add(name, strconv.FormatUint(n, 10))
	}
	add("ebpf_enabled", "1")
	slices.SortFunc(m.Fields, func(a, b alert.Field) int { return strings.Compare(a.Name, b.Name) })
	return m
}
