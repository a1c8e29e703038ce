package main

import (
	"strings"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/profile"
	"github.com/peregrine-sec/peregrine/internal/sensorstats"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// seen is a load with one syscall at that rate.
func seen(name string, calls float64) observed {
	b := profile.NewBuilder()
	for range 100 {
		b.Add([]profile.Count{{Syscall: name, Container: true, Calls: calls}})
	}
	p := b.Profile()
	p.Processes = &profile.Processes{}
	return observed{profile: p}
}

// The table has each syscall of the original, and those that only the replay has.
func TestReport(t *testing.T) {
	r := round{original: seen("read", 100), replay: seen("read", 110), idle: seen("read", 0)}
	for _, cpu := range []float64{0.04, 0.5, 0.02} { // the machine was busy once
		watched, again := r.original, r.replay
		watched.cost, again.cost = cost{cpu: cpu}, cost{cpu: cpu * 1.25}
		r.watched, r.watchedReplay = append(r.watched, watched), append(r.watchedReplay, again)
	}
	var out strings.Builder
	report(&out, &r)
	for _, want := range []string{
		"| read | 1000.0 | 1100.0 | +10.0 % | 1000 | 1100 | +10.0 % |",
		"| all, 100 ms max | 1000.0 | 1100.0 | +10.0 % |",
		"| CPU, % of one | 0.0 | 4.0 | 5.0 | +25.0 % |",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

// The search ends within the precision of the first drop, and also where there
// are no drops, or nothing but drops.
func TestSearchEnds(t *testing.T) {
	for limit, want := range map[float64]string{
		1000: "no drop up to 32.00 times",
		5:    "no drop at 5.00 times, the first at 5.50",
		0.3:  "no drop at 0.28 times, the first at 0.31",
		0:    "drops at each multiple, down to 0.06 times: give the sensor more CPU",
	} {
		var least, most float64
		tries := 0
		for multiple, more := 1.0, true; more && tries < 100; tries++ {
			if multiple > limit {
				most = multiple
			} else {
				least = multiple
			}
			multiple, more = next(least, most)
		}
		if got := outcome(least, most); tries == 100 || got != want {
			t.Errorf("limit %g: %q after %d tries, want %q", limit, got, tries, want)
		}
	}
}

// A cost is per second between two looks.
func TestSince(t *testing.T) {
	at := time.Unix(0, 0)
	before := spent{cpu: time.Second, pauses: 5, at: at, sample: sensorstats.Sample{Cur: sensorstats.Counters{Events: 100, Drops: 1}, Extra: &sensorstats.Extra{Delivered: 10}}}
	now := spent{cpu: 2 * time.Second, pauses: 45, at: at.Add(10 * time.Second), sample: sensorstats.Sample{Cur: sensorstats.Counters{Events: 300, Drops: 11}, Extra: &sensorstats.Extra{Delivered: 30}}}
	if got := now.since(before); got != (cost{cpu: 0.1, pauses: 4, events: 20, delivered: 2, drops: 1}) {
		t.Errorf("%+v", got)
	}
}
