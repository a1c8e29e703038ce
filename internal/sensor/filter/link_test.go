package filter

import (
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

// Every slot keeps a value of its own, in as many words as the counter says.
func TestMemorySlots(t *testing.T) {
	for name, remember := range map[string]func(Predicate, int) Predicate{"event": remember, "process": rememberProcess} {
		const slots = 100
		var counter bitCounter
		var preds []Predicate
		flipped, calls := false, 0
		for range slots {
			slot := counter.next()
			preds = append(preds, remember(func(*field.Context) bool {
				calls++
				return (slot%3 == 0) != flipped
			}, slot))
		}
		if n := counter.words(); n != 4 {
			t.Fatalf("%d words for %d slots, want 4", n, slots)
		}
		ctx := contextOf(nil)
		ctx.Memo, ctx.Proc.Memo = make([]uint64, counter.words()), make([]uint64, counter.words())
		for _, flipped = range []bool{false, true} {
			for slot, p := range preds {
				if got, want := p(ctx), slot%3 == 0; got != want {
					t.Errorf("%s: slot %d has %v, want %v", name, slot, got, want)
				}
			}
		}
		if calls != slots {
			t.Errorf("%s: evaluated %d times, want %d", name, calls, slots)
		}
		ctx.Memo, ctx.Proc.Memo = ctx.Memo[:3], ctx.Proc.Memo[:3]
		for _, slot := range []int{95, 96} { // the last one with a word, and the first without
			if got, want := preds[slot](ctx), (slot%3 == 0) != (slot >= 96); got != want {
				t.Errorf("%s: slot %d of a memo of 3 words has %v, want %v", name, slot, got, want)
			}
		}
	}
}

func TestWordsOfSlots(t *testing.T) {
	for slots, want := range map[int]int{0: 0, 1: 1, 32: 1, 33: 2, 64: 2, 65: 3} {
		if got := (&bitCounter{slots}).words(); got != want {
			t.Errorf("%d slots: %d words, want %d", slots, got, want)
		}
	}
}
