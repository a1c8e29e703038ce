package profile

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// The text of exact slots is the same again when it is read, and short.
func TestExactText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := Exact{Windows: rapid.IntRange(0, 200).Draw(t, "windows")}
		for slot := range e.Windows * Slots {
			if rapid.IntRange(0, 3).Draw(t, "idle") == 0 {
				calls := rapid.OneOf(rapid.Uint32Range(1, 30), rapid.Uint32Range(1, mostInSlot)).Draw(t, "calls")
				e.Busy = append(e.Busy, Busy{uint32(slot), calls})
			}
		}
		text, err := e.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var again Exact
		if err := again.UnmarshalText(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if diff := cmp.Diff(e, again); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	})
	e := Exact{Windows: 10, Busy: []Busy{{0, 1}, {1, 26}, {40, 70}}}
	if text, _ := e.MarshalText(); string(text) != "0B0AB61SCr1" {
		t.Errorf("%s", text)
	}
}

// Half a call is one, once: the other half is owed, and not paid with more calls.
func TestHalfACall(t *testing.T) {
	var e tracked
	if sum := e.add(0, &[Slots]float64{3: 0.5}); sum != 1 || !slices.Equal(e.busy, []Busy{{3, 1}}) {
		t.Errorf("%d calls in %v", sum, e.busy)
	}
}

func TestExactRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"5B":                         "6 slots",
		"9BA":                        "",
		"9A":                         "0 calls",
		"5!":                         "0 calls",
		"vvvvvvv":                    "more than",
		strings.Repeat("v", 100):     "more than",
		"9" + strings.Repeat("Z", 9): "expected 1 to",
	} {
		err := new(Exact).UnmarshalText([]byte(text))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// The calls that sensors look at have their slots in the shape, whole numbers of
// them, and no others do.
func TestWatchedAreExact(t *testing.T) {
	b := NewBuilder()
	for i := range 20 {
		list := []Count{{Syscall: "read", Calls: 100}, {Syscall: "execve", Container: true, Calls: 0.4, Slots: at(7, 0.4)}}
		if i == 3 {
			list = append(list, Count{Syscall: "unlink", Calls: 3, Slots: at(2, 3)}, Count{Syscall: "unlink", Failed: true, Calls: 2, Slots: at(2, 2)})
		}
		b.Add(list)
	}
	p := b.Profile()
	seen := 0
	for _, s := range p.Shape.Strands {
		switch s.Syscall {
		case "unlink":
			seen++
			if diff := cmp.Diff(&Exact{20, []Busy{{32, 5}}}, s.Exact); diff != "" || s.Counts[3] != 5 {
				t.Errorf("%s %v", diff, s.Counts)
			}
		case "execve":
			seen++
			calls := uint32(0)
			for i, busy := range s.Exact.Busy {
				calls += busy.Calls
				if busy.Slot%Slots != 7 || i == 0 && busy.Slot > 2*Slots {
					t.Errorf("%+v", s.Exact.Busy)
				}
			}
			if calls != 8 {
				t.Errorf("%d calls of 0.4 in 20 windows", calls)
			}
		default:
			if s.Exact != nil {
				t.Errorf("%s is exact", s.Syscall)
			}
		}
	}
	if seen != 2 {
		t.Errorf("%d strands", seen)
	}
}

// A node that makes such calls all the time keeps the slots of the rarest: the
// file stays small.
func TestExactIsBounded(t *testing.T) {
	b := NewBuilder()
	for i := range 600 {
		var even [Slots]float64
		for slot := range even {
			even[slot] = 5
		}
		var list []Count
		for name := range watched {
			list = append(list, Count{Syscall: name, Calls: 50, Slots: &even})
		}
		if i%20 == 0 {
			list = append(list, Count{Syscall: "execve", Container: true, Calls: 1, Slots: at(0, 1)})
		}
		b.Add(list)
	}
	p := b.Profile()
	busy, exact := 0, 0
	for _, s := range p.Shape.Strands {
		if s.Exact == nil {
			continue
		}
		exact++
		busy += len(s.Exact.Busy)
		if s.Container && len(s.Exact.Busy) != 30 {
			t.Errorf("%s: %d slots", s.Syscall, len(s.Exact.Busy))
		}
	}
	if exact != 2 || busy > 60*exactPerSecond {
		t.Errorf("%d strands with %d busy slots", exact, busy)
	}
	if totals := p.Shape.Totals(); math.Abs(totals[1]-float64(50*len(watched))) > 1 {
		t.Errorf("%g calls in a window", totals[1])
	}
}

// Parts of exact strands, and strands after one another, keep their slots.
func TestExactParts(t *testing.T) {
	e := &Exact{4, []Busy{{0, 1}, {15, 2}, {39, 3}}}
	if diff := cmp.Diff(&Exact{2, []Busy{{5, 2}}}, e.windows(1, 3)); diff != "" {
		t.Error(diff)
	}
	s := Strand{Counts: []uint32{0, 4}, Slots: "0040"} // slot 7, if any
	s.follow(Strand{Counts: e.counts(), Exact: e}, 3)
	s.pad(8)
	want := Strand{Counts: []uint32{0, 4, 0, 1, 2, 0, 3, 0}, Exact: &Exact{8, []Busy{{12, 4}, {30, 1}, {45, 2}, {69, 3}}}}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Error(diff)
	}
}
