package profile

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// at is the calls of a window in one slot.
func at(slot int, calls float64) *[Slots]float64 {
	slots := new([Slots]float64)
	slots[slot] = calls
	return slots
}

// The most frequent syscalls have strands of their own, with the slots in which
// their calls came; the others are one strand of their group.
func TestOwnStrands(t *testing.T) {
	b := NewBuilder()
	for i := range 20 {
		list := []Count{{Syscall: "read", Calls: 100, Slots: at(i%Slots, 100)}, {Syscall: "read", Container: true, Calls: 50}}
		for n := range 20 {
			list = append(list, Count{Syscall: fmt.Sprint("rare", n), Calls: 1, Slots: at(3, 1)}, Count{Syscall: fmt.Sprint("often", n), Calls: 2})
		}
		b.Add(list)
	}
	p := b.Profile()
	var own, others int
	var calls uint32
	for _, s := range p.Shape.Strands {
		switch {
		case s.Syscall == "read" && !s.Container:
			if busy := s.Busy(13); busy != [Slots]bool{3: true} {
				t.Errorf("window 13 of read has calls in %v, want slot 3", busy)
			}
		case s.Syscall == "read":
			if s.Slots != "" {
				t.Errorf("even calls have the slots %q", s.Slots)
			}
		}
		if s.Syscall != "" {
			own++
		} else {
			others++
		}
		calls += s.Counts[0]
	}
	if own != ownStrands || others != 1 || calls != 210 {
		t.Errorf("%d strands of syscalls and %d of others with %d calls, want %d, 1 and 210", own, others, calls, ownStrands)
	}
	if g := p.Shape.Groups(); len(g.Strands) != 3 || g.Totals()[0] != 210 {
		t.Errorf("groups: %+v", g)
	}
}

// A long recording keeps the strands that it had after ten minutes: its memory
// does not grow with the number of syscalls.
func TestStrandsAreChosenOnce(t *testing.T) {
	b := NewBuilder()
	window := []Count{{Syscall: "early", Calls: 1}}
	for i := range ownStrands + 5 {
		window = append(window, Count{Syscall: fmt.Sprint("call", i), Calls: 10})
	}
	for range undecided {
		b.Add(window)
	}
	for range perSecond {
		b.Add([]Count{{Syscall: "early", Calls: 1e6}, {Syscall: "late", Calls: 1}})
	}
	if n := len(b.strands); n != ownStrands+1 {
		t.Errorf("%d strands, want %d and the others", n, ownStrands)
	}
	p := b.Profile()
	for _, s := range p.Shape.Strands {
		if s.Syscall == "early" || s.Syscall == "late" {
			t.Errorf("a strand of %s", s.Syscall)
		}
	}
	if totals := p.Shape.Totals(); slices.Max(totals) != 1e6+1 {
		t.Errorf("highest window %g", slices.Max(totals))
	}
}

// Slots survive their text; a window without any has calls in all.
func TestSlots(t *testing.T) {
	windows := []uint16{0, 1, 1 << 9, 0b1010101010, allSlots}
	s := Strand{Slots: encodeSlots(windows)}
	for i, w := range windows {
		for slot, busy := range s.Busy(i) {
			if want := w == 0 || w>>slot&1 == 1; busy != want {
				t.Errorf("window %d, slot %d: busy %v", i, slot, busy)
			}
		}
	}
	if got := encodeSlots([]uint16{0, allSlots}); got != "" {
		t.Errorf("%q for calls in all slots", got)
	}
	var none Strand
	if none.Busy(0) != [Slots]bool{true, true, true, true, true, true, true, true, true, true} {
		t.Error("a strand without slots has calls in some only")
	}
}

// A slot is busy with half of the average; a burst hides a trickle.
func TestBusySlots(t *testing.T) {
	slots := &[Slots]float64{2: 50, 3: 50, 5: 4, 6: 6}
	if got := busySlots(slots, 110); got != 1<<2|1<<3|1<<6 {
		t.Errorf("%b", got)
	}
}

// Parts of strands keep the slots of their windows, also beside strands and
// windows without them.
func TestSlotsFollow(t *testing.T) {
	even := Strand{Counts: []uint32{1, 2}}
	uneven := Strand{Counts: []uint32{3, 4}, Slots: "1020"}
	var s Strand
	s.follow(even, 0)
	s.follow(uneven.windows(1, 2), 3)
	s.pad(5)
	if s.Slots != strings.Repeat("00", 3)+"20"+"00" || !slices.Equal(s.Counts, []uint32{1, 2, 0, 4, 0}) {
		t.Errorf("%+v", s)
	}
}
