package output

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
)

// modelReader is a reader, and the batch it is sending.
type modelReader struct {
	*reader
	batch []*alert.Alert
	last  int // the latest alert that it has delivered
}

// The backlog with readers that may fail, against plain counting: each alert
// is sent, lost, undelivered or queued, and that it was sent counts once.
func TestBacklogModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		b := newBacklog(rapid.IntRange(1, 6).Draw(r, "capacity"), 1<<20)
		var readers []*modelReader
		inOrder, delivered := map[*alert.Alert]int{}, map[*alert.Alert]bool{}
		sentBefore := uint64(0)
		push := func() {
			a := numbered(len(inOrder))
			inOrder[a] = len(inOrder)
			b.push(a)
		}
		pick := func(r *rapid.T, sending bool) *modelReader {
			var those []*modelReader
			for _, m := range readers {
				if (m.batch != nil) == sending {
					those = append(those, m)
				}
			}
			if len(those) == 0 {
				r.Skip()
			}
			return rapid.SampledFrom(those).Draw(r, "reader")
		}
		settle := func(m *modelReader, n int) {
			for _, a := range m.batch[:n] {
				if inOrder[a] <= m.last {
					r.Fatalf("alert %d delivered again or late", inOrder[a])
				}
				delivered[a], m.last = true, inOrder[a]
			}
			m.settle(n)
			m.batch = nil
		}
		leave := func(m *modelReader) {
			m.unsubscribe()
			for i := range readers {
				if readers[i] == m {
					readers = append(readers[:i], readers[i+1:]...)
					return
				}
			}
		}
		r.Repeat(map[string]func(*rapid.T){
			"push": func(*rapid.T) { push() },
			"subscribe": func(r *rapid.T) {
				if len(readers) == 3 {
					r.Skip()
				}
				readers = append(readers, &modelReader{reader: b.subscribe("x"), last: -1})
			},
			"take": func(r *rapid.T) {
				m := pick(r, false)
				m.batch, _, _ = m.take(nil, 3)
				select {
				case <-m.wake:
				default:
				}
			},
			"send": func(r *rapid.T) { m := pick(r, true); settle(m, len(m.batch)) },
			"break": func(r *rapid.T) {
				m := pick(r, true)
				settle(m, rapid.IntRange(0, len(m.batch)).Draw(r, "sent"))
				leave(m)
			},
			"leave": func(r *rapid.T) { leave(pick(r, false)) },
			"": func(r *rapid.T) {
				sent, queued := b.counts()
				if sent != uint64(len(delivered)) {
					r.Fatalf("%d sent, but %d were", sent, len(delivered))
				}
				if sent < sentBefore || sent+b.lost+queued != uint64(len(inOrder)) {
					r.Fatalf("sent %d (before %d) + lost %d + queued %d of %d", sent, sentBefore, b.lost, queued, len(inOrder))
				}
				sentBefore = sent
			},
		})
		// Also at the end, and for a reader that finds out too late.
		undelivered := b.abandon()
		for _, m := range readers {
			m.settle(len(m.batch))
		}
		if sent, queued := b.counts(); queued != 0 || sent != sentBefore || sent+b.lost+undelivered != uint64(len(inOrder)) {
			r.Fatalf("in the end sent %d + lost %d + undelivered %d of %d, queued %d", sent, b.lost, undelivered, len(inOrder), queued)
		}
	})
}
