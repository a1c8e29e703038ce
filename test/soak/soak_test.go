package main

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// The seed decides everything, and all kinds of faults come.
func TestSchedule(t *testing.T) {
	const length = time.Hour
	faults := schedule(rand.New(rand.NewPCG(7, 0)), length)
	if again := schedule(rand.New(rand.NewPCG(7, 0)), length); !slices.Equal(faults, again) {
		t.Error("the same seed gives other faults")
	}
	seen := map[string]bool{}
	var end time.Duration
	for _, f := range faults {
		if f.at < end {
			t.Errorf("%s begins at %v, before the one before ends", f.kind.name, f.at)
		}
		end = f.at + f.lasts
		seen[f.kind.name] = true
	}
	if len(seen) != len(kinds) || end > length {
		t.Errorf("%d kinds of %d until %v", len(seen), len(kinds), end)
	}
}

// Books that do not balance are found.
func TestBooks(t *testing.T) {
	good := func() *metrics.Snapshot {
		m := &metrics.Snapshot{Alerts: 10, Internal: 2, Throttled: 1, Events: 20}
		m.Probe = metrics.Probe{Seen: 100, Filtered: 70, Delivered: 25, Drops: event.Drops{event.DropBuffer: {event.LostOpen: 3, event.LostOtherInterest: 2}}}
		m.Channels = []metrics.Channel{{Name: "file", Alerts: 11, Sent: 5, Queued: 4, Dropped: 2, Capacity: 8}}
		return m
	}
	if err := balanced(good()); err != nil {
		t.Error(err)
	}
	for want, spoil := range map[string]func(*metrics.Snapshot){
		"seen 101":             func(m *metrics.Snapshot) { m.Probe.Seen++ },
		"26 events processed":  func(m *metrics.Snapshot) { m.Events = 26 },
		"11 alerts, but sent":  func(m *metrics.Snapshot) { m.Channels[0].Sent++ },
		"1 withheld of 13":     func(m *metrics.Snapshot) { m.Alerts++ },
		"drops by a bug":       func(m *metrics.Snapshot) { m.Probe.Drops[event.DropBug][event.LostOpen]++ },
		"9000 queued, room":    func(m *metrics.Snapshot) { m.Channels[0].Queued = 9000 },
		"file sent fell":       func(m *metrics.Snapshot) { m.Channels[0].Sent-- },
		"channel file is gone": func(m *metrics.Snapshot) { m.Channels = nil },
		"alerts fell":          func(m *metrics.Snapshot) { m.Alerts-- },
	} {
		m := good()
		spoil(m)
		var text string
		for _, err := range []error{balanced(m), forward(good(), m)} {
			if err != nil {
				text += err.Error() + "\n"
			}
		}
		if !strings.Contains(text, want) {
			t.Errorf("want %q in:\n%s", want, text)
		}
	}
	after := rest{rss: 100 << 20, descriptors: 9, goroutines: 9}
	err := rest{rss: 40 << 20, descriptors: 8, goroutines: 8}.compare(after)
	for _, want := range []string{"memory", "descriptors", "goroutines"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s in %v", want, err)
		}
	}
}
