package state

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/test/support/script"
)

var update = flag.Bool("update", false, "rewrite the scripts' output")

// The scripts of testdata show the table after series of events. A block is
//
//	events                followed by one of these on each line:
//
//	start PID PPID NAME   a process that the snapshot tells of
//	born PID PPID NAME    a process that starts and that no event tells of
//	fork PID CHILD        and so on, as the kernel reports them
//	exec PID PATH ARG...
//	exit PID REAPER
//	call PID              an event that changes nothing
//	set PID KEY=VALUE...  changes what the headers of its events say
//	enter PID ID          an exec of runc in a container
//
// "lost EVENT" happens, and no event tells of it; "late EVENT" is delivered by
// a later "deliver", and so is "held EVENT", which the kernel has held back. The output is what call and deliver are attributed to, then
// the processes.
func TestScripts(t *testing.T) {
	script.Run(t, *update, "testdata/*.txt", func(t *testing.T) func(*testing.T, script.Block) string {
		s := &teller{world: newWorld(t, Options{MaxProcesses: 8})}
		return func(t *testing.T, b script.Block) string {
			var out strings.Builder
			for line := range strings.Lines(b.Input) {
				if p := s.tell(t, strings.Fields(line)); p != nil {
					fmt.Fprintf(&out, "%s: %s\n", strings.TrimSpace(line), s.describe(p))
				}
			}
			if b.Command != "events" {
				t.Fatalf("line %d: no command %q", b.Line, b.Command)
			}
			for p := range s.sorted() {
				fmt.Fprintf(&out, "%4d %s\n", p.PID, s.describe(p))
			}
			return out.String()
		}
	})
}

// teller is a world whose events are told by words.
type teller struct {
	*world
	late [][]byte
}

// tell performs one line, and returns the process of a call or a late event.
func (s *teller) tell(t *testing.T, words []string) *Process {
	t.Helper()
	switch words[0] {
	case "lost":
		s.event(t, words[1:])
		return nil
	case "late", "held":
		raw := slices.Clone(s.event(t, words[1:]))
		if words[0] == "held" {
			(*event.Header)(unsafe.Pointer(&raw[0])).Flags |= event.Late
		}
		s.late = append(s.late, raw)
		return nil
	case "deliver":
		raw := s.late[0]
		s.late = s.late[1:]
		return s.apply(raw)
	case "born":
		s.born(pid(t, words[1]), pid(t, words[2]), words[3])
		return nil
	case "set":
		s.set(t, pid(t, words[1]), words[2:])
		return nil
	}
	p := s.apply(s.event(t, words))
	if words[0] != "call" {
		return nil
	}
	return p
}

// event makes an event; the kernel's part of it is done.
func (s *teller) event(t *testing.T, words []string) []byte {
	t.Helper()
	who := pid(t, words[1])
	switch words[0] {
	case "start":
		s.born(who, pid(t, words[2]), words[3])
		return s.task(who, words[3])
	case "fork":
		return s.forkRaw(who, pid(t, words[2]))
	case "exec":
		return s.execRaw(who, words[2], words[3:]...)
	case "exit":
		return s.exitRaw(who, pid(t, words[2]))
	case "call":
		return s.callRaw(who)
	case "enter":
		id := strings.Repeat(words[2], 64/len(words[2]))
		return replaceStr(t, s.execRaw(who, "/bin/runc"), event.ExecveCgroups, "memory=/docker/"+id+"\x00")
	}
	t.Fatalf("no event %q", words[0])
	return nil
}

func (s *teller) set(t *testing.T, who int32, values []string) {
	t.Helper()
	h := s.procs[who]
	for _, v := range values {
		key, value, _ := strings.Cut(v, "=")
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		field := map[string]*uint32{"uid": &h.UID, "gid": &h.GID, "loginuid": &h.LoginUID, "pidns": &h.PIDNS, "vtid": &h.VTID, "ppid": &h.PPID}[key]
		if field == nil {
			t.Fatalf("no key %q", key)
		}
		*field = uint32(n)
	}
}

func pid(t *testing.T, s string) int32 {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return int32(n)
}

// sorted yields the processes by pid.
func (s *teller) sorted() func(func(*Process) bool) {
	all := map[int32]*Process{}
	s.table.All(func(p *Process) bool { all[p.PID] = p; return true })
	return func(yield func(*Process) bool) {
		for _, n := range slices.Sorted(maps.Keys(all)) {
			if !yield(all[n]) {
				return
			}
		}
	}
}

// describe shows a process, its ancestors, and what is not as usual.
func (s *teller) describe(p *Process) string {
	var names []string
	for q := p; q != nil; q = s.table.Parent(q) {
		name := strings.TrimSpace(q.Cmdline)
		if name == "" {
			name = "?"
		}
		if q.Dead {
			name += " (dead)"
		}
		names = append(names, name)
	}
	out := strings.Join(names, " < ")
	for _, fact := range []struct {
		shown bool
		text  string
	}{
		{!p.Known, "unknown"},
		{p.UID != 0, fmt.Sprint("uid ", p.UID)},
		{p.GID != 0, fmt.Sprint("gid ", p.GID)},
		{p.LoginUID != noID, fmt.Sprint("loginuid ", p.LoginUID)},
		{p.VPID != p.PID && p.Known, fmt.Sprint("number ", p.VPID)},
		{p.CWD != "/" && p.Known, "in " + p.CWD},
		{p.Container != container.Host, "container " + p.Container.ID},
	} {
		if fact.shown {
			out += ", " + fact.text
		}
	}
	return out
}
