package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	embedded "github.com/peregrine-sec/peregrine/rules"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
	"github.com/peregrine-sec/peregrine/test/support/corpus"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

// No goroutine is left behind.
func TestMain(m *testing.M) { leaks.Main(m) }

// ruleSets are the sets of rules that tests and benchmarks run over: the
// default rules, and those of the corpus.
func ruleSets(tb testing.TB) map[string][]*rules.Rule {
	tb.Helper()
	var ours []rules.Source
	for _, name := range embedded.Names {
		ours = append(ours, rules.Source{Name: name, Content: embedded.Read(name)})
	}
	sets := map[string][]*rules.Rule{"ours": load(tb, ours)}
	for _, set := range corpus.Rules(tb) {
		var sources []rules.Source
		for _, path := range set.Files {
			content, err := os.ReadFile(path)
			if err != nil {
				tb.Fatal(err)
			}
			sources = append(sources, rules.Source{Name: filepath.Base(path), Content: content})
		}
		sets[set.Name] = load(tb, sources)
	}
	return sets
}

func load(tb testing.TB, sources []rules.Source) []*rules.Rule {
	tb.Helper()
	set, report := rules.Load(sources, rules.Options{Lookup: field.Lookup})
	if set == nil {
		tb.Fatal(report.Err())
	}
	return set.Enabled(alert.Debug)
}

// quiet is a Formatter that only counts.
type quiet struct{ rule string }

func (q quiet) Format(*field.Context) *alert.Alert { return &alert.Alert{Rule: q.rule} }

func newRuleset(tb testing.TB, list []*rules.Rule, all, unmasked bool) *Ruleset {
	tb.Helper()
	p, err := plan.New(list, plan.Options{Lookup: field.Lookup, Unmasked: unmasked})
	if err != nil {
		tb.Fatal(err)
	}
	formatters := make([]Formatter, len(p.Rules))
	for i, r := range p.Rules {
		formatters[i] = quiet{r.Name}
	}
	return NewRuleset(p, formatters, all)
}

// machine makes the events of a few processes.
type machine struct {
	b    event.Builder
	time uint64
}

func (m *machine) header(pid uint32, syscall string) event.Header {
	m.time += 1000
	id := event.ID(event.NoSyscall)
	if syscall != "" {
		id, _ = event.SyscallByName(syscall)
	}
	return event.Header{
		Time: m.time, TID: pid, PID: pid, PPID: 1, LoginUID: 0xffffffff, Syscall: uint16(id), Start: uint64(pid), VTID: pid,
	}
}

func (m *machine) exec(pid uint32, comm string, args ...string) []byte {
	slot := event.KindExecve.Info().Slot
	h := m.header(pid, "execve")
	m.b.Start(event.KindExecve, h)
	m.b.Str(slot("exe"), comm)
	var blob []byte
	for _, a := range args {
		blob = append(append(blob, a...), 0)
	}
	m.b.Bytes(slot("args"), blob)
	m.b.Str(slot("comm"), comm)
	m.b.Str(slot("cwd"), "/")
	m.b.Str(slot("trusted_exepath"), "/usr/bin/"+comm)
	m.b.Str(slot("cgroups"), "cpu=/\x00")
	for _, name := range []string{"tid", "pid", "vpid", "vpgid", "pgid", "sid"} {
		if i := slot(name); i >= 0 {
			m.b.Uint(i, uint64(pid))
		}
	}
	return slices.Clone(m.b.Finish())
}

// flags of an open, as events carry them.
const (
	rdonly = 1
	wronly = 2
	creat  = 4
	trunc  = 0x100
)

func (m *machine) open(pid uint32, path, resolved string, flags uint64, fd int64) []byte {
	return m.openat(pid, "", path, resolved, flags, fd)
}

// openat is an open of a path relative to base, if that is not empty.
func (m *machine) openat(pid uint32, base, path, resolved string, flags uint64, fd int64) []byte {
	slot := event.KindOpenat.Info().Slot
	h := m.header(pid, "openat")
	h.Res = fd
	m.b.Start(event.KindOpenat, h)
	m.b.Int(slot("fd"), fd)
	m.b.Int(slot("dirfd"), -100)
	m.b.Str(slot("name"), path)
	m.b.Uint(slot("flags"), flags)
	if base != "" {
		m.b.Str(event.KindOpenat.Info().Base, base)
	}
	if fd >= 0 {
		m.b.File(slot("file"), event.FileInfo{Type: event.FDFile, Ino: 7, Dev: 1}, []byte(resolved))
	}
	return slices.Clone(m.b.Finish())
}

type sink struct{ got []string }

func (s *sink) emit(a *alert.Alert) { s.got = append(s.got, a.Rule) }

func newEngine(r *Ruleset, emit func(*alert.Alert)) *Engine {
	return New(Options{
		Table: state.NewTable(state.Options{}), Rules: r, Emit: emit, Static: &field.Static{Source: "syscall", Snaplen: 80},
	})
}

func TestSensitiveFile(t *testing.T) {
	var s sink
	e := newEngine(newRuleset(t, ruleSets(t)["ours"], false, false), s.emit)
	var m machine
	for _, ev := range [][]byte{
		m.exec(100, "cat", "/etc/shadow"),
		m.open(100, "/etc/shadow", "", rdonly, 3),
		m.open(100, "/etc/hostname", "", rdonly, 3),
		m.open(100, "/etc/shadow", "", rdonly, -13), // not allowed
		m.open(100, "/tmp/link", "/etc/shadow", rdonly, 3),
	} {
		e.Handle(ev)
	}
	want := []string{"Read sensitive file untrusted", "Read sensitive file untrusted"}
	if !slices.Equal(s.got, want) {
		t.Errorf("alerts %q, want %q", s.got, want)
	}
}

// The name of the process decides, and an exec changes the decision.
func TestMaskFollowsExec(t *testing.T) {
	var s sink
	e := newEngine(newRuleset(t, ruleSets(t)["ours"], false, false), s.emit)
	var m machine
	for i, comm := range []string{"sshd", "cat", "sudo"} {
		h := m.exec(100, comm)
		e.Handle(h)
		e.Handle(m.open(100, "/etc/shadow", "", rdonly, 3))
		if want := min(i, 1); len(s.got) != want {
			t.Fatalf("after %s: %d alerts, want %d", comm, len(s.got), want)
		}
	}
}

func TestFirstAndAll(t *testing.T) {
	list := load(t, []rules.Source{{Name: "two.yaml", Content: []byte(`
- rule: One
  desc: d
  condition: evt.type=openat and fd.name=/x
  output: o
  priority: INFO
- rule: Two
  desc: d
  condition: evt.type=openat and fd.name startswith /
  output: o
  priority: INFO
- rule: Any
  desc: d
  condition: evt.num > 0 and fd.name=/x
  output: o
  priority: INFO
`)}})
	for all, want := range map[bool][]string{false: {"One"}, true: {"One", "Two", "Any"}} {
		var s sink
		e := newEngine(newRuleset(t, list, all, false), s.emit)
		var m machine
		e.Handle(m.open(5, "/x", "", rdonly, 3))
		if !slices.Equal(s.got, want) {
			t.Errorf("all=%v: %q, want %q", all, s.got, want)
		}
	}
}

func TestMalformedEventIsCounted(t *testing.T) {
	e := newEngine(newRuleset(t, nil, false, false), nil)
	e.Handle(make([]byte, 8))
	var m machine
	e.Handle(m.open(5, "/x", "", rdonly, 3))
	if c := e.Counters(); c.Malformed != 1 || c.Events != 1 {
		t.Errorf("counters %+v", c)
	}
}

// stream is a mix of processes and files that touches most rules about opens.
func stream() [][]byte {
	var m machine
	var all [][]byte
	comms := []string{"cat", "sshd", "nginx", "bash", "tar", "dpkg", "containerd", "python3"}
	paths := []string{
		"/etc/shadow", "/etc/passwd", "/etc/pam.d/login", "/root/.ssh/id_rsa", "/home/a/.ssh/authorized_keys", "/var/log/syslog",
		"/root/.bashrc", "/dev/x", "/usr/bin/x", "/lib/x", "/etc/cron.d/x", "/tmp/x", "/proc/1/environ", "/etc/../etc/shadow",
		"/release_agent", "relative", "",
	}
	for i, comm := range comms {
		pid := uint32(100 + i)
		all = append(all, m.exec(pid, comm, "-c", "x"))
		for _, path := range paths {
			for _, flags := range []uint64{rdonly, wronly, wronly | creat | trunc, rdonly | wronly} {
				for _, fd := range []int64{3, -2} {
					all = append(all, m.open(pid, path, "", flags, fd), m.open(pid, "/tmp/l", path, flags, fd))
					if i := strings.LastIndexByte(path, '/'); i >= 0 {
						dir, name := path[:max(i, 1)], path[i+1:]
						all = append(all, m.openat(pid, dir, name, path, flags, fd), m.openat(pid, dir, "../x/"+name, "/tmp/x", flags, fd),
							m.openat(pid, dir+"/x", ".././"+name, "/tmp/x", flags, fd), m.openat(pid, "/tmp", "l", path, flags, fd))
					}
				}
			}
		}
	}
	return all
}

// Masks only skip rules that cannot match: alerts are the same with and
// without.
func TestMasksChangeNothing(t *testing.T) {
	for name, list := range ruleSets(t) {
		t.Run(name, func(t *testing.T) {
			var masked, unmasked sink
			a := newEngine(newRuleset(t, list, true, false), masked.emit)
			b := newEngine(newRuleset(t, list, true, true), unmasked.emit)
			for _, ev := range stream() {
				a.Handle(ev)
				b.Handle(ev)
			}
			if !slices.Equal(masked.got, unmasked.got) {
				t.Errorf("%d alerts with masks, %d without", len(masked.got), len(unmasked.got))
			}
			if len(masked.got) < 50 {
				t.Errorf("only %d alerts: the stream does not reach the rules", len(masked.got))
			}
			if a.rules.Evaluations[0] > b.rules.Evaluations[0] {
				t.Error("masks made more work")
			}
		})
	}
}

// Events that the kernel filters out match no rule.
func TestOpensChangeNothing(t *testing.T) {
	for name, list := range ruleSets(t) {
		t.Run(name, func(t *testing.T) {
			opens, err := plan.NewOpens(list)
			if err != nil {
				t.Fatal(err)
			}
			var s sink
			e := newEngine(newRuleset(t, list, true, true), s.emit)
			skipped := 0
			var v event.View
			for _, ev := range stream() {
				before := len(s.got)
				e.Handle(ev)
				if err := v.Reset(ev); err != nil {
					t.Fatal(err)
				}
				comm := e.table.Get(int32(v.Header().PID)).Comm
				if opens.NeededEvent(&v, comm) {
					continue
				}
				skipped++
				if len(s.got) != before {
					path, _ := v.Str(v.Info().Slot("name"))
					t.Errorf("open of %q by %s would not be sent, but matches %q", path, comm, s.got[before:])
				}
			}
			if skipped < 500 {
				t.Errorf("only %d events are filtered", skipped)
			}
		})
	}
}

func TestHandleDoesNotAllocate(t *testing.T) {
	if event.Invariants {
		t.Skip("every event is copied")
	}
	e := newEngine(newRuleset(t, ruleSets(t)["ours"], false, false), func(*alert.Alert) { t.Error("an alert") })
	var m machine
	e.Handle(m.exec(100, "myapp"))
	ev := m.open(100, "/usr/share/zoneinfo/UTC", "", rdonly, 3)
	if n := testing.AllocsPerRun(1000, func() { e.Handle(ev) }); n != 0 {
		t.Errorf("%v allocations for an event that matches nothing", n)
	}
}

func BenchmarkHandle(b *testing.B) {
	for name, list := range ruleSets(b) {
		for _, path := range []string{"/usr/share/zoneinfo/UTC", "/etc/hostname"} {
			b.Run(fmt.Sprintf("%s/open%s", name, filepath.Dir(path)), func(b *testing.B) {
				e := newEngine(newRuleset(b, list, false, false), func(*alert.Alert) {})
				var m machine
				e.Handle(m.exec(100, "myapp"))
				ev := m.open(100, path, "", rdonly, 3)
				b.ReportAllocs()
				for b.Loop() {
					e.Handle(ev)
				}
			})
		}
	}
}

func BenchmarkPlan(b *testing.B) {
	for name, list := range ruleSets(b) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := plan.New(list, plan.Options{Lookup: field.Lookup}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
