package metrics

import (
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

const second = int64(1e9)

func dropsConfig(change func(*config.EventDrops)) config.EventDrops {
	c := config.Default().Drops
	change(&c)
	return c
}

func TestDropPolicy(t *testing.T) {
	type look struct {
		at          float64 // s
		seen, drops uint64  // since the start
		want        string  // letters of log, alert, exit; a first letter z: the last look
	}
	tests := []struct {
		name   string
		change func(*config.EventDrops)
		looks  []look
	}{
		{"below the threshold", func(*config.EventDrops) {}, []look{{0, 0, 0, ""}, {1, 1000, 100, ""}, {2, 2000, 200, ""}}},
		{"above", func(*config.EventDrops) {}, []look{{0, 0, 0, ""}, {1, 1000, 101, "la"}}},
		{"drops before the first look do not count", func(*config.EventDrops) {}, []look{{5, 1000, 900, ""}, {6, 2000, 900, ""}}},
		{"once a second", func(*config.EventDrops) {}, []look{{0, 0, 0, ""}, {.5, 1000, 500, ""}, {.99, 1000, 500, ""}, {1, 1000, 500, "la"}}},
		{"limited by the bucket", func(*config.EventDrops) {}, []look{{0, 0, 0, ""}, {1, 100, 50, "la"}, {2, 200, 100, ""}, {30, 300, 150, ""}, {32, 400, 200, "la"}}},
		{"a larger bucket", func(c *config.EventDrops) { c.MaxBurst = 2 }, []look{{0, 0, 0, ""}, {1, 100, 50, "la"}, {2, 200, 100, "la"}, {3, 300, 150, ""}}},
		{"ignore", func(c *config.EventDrops) { c.Actions = []string{"ignore"} }, []look{{0, 0, 0, ""}, {1, 100, 100, ""}}},
		{"no actions", func(c *config.EventDrops) { c.Actions = nil }, []look{{0, 0, 0, ""}, {1, 100, 100, ""}}},
		{"exit", func(c *config.EventDrops) { c.Actions = []string{"exit"} }, []look{{0, 0, 0, ""}, {1, 100, 100, "e"}}},
		{"threshold 0", func(c *config.EventDrops) { c.Threshold = 0 }, []look{{0, 0, 0, ""}, {1, 1000000, 1, "la"}}},
		{"simulated", func(c *config.EventDrops) { c.Simulate = true }, []look{{0, 0, 0, ""}, {1, 100, 0, "la"}}},
		{"simulated without events", func(c *config.EventDrops) { c.Simulate = true }, []look{{0, 0, 0, ""}, {1, 0, 0, ""}}},
		{"in the last moment", func(*config.EventDrops) {}, []look{{0, 0, 0, ""}, {1, 100, 0, ""}, {1.1, 200, 50, "zla"}}},
		{"in the last moment, the bucket empty", func(*config.EventDrops) {}, []look{{0, 0, 0, ""}, {1, 100, 50, "la"}, {1.1, 200, 100, "zla"}}},
		{"in the last moment, below", func(*config.EventDrops) {}, []look{{0, 0, 0, ""}, {1, 100, 50, "la"}, {1.1, 200, 51, "z"}}},
		{"the clock steps back", func(*config.EventDrops) {}, []look{{10, 0, 0, ""}, {5, 1000, 900, ""}, {11, 1000, 900, "la"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := NewDropPolicy(dropsConfig(tt.change))
			for _, l := range tt.looks {
				check := d.Check
				want, last := strings.CutPrefix(l.want, "z")
				if last {
					check = d.Last
				}
				r := check(int64(l.at*1e9), Probe{Seen: l.seen, Drops: event.Drops{event.DropBuffer: {event.LostOpen: l.drops}}})
				got := ""
				for letter, on := range map[string]bool{"l": r.Log, "a": r.Alert, "e": r.Exit} {
					if on {
						got += letter
					}
				}
				if got != want && got != reverse(want) {
					t.Errorf("at %gs: %q, want %q", l.at, got, want)
				}
			}
		})
	}
}

func reverse(s string) string {
	b := []byte(s)
	for i := range len(b) / 2 {
		b[i], b[len(b)-1-i] = b[len(b)-1-i], b[i]
	}
	return string(b)
}

func TestDropMessage(t *testing.T) {
	d := NewDropPolicy(dropsConfig(func(*config.EventDrops) {}))
	d.Check(0, Probe{Seen: 100, Drops: event.Drops{event.DropScratch: {event.LostOpen: 1}}})
	r := d.Check(second, Probe{Seen: 300, Drops: event.Drops{
		event.DropScratch: {event.LostOpen: 2}, event.DropBug: {event.LostClose: 3},
		event.DropBuffer: {event.LostExecve: 20, event.LostProc: 10},
	}})
	var b strings.Builder
	for _, f := range r.Message.Fields {
		b.WriteString(f.Name + "=" + f.Value.Str + "\n")
	}
	golden(t, "drop_alert.txt", []byte(r.Message.Priority.String()+"\n"+r.Message.Rule+"\n"+r.Message.Text+"\n"+b.String()))
	if seen, taken := d.Occurrences(); seen != 1 || taken != 1 {
		t.Errorf("%d occurrences, %d taken", seen, taken)
	}
}
