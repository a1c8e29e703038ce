package bench

import (
	"fmt"
	"slices"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/bench/intake"
)

// Alerts come out in order, whatever the chunks, except the sensor's messages
// about itself; each is taken once.
func TestBacklog(t *testing.T) {
	var b backlog
	var want []intake.Alert
	for i := range 3 {
		var batch []intake.Alert
		for j := range chunk*2/3 + i {
			a := intake.Alert{Time: int64(j), Received: int64(i), Rule: fmt.Sprint("rule ", j%3), Priority: "Notice", Source: "syscall",
				Hostname: fmt.Sprint("host ", i), PID: int32(j), TID: int32(-j)}
			if j%1000 == 7 {
				a.Source = "internal"
			} else {
				want = append(want, a)
			}
			batch = append(batch, a)
		}
		b.add(batch)
		clear(batch) // the source reuses it
	}
	b.add(nil)
	taken := b.take()
	var got []intake.Alert
	n := 0
	for alerts := range taken.chunks() {
		got = append(got, alerts...)
		n++
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d alerts of %d, or others", len(got), len(want))
	}
	if n != 2 {
		t.Errorf("%d chunks", n)
	}
	if one := slices.Collect(taken.all()); !slices.Equal(one, want) {
		t.Errorf("one by one: %d alerts of %d, or others", len(one), len(want))
	}
	late := intake.Alert{Rule: "rule 1", Hostname: "host 0"}
	b.add([]intake.Alert{late})
	again := b.take()
	if got := slices.Collect(again.all()); len(got) != 1 || got[0] != late {
		t.Errorf("later: %v", got)
	}
}
