package generator

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
			name, _ := action.CutFailed(strings.TrimPrefix(o.Actions[picker.at(n)].Name, action.Replayed("", false)))
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
		name := o.Actions[picker.at(n)].Name
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

// Calls that sensors look at come in the slots in which they were recorded, at
// once and as many as there were: with a program's start comes its clone, and with
// an accept the connect that failed with EINPROGRESS.
func TestReplayKeepsExactSlots(t *testing.T) {
	b := profile.NewBuilder()
	want := map[string]map[int]int{"execve": {}, "clone": {}, "unlink": {}, "exit_group": {}, "accept4": {}, "connect": {}}
	for i := range 40 {
		slots := func(name string, slot, calls int) *[profile.Slots]float64 {
			if calls > 0 {
				want[name][i*profile.Slots+slot] += calls
			}
			s := new([profile.Slots]float64)
			s[slot] = float64(calls)
			return s
		}
		list := []profile.Count{{Syscall: "read", Calls: 300}}
		if i%5 == 0 {
			list = append(list, profile.Count{Syscall: "clone", Calls: 2, Slots: slots("clone", 3, 0)}, profile.Count{Syscall: "execve", Calls: 2, Slots: slots("execve", 4, 2)})
			list[1].Slots[3] = 2 // they become the programs of the next slot
		}
		if i%8 == 1 {
			list = append(list, profile.Count{Syscall: "clone", Calls: 1, Slots: slots("clone", 9, 1)}, profile.Count{Syscall: "unlink", Calls: 7, Slots: slots("unlink", 0, 7)})
		}
		if i%5 == 3 {
			list = append(list, profile.Count{Syscall: "connect", Failed: true, Calls: 3, Slots: slots("connect", 2, 0)}, profile.Count{Syscall: "accept4", Calls: 3, Slots: slots("accept4", 2, 3)})
			list[len(list)-2].Slots[2] = 3 // the accepts make them
		}
		if i%10 == 4 {
			list = append(list, profile.Count{Syscall: "connect", Failed: true, Calls: 2, Slots: slots("connect", 5, 2)})
		}
		if i%5 == 2 {
			list = append(list, profile.Count{Syscall: "exit_group", Calls: 2, Slots: slots("exit_group", 6, 2)})
		}
		b.Add(list)
	}
	p := b.Profile()
	p.Processes = &profile.Processes{Forks: 4, Threads: 0.1, Execs: 4}
	o, _, err := Replay(p, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	pacer, picker := o.Mix.pacer(), newMixPicker(o.Mix)
	got := map[string]map[int]int{"execve": {}, "clone": {}, "unlink": {}, "exit_group": {}, "accept4": {}, "connect": {}}
	const slot = profile.Window / profile.Slots
	for n := uint64(0); ; n++ {
		due := pacer.Due(n)
		if due >= 40*profile.Window {
			break
		}
		name := strings.TrimPrefix(o.Actions[picker.at(n)].Name, action.Replayed("", false))
		name, _ = action.CutFailed(name)
		name, _ = strings.CutSuffix(name, action.Late(""))
		if name == action.Thread {
			name = "clone"
		}
		if got[name] == nil {
			continue
		}
		got[name][int((due+time.Microsecond)/slot)]++
		if late := (due + time.Microsecond) % slot; late > 2*time.Microsecond {
			t.Errorf("%s is due %v after the start of its slot", name, late)
		}
	}
	// Each copy of a process ends at once: so many ends fewer are made, of 16.
	if n := len(got["exit_group"]); n < 5 || n > 8 {
		t.Errorf("ends of programs in %d slots", n)
	}
	delete(want, "exit_group")
	delete(got, "exit_group")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// With the recorded clumps, such calls come in their milliseconds, those of the
// host and of containers in their own.
func TestReplayKeepsClumps(t *testing.T) {
	b := profile.NewBuilder()
	for range 20 {
		slots := &[profile.Slots]float64{3: 4}
		b.Clumps(false, []int{32, 38})
		b.Clumps(true, []int{31, 77})
		b.Add([]profile.Count{{Syscall: "read", Calls: 500}, {Syscall: "unlink", Calls: 4, Slots: slots}, {Syscall: "connect", Container: true, Calls: 4, Slots: slots}})
	}
	o, _, err := Replay(b.Profile(), 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]map[time.Duration]int{"replay.unlink": {}, "replay.connect": {}}
	pacer, picker := o.Mix.pacer(), newMixPicker(o.Mix)
	for n := uint64(0); pacer.Due(n) < 20*profile.Window; n++ {
		if due := got[o.Actions[picker.at(n)].Name]; due != nil {
			due[(pacer.Due(n)+time.Microsecond)%profile.Window/time.Millisecond]++
		}
	}
	want := map[string]map[time.Duration]int{"replay.unlink": {32: 40, 38: 40}, "replay.connect": {31: 80}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// An execve takes the clone that is the next before it, within a window.
func TestLess(t *testing.T) {
	type list = []profile.Busy
	for name, test := range map[string]struct{ busy, others, want list }{
		"same slot":   {list{{Slot: 5, Calls: 2}, {Slot: 9, Calls: 1}}, list{{Slot: 5, Calls: 1}}, list{{Slot: 5, Calls: 1}, {Slot: 9, Calls: 1}}},
		"before":      {list{{Slot: 5, Calls: 2}, {Slot: 9, Calls: 1}}, list{{Slot: 10, Calls: 2}}, list{{Slot: 5, Calls: 1}}},
		"not after":   {list{{Slot: 9, Calls: 1}}, list{{Slot: 5, Calls: 1}}, list{{Slot: 9, Calls: 1}}},
		"too long":    {list{{Slot: 5, Calls: 1}}, list{{Slot: 15, Calls: 1}}, list{{Slot: 5, Calls: 1}}},
		"all of them": {list{{Slot: 5, Calls: 1}}, list{{Slot: 5, Calls: 1}}, list{{Slot: 5, Calls: 1}}}, // those that are left come somewhere
	} {
		if diff := cmp.Diff(test.want, less(test.busy, test.others)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// The calls of two syscalls that are made as one have the slots of both.
func TestAlongside(t *testing.T) {
	shape := &profile.Shape{Strands: []profile.Strand{
		{Group: profile.Process, Syscall: "clone", Counts: []uint32{1, 0}, Exact: &profile.Exact{Windows: 2, Busy: []profile.Busy{{Slot: 7, Calls: 1}}}},
		{Group: profile.Process, Syscall: "vfork", Counts: []uint32{2, 3}, Exact: &profile.Exact{Windows: 2, Busy: []profile.Busy{{Slot: 2, Calls: 2}, {Slot: 12, Calls: 3}}}},
		{Group: profile.Process, Counts: []uint32{9, 9}},
	}}
	want := profile.Strand{Group: profile.Process, Syscall: "clone", Counts: []uint32{3, 3},
		Exact: &profile.Exact{Windows: 2, Busy: []profile.Busy{{Slot: 2, Calls: 2}, {Slot: 7, Calls: 1}, {Slot: 12, Calls: 3}}}}
	if diff := cmp.Diff(want, strand{profile.Process, "clone", false}.in(shape)); diff != "" {
		t.Error(diff)
	}
}
