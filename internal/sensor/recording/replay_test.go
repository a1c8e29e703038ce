package recording

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/capture"
	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/internal/sensor/engine"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
)

const storyRules = `
- rule: Image
  desc: d
  condition: evt.type = openat and container.image.repository = wanted
  output: "%container.name %proc.pid %proc.name %proc.ppid %proc.apid[2] %proc.pname %proc.aname[2] %proc.cwd %user.name %proc.duration %fd.name"
  priority: INFO
- rule: Host
  desc: d
  condition: evt.type in (openat, execve, chdir) and container.id = host and not proc.name = idle
  output: "%evt.type %proc.pid %proc.name %proc.cmdline %proc.ppid %proc.pname %proc.aname[2] %proc.cwd %user.name %fd.name %proc.pid.ts"
  priority: INFO
`

// story is a world whose events an engine sees, as a live sensor's does: in
// time since boot, with containers that are known late.
type story struct {
	t      *rapid.T
	engine *engine.Engine
	table  *state.Table
	rules  *engine.Ruleset
	got    []string
	build  event.Builder
	now    uint64
	procs  map[uint32]*event.Header
	names  map[uint32]string
	next   uint32
}

const boot = uint64(1_700_000_000_000_000_000)

func newStory(t *rapid.T, wait time.Duration) *story {
	set, report := rules.Load([]rules.Source{{Name: "story.yaml", Content: []byte(storyRules)}}, rules.Options{Lookup: field.Lookup})
	if set == nil {
		t.Fatal(report.Err())
	}
	p, err := plan.New(set.Enabled(alert.Debug), plan.Options{Lookup: field.Lookup, All: true})
	if err != nil {
		t.Fatal(err)
	}
	s := &story{t: t, table: state.NewTable(state.Options{}), now: 1_000_000_000, procs: map[uint32]*event.Header{}, names: map[uint32]string{}, next: 1}
	formatters := make([]engine.Formatter, len(p.Rules))
	for i, r := range p.Rules {
		if formatters[i], err = alert.New(alert.Rule{Name: r.Name}, r.Output, alert.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	s.rules = engine.NewRuleset(p, formatters, false)
	s.engine = engine.New(engine.Options{
		Table: s.table, Rules: s.rules, Static: &field.Static{Source: "syscall", Snaplen: 80}, MetadataWait: wait,
		Emit: func(a *alert.Alert) { s.got = append(s.got, a.Output) },
	})
	return s
}

func (s *story) header(pid uint32) event.Header {
	s.now += 1000
	h := *s.procs[pid]
	h.Time = s.now
	return h
}

// born makes a process out of nothing, as the snapshot does.
func (s *story) born(comm, cgroups string) {
	pid := s.next
	s.next++
	s.procs[pid] = &event.Header{PID: pid, TID: pid, VTID: pid, PPID: pid - 1, Start: s.now, ExecID: 1, Syscall: event.NoSyscall, UID: pid % 3}
	slot := event.KindTask.Info().Slot
	s.build.Start(event.KindTask, s.header(pid))
	s.build.Str(slot("comm"), comm)
	s.build.Str(slot("argv"), "/bin/"+comm+"\x00")
	s.build.Str(slot("cwd"), "/srv")
	s.build.Str(slot("cgroups"), cgroups)
	s.build.Uint(slot("start_time"), s.now)
	s.engine.Learn(s.build.Finish())
}

func (s *story) fork(pid uint32) {
	h := s.header(pid)
	c := h
	c.PID, c.TID, c.VTID, c.PPID, c.Start = s.next, s.next, s.next, pid, s.now
	s.next++
	s.procs[c.PID] = &c
	slot := event.KindProcfork.Info().Slot
	s.build.Start(event.KindProcfork, h)
	for name, n := range map[string]uint64{
		"child": uint64(c.PID), "ppid": uint64(pid), "vpid": uint64(c.PID), "vtid": uint64(c.PID), "start": c.Start, "uid": uint64(h.UID), "gid": uint64(h.GID),
	} {
		s.build.Uint(slot(name), n)
	}
	s.engine.Handle(s.build.Finish())
}

func (s *story) exec(pid uint32, comm, cgroups string) {
	s.procs[pid].ExecID++
	slot := event.KindExecve.Info().Slot
	s.build.Start(event.KindExecve, s.header(pid))
	for name, text := range map[string]string{
		"exe": "/bin/" + comm, "comm": comm, "trusted_exepath": "/bin/" + comm, "args": "-x\x00", "cgroups": cgroups, "cwd": "/run",
	} {
		s.build.Str(slot(name), text)
	}
	s.engine.Handle(s.build.Finish())
}

func (s *story) chdir(pid uint32, dir string) {
	slot := event.KindChdir.Info().Slot
	s.build.Start(event.KindChdir, s.header(pid))
	s.build.Str(slot("path"), dir)
	s.build.Str(slot("cwd"), dir)
	s.engine.Handle(s.build.Finish())
}

func (s *story) open(pid uint32) {
	slot := event.KindOpenat.Info().Slot
	h := s.header(pid)
	h.TID++ // a thread
	s.build.Start(event.KindOpenat, h)
	s.build.Str(slot("name"), "file")
	s.build.Str(slot("base"), "/etc")
	s.build.File(slot("file"), event.FileInfo{Type: event.FDFile}, []byte("/etc/file"))
	s.engine.Handle(s.build.Finish())
}

func (s *story) exit(pid uint32) {
	s.build.Start(event.KindProcexit, s.header(pid))
	s.build.Int(event.KindProcexit.Info().Slot("reaper_tid"), 1)
	s.engine.Handle(s.build.Finish())
	delete(s.procs, pid)
	for _, c := range s.procs {
		if c.PPID == pid {
			c.PPID = 1
		}
	}
}

// know delivers the metadata of a container, and evaluates the events that wait
// for it.
func (s *story) know(n int) {
	s.table.UpdateContainer(container.Container{ID: container.Short(box(n)), FullID: box(n), Name: "box", Image: "wanted", ImageRepository: "wanted"})
	s.engine.Swap(s.rules, &field.Static{Source: "syscall", Snaplen: 80})
}

func box(n int) string { return strings.Repeat(string(rune('a'+n)), 64) }

// step does one thing, drawn.
func (s *story) step() {
	var pids []uint32
	for pid := range s.procs {
		pids = append(pids, pid)
	}
	slices.Sort(pids)
	pid := rapid.SampledFrom(pids).Draw(s.t, "pid")
	cgroups := rapid.SampledFrom([]string{"cpu=/\x00", "cpu=/docker/" + box(0) + "\x00", "cpu=/docker/" + box(1) + "\x00"}).Draw(s.t, "cgroups")
	comm := rapid.SampledFrom([]string{"sh", "cat", "idle"}).Draw(s.t, "comm")
	switch rapid.IntRange(0, 7).Draw(s.t, "do") {
	case 0:
		s.fork(pid)
	case 1, 2:
		s.exec(pid, comm, cgroups)
	case 3:
		s.chdir(pid, "/home/"+comm)
	case 4:
		if pid > 1 {
			s.exit(pid)
		}
	case 5:
		s.know(rapid.IntRange(0, 1).Draw(s.t, "box"))
	default:
		s.open(pid)
	}
}

// Whatever happens while a recording is on, its replay gives the alerts that
// were given live from then on: of processes that were there before, of those
// that came and went, and of those whose container was known late.
func TestReplayGivesTheSameAlerts(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		s := newStory(t, time.Hour)
		s.engine.SetClock(boot)
		r := New(Options{Table: s.table, Log: slog.New(slog.DiscardHandler), Machine: capture.Machine{CPUs: 1}})
		for n := range 4 {
			s.born("init", []string{"cpu=/\x00", "cpu=/docker/" + box(0) + "\x00"}[n%2])
		}
		for range rapid.IntRange(0, 10).Draw(t, "before") {
			s.step()
		}
		s.engine.Swap(s.rules, &field.Static{Source: "syscall", Snaplen: 80}) // nothing waits now
		s.got = nil
		ctx, stop := context.WithCancel(context.Background())
		go r.Run(ctx)
		l := Limits{Prefix: dir + "/story", Files: 1, Total: 1 << 30, Buffer: 1 << 20}
		r.Alert(s.engine, s.now+1000, time.Hour, l)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			s.step()
		}
		s.know(0)
		s.open(1)
		r.Close(stop)
		again := newStory(t, 0)
		replay(t, again, l)
		for _, path := range files(t, l) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(s.got, again.got) {
			t.Fatalf("live\n%s\nreplayed\n%s", strings.Join(s.got, "\n"), strings.Join(again.got, "\n"))
		}
	})
}

func replay(t *rapid.T, s *story, l Limits) {
	list := files(t, l)
	if len(list) != 1 {
		return // all events still wait
	}
	f, err := capture.Open(list[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := s.engine.Replay(context.Background(), f.Next); err != nil {
		t.Fatal(err)
	}
}
