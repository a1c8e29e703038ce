package state

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// Whatever events come, in whatever order, the table stays consistent. A model
// machine runs; some of its events are lost, some come late.
func TestInvariants(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, Options{MaxProcesses: 12})
		var late [][]byte
		pick := func() int32 {
			var pids []int32
			for pid := range int32(20) {
				if w.procs[pid] != nil {
					pids = append(pids, pid)
				}
			}
			return rapid.SampledFrom(pids).Draw(rt, "pid")
		}
		n := rapid.IntRange(1, 60).Draw(rt, "events")
		for range n {
			pid := pick()
			var raw []byte
			switch rapid.IntRange(0, 6).Draw(rt, "what") {
			case 0, 1:
				c := rapid.Int32Range(2, 19).Draw(rt, "child")
				if w.procs[c] != nil {
					continue
				}
				raw = w.forkRaw(pid, c)
			case 2:
				raw = w.execRaw(pid, "/bin/x")
			case 3:
				if pid == 1 {
					continue
				}
				reaper := pick()
				if reaper == pid {
					reaper = 1
				}
				raw = w.exitRaw(pid, reaper)
			case 4:
				raw = w.callRaw(pid)
			case 5:
				raw = w.task(pid, "t")
			case 6: // in a pid namespace; of some, the exit is lost
				h := w.procs[pid]
				h.PIDNS, h.VTID = rapid.Uint32Range(1, 3).Draw(rt, "pidns"), rapid.Uint32Range(1, 19).Draw(rt, "vpid")
				raw = w.callRaw(pid)
			}
			switch rapid.IntRange(0, 9).Draw(rt, "fate") {
			case 0: // lost
			case 1:
				late = append(late, append([]byte(nil), raw...))
			default:
				w.apply(raw)
			}
			if len(late) > 0 && rapid.IntRange(0, 3).Draw(rt, "now") == 0 {
				w.apply(late[0])
				late = late[1:]
			}
			checkTable(rt, w.table)
		}
	})
}

func checkTable(t *rapid.T, table *Table) {
	live := 0
	for pid, p := range table.processes {
		if p.PID != pid || p.disposed {
			t.Fatalf("entry %d is process %d, disposed %v", pid, p.PID, p.disposed)
		}
		if !p.gone {
			live++
			if q := table.InNamespaceOf(p, p.VPID); p.VPID >= 0 && (q == nil || q.VPID != p.VPID || q.PIDNS != p.PIDNS) {
				t.Fatalf("process %d, number %d of namespace %d, is found as %+v", pid, p.VPID, p.PIDNS, q)
			}
		}
		checkProcess(t, p)
	}
	for n, p := range table.numbers {
		for ; p != nil; p = p.namesake {
			if p.gone || table.processes[p.PID] != p || n != (number{p.PIDNS, p.VPID}) || n != p.number {
				t.Fatalf("process %d (gone: %v), number %d of namespace %d, is noted as %+v", p.PID, p.gone, p.VPID, p.PIDNS, n)
			}
		}
	}
	if live != table.live || live > table.max {
		t.Fatalf("%d live entries, counted as %d, at most %d", live, table.live, table.max)
	}
	if s := table.Stats(); s.Added-s.Removed != uint64(live) {
		t.Fatalf("%+v with %d entries", s, live)
	}
	for _, p := range table.graves.spare {
		if p.parent != nil || p.child != nil || p.older != nil || p.younger != nil || table.processes[p.PID] == p {
			t.Fatalf("process %d is ready for reuse, but linked", p.PID)
		}
	}
}

func checkProcess(t *rapid.T, p *Process) {
	if p.Container == nil || p.Generation == 0 {
		t.Fatalf("process %d: container %v, generation %d", p.PID, p.Container, p.Generation)
	}
	n := 0
	for q := p; q != nil; q = q.parent {
		if n++; n > 100 {
			t.Fatalf("process %d is its own ancestor", p.PID)
		}
	}
	if q := p.parent; q != nil {
		found := false
		for c := q.child; c != nil; c = c.older {
			found = found || c == p
		}
		if !found || q.PID != p.PPID {
			t.Fatalf("process %d has parent %d, PPID %d, listed there: %v", p.PID, q.PID, p.PPID, found)
		}
	}
	for c := p.child; c != nil; c = c.older {
		if c.parent != p || (c.older != nil && c.older.younger != c) {
			t.Fatalf("children of %d are linked wrongly", p.PID)
		}
	}
}

// Any bytes that View accepts are survived.
func FuzzApply(f *testing.F) {
	w := newWorld(f, Options{})
	f.Add(append([]byte(nil), w.task(1, "init")...), append([]byte(nil), w.forkRaw(1, 2)...))
	f.Add(append([]byte(nil), w.execRaw(2, "/bin/x", "y")...), append([]byte(nil), w.exitRaw(2, 1)...))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		table := NewTable(Options{})
		for _, raw := range [][]byte{a, b, a} {
			aligned := make([]uint64, (len(raw)+7)/8+1)
			buf := unsafeBytes(aligned)[:len(raw)]
			copy(buf, raw)
			var v event.View
			if v.Reset(buf) != nil {
				continue
			}
			if table.Apply(&v, 1) == nil {
				t.Fatal("nil process")
			}
			table.Done(&v)
		}
	})
}
