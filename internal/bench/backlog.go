package bench

import (
	"iter"

	"github.com/peregrine-sec/peregrine/internal/bench/intake"
)

// backlog holds alerts until they are matched, after the load: millions in a
// long round. They are kept in batches, as one slice would be moved while it
// grows, and without pointers, as the garbage collector would go through all
// of them again and again: both would take CPU from the sensor under test.
type backlog struct {
	batches [][]note
	origins []origin
	numbers map[origin]uint32 // of origins
}

// note is an intake.Alert.
type note struct {
	time, received int64
	origin         uint32
	pid, tid       int32
}

// origin is the text of an alert.
type origin struct {
	rule, priority, source, hostname, run string
}

// add keeps alerts of rules, without the sensor's messages about itself.
func (b *backlog) add(alerts []intake.Alert) {
	if b.numbers == nil {
		b.numbers = make(map[origin]uint32)
	}
	notes := make([]note, 0, len(alerts))
	for i := range alerts {
		a := &alerts[i]
		if a.Source == "internal" {
			continue
		}
		from := origin{a.Rule, a.Priority, a.Source, a.Hostname, a.Run}
		n, ok := b.numbers[from]
		if !ok {
			n = uint32(len(b.origins))
			b.origins = append(b.origins, from)
			b.numbers[from] = n
		}
		notes = append(notes, note{a.Time, a.Received, n, a.PID, a.TID})
	}
	if len(notes) > 0 {
		b.batches = append(b.batches, notes)
	}
}

// take hands over all that has been added.
func (b *backlog) take() backlog {
	taken := backlog{batches: b.batches, origins: b.origins}
	b.batches = nil
	return taken
}

// chunk is how many alerts are matched at once.
const chunk = 1 << 18

// chunks are the alerts in their order, in slices of moderate length that are
// valid until the next.
func (b *backlog) chunks() iter.Seq[[]intake.Alert] {
	return func(yield func([]intake.Alert) bool) {
		var alerts []intake.Alert
		for _, batch := range b.batches {
			for _, n := range batch {
				from := b.origins[n.origin]
				alerts = append(alerts, intake.Alert{Time: n.time, Received: n.received,
					Rule: from.rule, Priority: from.priority, Source: from.source, Hostname: from.hostname, Run: from.run, PID: n.pid, TID: n.tid})
			}
			if len(alerts) >= chunk {
				if !yield(alerts) {
					return
				}
				alerts = alerts[:0]
			}
		}
		if len(alerts) > 0 {
			yield(alerts)
		}
	}
}

// all are the alerts one by one.
func (b *backlog) all() iter.Seq[intake.Alert] {
	return func(yield func(intake.Alert) bool) {
		for alerts := range b.chunks() {
			for _, a := range alerts {
				if !yield(a) {
					return
				}
			}
		}
	}
}
