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

// Clumps go through the file, a sample and a merge with their windows, and are
// left out where there are too many.
func TestClumps(t *testing.T) {
	b := NewBuilder()
	for i := range 700 {
		b.Clumps(true, []int{0, 57, 99})
		if i < 690 {
			b.Clumps(false, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20})
		}
		calls := 1.0
		if i == 655 {
			calls = 100
		}
		b.Add([]Count{{Syscall: "execve", Container: true, Calls: calls, Slots: at(5, calls)}})
	}
	p := b.Profile()
	var text strings.Builder
	if err := p.Write(&text); err != nil {
		t.Fatal(err)
	}
	p, err := Read(strings.NewReader(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	merged, err := Merge([]*Profile{sample(), p})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(p.Shape.In(false)); n != 0 {
		t.Errorf("the host has %d clumps", n)
	}
	for name, s := range map[string]*Shape{"sample": &p.Shape, "merge": &merged.Shape} {
		busy, first := s.In(true), uint32(0)
		if name == "merge" { // the other one comes first
			first = uint32((s.Windows() - len(busy)/3) * Slots * Slots)
		}
		if len(busy)%3 != 0 || len(busy) == 0 {
			t.Fatalf("%s: %d clumps", name, len(busy))
		}
		for i, c := range busy {
			if want := first + uint32(i/3*Slots*Slots+[]int{0, 57, 99}[i%3]); c.Slot != want || c.Calls != 1 {
				t.Fatalf("%s: clump %d is %+v, want it at %d", name, i, c, want)
			}
		}
	}
	if n := len(p.Shape.In(true)); n != 3*maxWindows {
		t.Errorf("%d clumps in the sample", n)
	}
}

// A long recording does not keep clumps of which there are too many.
func TestClumpsAreBounded(t *testing.T) {
	b := NewBuilder()
	all := make([]int, Slots*Slots)
	for i := range all {
		all[i] = i
	}
	for range undecided + 10*perSecond {
		b.Clumps(true, all)
		b.Clumps(false, all[:5])
		b.Add(nil)
	}
	if n, few := len(b.clumps[1]), len(b.clumps[0]); n != 0 || few != 5*b.windows {
		t.Errorf("%d and %d clumps", n, few)
	}
}
