package generator

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/profile"
)

// server is a workload with bursts of its own for each syscall, of a few
// milliseconds.
func server() *profile.Profile {
	b := profile.NewBuilder()
	for i := range 100 {
		burst := func(every, slot int, calls float64) *[profile.Slots]float64 {
			slots := new([profile.Slots]float64)
			if i%every == 0 {
				slots[slot], slots[(slot+1)%profile.Slots] = calls/2, calls/2
			}
			return slots
		}
		counts := []profile.Count{{Syscall: "read", Calls: 300}, {Syscall: "epoll_wait", Calls: 120}, {Syscall: "futex", Failed: true, Calls: 7}, {Syscall: "nanosleep", Calls: 30}}
		for _, c := range []struct {
			name        string
			every, slot int
			calls       float64
		}{{"fcntl", 10, 4, 4000}, {"newfstatat", 10, 5, 3000}, {"write", 3, 0, 800}, {"lseek", 20, 9, 900}, {"sendto", 5, 2, 500}} {
			if i%c.every == 0 {
				counts = append(counts, profile.Count{Syscall: c.name, Calls: c.calls, Slots: burst(c.every, c.slot, c.calls)})
			}
		}
		b.Add(counts)
	}
	return b.Profile()
}

// In virtual time, a replay makes each syscall at the recorded rate, and its
// highest windows of 100 ms are as high as the recorded ones.
func TestReplayInVirtualTime(t *testing.T) {
	p := server()
	for _, scale := range []float64{1, 3} {
		o, _, err := Replay(p, scale, 0)
		if err != nil {
			t.Fatal(err)
		}
		pacer, picker := o.Mix.pacer(), newMixPicker(o.Mix)
		length := time.Duration(p.Shape.Windows()) * profile.Window
		windows := map[string][]float64{}
		totals := make([]float64, p.Shape.Windows())
		for n := uint64(0); ; n++ {
			due := pacer.Due(n)
			if due >= length {
				break
			}
			name, _ := strings.CutSuffix(strings.TrimPrefix(o.Actions[picker.at(due)].Name, action.Replayed("", false)), ".failed")
			if windows[name] == nil {
				windows[name] = make([]float64, len(totals))
			}
			windows[name][due/profile.Window]++
			totals[due/profile.Window]++
		}
		for _, s := range p.Syscalls {
			sum, highest := 0.0, 0.0
			for _, n := range windows[s.Name] {
				sum += n
				highest = max(highest, n/profile.Window.Seconds())
			}
			within(t, s.Name+"'s rate", sum/length.Seconds(), scale*s.Rate())
			within(t, s.Name+"'s highest 100 ms", highest, scale*s.Bursts.Tenth.Max)
		}
		for i, want := range p.Shape.Totals() {
			within(t, "a window", totals[i], scale*want)
		}
	}
}

// within wants 1 %, or five calls of a rare syscall.
func within(t *testing.T, what string, got, want float64) {
	t.Helper()
	few := 5.0
	if strings.HasSuffix(what, "100 ms") {
		few /= profile.Window.Seconds()
	}
	if math.Abs(got-want) > max(0.01*want, few) {
		t.Errorf("%s: %g, recorded %g", what, got, want)
	}
}

// The calls of a slot come in it, and those of one kind together.
func TestReplayKeepsSlots(t *testing.T) {
	o, _, err := Replay(server(), 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	pacer, picker := o.Mix.pacer(), newMixPicker(o.Mix)
	before, changes, slots := "", 0, map[time.Duration]int{}
	for n := uint64(0); ; n++ {
		due := pacer.Due(n)
		if due >= profile.Window { // the first one, in which all come
			break
		}
		name := o.Actions[picker.at(due)].Name
		if name == action.Replayed("fcntl", false) {
			slots[due/(profile.Window/profile.Slots)]++
		}
		if name != before {
			changes++
		}
		before = name
	}
	if len(slots) != 2 || slots[4] < 1900 || slots[5] < 1900 {
		t.Errorf("4000 calls in slots 4 and 5 came as %v", slots)
	}
	if changes > 100 {
		t.Errorf("%d times another syscall than before, in 10 slots of at most 6 syscalls", changes)
	}
}
