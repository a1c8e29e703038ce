package output

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// Alerts of a stream are collected; a clean stop writes them at once.
func TestCollect(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events")
	f, err := newFile(path, true, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	p := newPipe("file", newQueue(100, 1<<20, 1), time.Hour, (&logs{}).logger(), f)
	p.start()
	p.send(numbered(0)) // alone: leaves at once
	needs.Eventually(t, "the first", func() bool { return p.stats().Sent == 1 })
	for i := 1; i < 10; i++ {
		p.send(numbered(i))
	}
	if got := p.stats(); got.Sent != 1 || got.Queued != 9 {
		t.Errorf("not collected: %+v", got)
	}
	if err := p.close(deadline(t, needs.Patience)); err != nil {
		t.Fatal(err)
	}
	wantLines(t, path, numberedLines(0, 10))
}

func TestWorthCollecting(t *testing.T) {
	for _, tc := range []struct {
		gather time.Duration
		before int
		ago    time.Duration
		want   bool
	}{
		{gatherFor, 0, time.Hour, false},
		{gatherFor, 1, 0, false}, // a few alerts leave at once
		{gatherFor, streamBatch, 0, true},
		{gatherFor, streamBatch, streamGap + gatherFor, false},
		{time.Second, 0, time.Hour, false}, // the first
		{time.Second, 1, time.Second, true},
		{time.Second, 1, time.Second + streamGap, false},
	} {
		if got := worthCollecting(tc.gather, tc.before, tc.ago); got != tc.want {
			t.Errorf("gather %v, %d alerts %v ago: %v", tc.gather, tc.before, tc.ago, got)
		}
	}
}

func TestBufferedOutputs(t *testing.T) {
	c := fileConfig("", true)
	if c.BufferedOutputs = true; gatherOf(c) != time.Second {
		t.Errorf("buffered_outputs collects for %v", gatherOf(c))
	}
	if c.BufferedOutputs = false; gatherOf(c) > time.Millisecond {
		t.Errorf("an alert waits for %v", gatherOf(c))
	}
}
