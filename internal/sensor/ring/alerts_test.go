package ring

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/capture"
	"github.com/peregrine-sec/peregrine/internal/sensor/engine"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
	"github.com/peregrine-sec/peregrine/test/support/corpus"
)

const ringSize = 1 << 20 // enough for all that is in flight at once

// The alerts of a stream of events do not depend on how it comes: over how
// many rings, in which batches, how late within the window, and with how many
// reloads in between.
func TestDeliveryChangesNoAlerts(t *testing.T) {
	var rings []*fake
	for range 5 {
		rings = append(rings, newFake(t, ringSize))
	}
	streams := map[string][][]byte{}
	for _, path := range corpus.Captures(t) {
		streams[filepath.Base(path)] = events(t, path)
	}
	names := slices.Sorted(maps.Keys(streams))
	for _, set := range corpus.Rules(t) {
		t.Run(set.Name, func(t *testing.T) {
			reload := compile(t, set)
			want, alerts := map[string][]string{}, 0
			for _, name := range names {
				left := streams[name]
				want[name] = alertsOf(t, reload(false), func(*engine.Engine) ([]byte, error) {
					if len(left) == 0 {
						return nil, io.EOF
					}
					ev := left[0]
					left = left[1:]
					return ev, nil
				})
				alerts += len(want[name])
			}
			if alerts == 0 {
				t.Fatal("no alerts: the captures do not reach the rules")
			}
			rapid.Check(t, func(t *rapid.T) {
				name := rapid.SampledFrom(names).Draw(t, "capture")
				d := newDelivery(t, streams[name], rings[:rapid.IntRange(1, len(rings)).Draw(t, "rings")], reload)
				if diff := gocmp.Diff(want[name], alertsOf(t, reload(false), d.next)); diff != "" {
					t.Errorf("alerts of %s (-one after the other +delivered):\n%s", name, diff)
				}
			})
		})
	}
}

// delivery puts events into rings as the probe does on several CPUs, and takes
// them out again.
type delivery struct {
	t      *rapid.T
	left   []sent
	reader *Reader
	clock  uint64 // that of the reader
	reload func(unmasked bool) *engine.Ruleset
}

// sent is an event with the time at which it is in its ring.
type sent struct {
	at    uint64
	ring  *fake
	event []byte
}

// newDelivery has each event reach a ring later than its own time, but within
// the window: a younger one may be in another ring first.
func newDelivery(t *rapid.T, stream [][]byte, rings []*fake, reload func(bool) *engine.Ruleset) *delivery {
	d := &delivery{t: t, reload: reload}
	for _, ring := range rings { // empty, with the end of the memory near or far
		at := ringSize - 8*rapid.Uint64Range(1, ringSize/8).Draw(t, "room")
		ring.consumer.Store(at)
		ring.producer.Store(at)
		ring.head = at
		ring.buffer = newBuffer(ring.consumer, ring.producer, ring.data[:ringSize])
	}
	last := map[*fake]uint64{}
	for _, ev := range stream {
		ring := rapid.SampledFrom(rings).Draw(t, "ring")
		took := rapid.Uint64Range(0, uint64(window)-1).Draw(t, "took")
		last[ring] = max(last[ring], binary.NativeEndian.Uint64(ev)+took) // a ring keeps the order
		d.left = append(d.left, sent{last[ring], ring, ev})
	}
	slices.SortStableFunc(d.left, func(a, b sent) int { return cmp.Compare(a.at, b.at) })
	d.reader = newReader(buffers(rings), func() uint64 { return d.clock })
	return d
}

// next returns the next event. When the rings give none, it may reload the
// rules, and sends a few more events.
func (d *delivery) next(e *engine.Engine) ([]byte, error) {
	for {
		if ev, ok := d.reader.Next(); ok {
			if rapid.IntRange(0, 9).Draw(d.t, "reload") == 0 {
				e.Swap(d.reload(rapid.Bool().Draw(d.t, "unmasked")), static)
			}
			return ev, nil
		}
		if d.clock == math.MaxUint64 {
			return nil, io.EOF
		}
		n := min(rapid.IntRange(1, 60).Draw(d.t, "batch"), len(d.left))
		for _, s := range d.left[:n] {
			at, ok := s.ring.reserve(len(s.event))
			if !ok {
				d.t.Fatal("a ring is full")
			}
			s.ring.commit(at, s.event)
			d.clock = s.at
		}
		if d.left = d.left[n:]; len(d.left) == 0 {
			d.clock = math.MaxUint64
		}
	}
}

var static = &field.Static{Source: field.SyscallSource, Snaplen: 80}

// alertsOf runs the events that next returns through an engine.
func alertsOf(t rapid.TB, r *engine.Ruleset, next func(*engine.Engine) ([]byte, error)) (got []string) {
	t.Helper()
	e := engine.New(engine.Options{
		Table: state.NewTable(state.Options{}), Rules: r, Static: static,
		Emit: func(a *alert.Alert) { got = append(got, a.Rule+": "+a.Message) },
	})
	if err := e.Replay(context.Background(), func() ([]byte, error) { return next(e) }); err != nil {
		t.Fatal(err)
	}
	return got
}

// compile returns a function that compiles the rules again, with the masks and
// filters of the plan or without.
func compile(t testing.TB, set corpus.RuleSet) func(unmasked bool) *engine.Ruleset {
	t.Helper()
	var sources []rules.Source
	for _, path := range set.Files {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, rules.Source{Name: path, Content: content})
	}
	loaded, report := rules.Load(sources, rules.Options{Lookup: field.Lookup})
	if loaded == nil {
		t.Fatal(report.Err())
	}
	plans := map[bool]*plan.Plan{}
	var formatters []engine.Formatter
	for _, unmasked := range []bool{false, true} {
		p, err := plan.New(loaded.Enabled(alert.Debug), plan.Options{Lookup: field.Lookup, Unmasked: unmasked})
		if err != nil {
			t.Fatal(err)
		}
		plans[unmasked] = p
	}
	for _, r := range plans[false].Rules {
		f, err := alert.New(alert.Rule{Name: r.Name}, "%evt.num %evt.time "+r.Output, alert.Options{})
		if err != nil {
			t.Fatal(err)
		}
		formatters = append(formatters, f)
	}
	return func(unmasked bool) *engine.Ruleset { return engine.NewRuleset(plans[unmasked], formatters, true) }
}

// events reads a capture. No two events have the same time, which would leave
// their order undefined.
func events(t *testing.T, path string) (stream [][]byte) {
	t.Helper()
	r, err := capture.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for last := uint64(0); ; {
		ev, err := r.Next()
		if errors.Is(err, io.EOF) {
			return stream
		}
		if err != nil {
			t.Fatal(err)
		}
		ev = slices.Clone(ev)
		last = max(last+1, binary.NativeEndian.Uint64(ev))
		binary.NativeEndian.PutUint64(ev, last)
		stream = append(stream, ev)
	}
}
