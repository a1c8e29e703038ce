package probe

import (
	"os"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// maskedDups asks for calls of dup, for someRule of this plan.
func maskedDups(plan uint32) Interest {
	in := masked(event.KindDup, func(event.CallFacts) bool { return true })
	in.Kinds.Plan = plan
	in.Syscalls = ids("dup")
	return in
}

func dup() { unix.Close(int(raw(unix.SYS_DUP, int(os.Stdout.Fd())))) }

func setMask(t *testing.T, p *Probe, m *ProcessMask) {
	t.Helper()
	if err := p.SetProcessMask(m); err != nil {
		t.Error(err) // also from other goroutines
	}
}

// ownMask is a mask without rules for this process, as it is now.
func ownMask(t *testing.T, p *Probe, plan uint32) ProcessMask {
	t.Helper()
	e := traceInterest(t, p, maskedDups(plan), dup).one(event.KindDup)
	h := e.Header()
	return ProcessMask{Plan: plan, PID: h.PID, Start: h.Start, ExecID: h.ExecID, UID: h.UID, GID: h.GID, LoginUID: h.LoginUID}
}

// A mask counts for the process that it was made for, with the credentials and
// the image that it had, and for these rules: with any other value in the place
// of one of these every rule is possible.
func TestProcessMask(t *testing.T) {
	p := loadOwn(t)
	mask := ownMask(t, p, 7)
	other := [2]uint64{^someRule[0], ^someRule[1]}
	for _, tc := range []struct {
		name   string
		change func(*ProcessMask)
		sent   bool
		stale  uint64
	}{
		{"no rule", func(m *ProcessMask) {}, false, 0},
		{"other rules", func(m *ProcessMask) { m.Rules = other }, false, 0},
		{"its rule", func(m *ProcessMask) { m.Rules = someRule }, true, 0},
		{"other plan", func(m *ProcessMask) { m.Plan++ }, true, 0},
		{"other process", func(m *ProcessMask) { m.PID += processMasks }, true, 0},
		{"other start", func(m *ProcessMask) { m.Start++ }, true, 1},
		{"start long ago", func(m *ProcessMask) { m.Start += 1 << 32 }, true, 1},
		{"exec", func(m *ProcessMask) { m.ExecID++ }, true, 1},
		{"user", func(m *ProcessMask) { m.UID++ }, true, 1},
		{"group", func(m *ProcessMask) { m.GID++ }, true, 1},
		{"login", func(m *ProcessMask) { m.LoginUID-- }, true, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := mask
			tc.change(&m)
			// The mask may wait for its rules, but not the other way around.
			setMask(t, p, &m)
			before := countersOf(t, p)
			sent := len(traceInterest(t, p, maskedDups(7), dup).of(event.KindDup, os.Getpid())) > 0
			after := countersOf(t, p)
			if sent != tc.sent {
				t.Errorf("sent %v, want %v", sent, tc.sent)
			}
			if masked := after.Masks.Filtered - before.Masks.Filtered; (masked > 0) == tc.sent {
				t.Errorf("%d calls are counted as masked, sent %v", masked, tc.sent)
			}
			if stale := after.Masks.Stale - before.Masks.Stale; stale < tc.stale || tc.stale == 0 && stale > 0 {
				t.Errorf("%d calls met a mask that is out of date, want %d", stale, tc.stale)
			}
		})
	}
}

// What is needed for no rule's sake is sent whatever the masks say: as long as
// these have the bit of no rule, which the caller sets.
func TestMaskOfNoRule(t *testing.T) {
	p := loadOwn(t)
	mask := ownMask(t, p, 7)
	mask.Rules = [2]uint64{0, 1 << 63}
	in := maskedDups(7)
	for f := range in.Kinds.Always[event.KindDup] {
		in.Kinds.Always[event.KindDup][f] = [2]uint64{^uint64(0), ^uint64(0)}
	}
	tr := traceInterest(t, p, in, func() {
		setMask(t, p, &mask)
		dup()
	})
	tr.one(event.KindDup)
}

// The mask is joined with what is known of a socket: a rule for the process and
// another one for such sockets need no call.
func TestProcessMaskOfSocket(t *testing.T) {
	p := loadOwn(t)
	mask := ownMask(t, p, 7)
	otherRule := [2]uint64{1, 0}
	for _, tc := range []struct {
		name             string
		process, sockets [2]uint64
		sent             bool
	}{
		{"the same rule", someRule, someRule, true},
		{"another rule", otherRule, someRule, false},
		{"rules that no such socket meets", someRule, otherRule, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := masked(event.KindShutdown, func(event.CallFacts) bool { return true })
			for f := range in.Kinds.Always[event.KindShutdown] {
				in.Kinds.Always[event.KindShutdown][f] = union(someRule, otherRule)
			}
			in.Kinds.Plan, in.Syscalls = 7, ids("shutdown")
			var sets [event.NumSocketFacts][2]uint64
			for f := range sets {
				sets[f] = tc.sockets
			}
			in.Sockets = &SocketFilter{
				Always: map[event.Kind]uint64{event.KindShutdown: ^uint64(0)},
				Rules:  map[event.Kind]*[event.NumSocketFacts][2]uint64{event.KindShutdown: &sets},
			}
			mask := mask
			mask.Rules = tc.process
			fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(fds[0])
			defer unix.Close(fds[1])
			tr := traceInterest(t, p, in, func() {
				setMask(t, p, &mask)
				raw(unix.SYS_SHUTDOWN, fds[0], unix.SHUT_WR)
			})
			if sent := len(tr.of(event.KindShutdown, os.Getpid())) > 0; sent != tc.sent {
				t.Errorf("sent %v, want %v", sent, tc.sent)
			}
		})
	}
}

// While two masks are written to one slot in turn, one for this process with its
// rule and one without rules for another, no mixture of both counts.
func TestMixedMasks(t *testing.T) {
	p := loadOwn(t)
	mine := ownMask(t, p, 7)
	mine.Rules = someRule
	others := mine
	others.PID += processMasks
	others.Rules = [2]uint64{}
	calls := 200_000
	if testing.Short() {
		calls = 20_000
	}
	setInterest(t, p, maskedDups(7))
	awaitHooks(t, p)
	before := countersOf(t, p)
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !stop.Load() {
			setMask(t, p, &mine)
			setMask(t, p, &others)
		}
	}()
	for range calls {
		dup()
	}
	stop.Store(true)
	<-done
	after := countersOf(t, p)
	if n := after.Masks.Filtered - before.Masks.Filtered; n != 0 {
		t.Errorf("%d of %d calls counted as masked", n, calls)
	}
	if after.Masks.Written < 100 || after.Masks.Held != 1 {
		t.Errorf("%d masks were written, %d are held", after.Masks.Written, after.Masks.Held)
	}
	setInterest(t, p, Interest{})
}

// Each mask is in the slot of its process, and only the pieces of the table that
// have masks are mapped.
func TestMaskPieces(t *testing.T) {
	p := loadOwn(t)
	table := p.coll.Maps["process_masks"]
	n := uint32(slotsInPiece())
	for i, slot := range []uint32{0, n - 1, n, processMasks - 1} {
		mask := ProcessMask{Plan: 7, PID: processMasks + slot}
		setMask(t, p, &mask)
		var got maskSlot
		if err := table.Lookup(slot, &got); err != nil {
			t.Fatal(err)
		}
		if pid := uint32(got.Words[1] >> 32); pid != mask.PID {
			t.Errorf("slot %d has the mask of process %d, want %d", slot, pid, mask.PID)
		}
		if held := p.processMasks.held(7); held != uint64(i+1) {
			t.Errorf("%d masks are held, want %d", held, i+1)
		}
	}
	mapped := 0
	for i := range p.processMasks.pieces {
		if p.processMasks.pieces[i].Load() != nil {
			mapped++
		}
	}
	if mapped != 3 {
		t.Errorf("%d pieces are mapped, want those of the first, second and last slots", mapped)
	}
}

// The structure of a mask is the same in C and Go.
func TestProcessMaskLayout(t *testing.T) {
	spec, err := readDirect()
	if err != nil {
		t.Fatal(err)
	}
	sameLayout(t, spec.Types, "process_mask", maskSlot{})
	if n := spec.Maps["process_masks"].MaxEntries; n != processMasks {
		t.Errorf("%d slots in C, %d in Go", n, processMasks)
	}
}
