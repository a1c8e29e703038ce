package rules_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/engine"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
	embedded "github.com/peregrine-sec/peregrine/rules"
	"github.com/peregrine-sec/peregrine/test/support/corpus"
)

// sets are the sets of rules to measure with.
var sets = []string{"default", "upstream stable", "upstream stable and incubating"}

func filesOf(b *testing.B, set string) []rules.Source {
	b.Helper()
	var files []rules.Source
	if set == "default" {
		for _, name := range embedded.Names {
			files = append(files, rules.Source{Name: name, Content: embedded.Read(name)})
		}
		return files
	}
	dir := corpus.Need(b, "rules")
	names := []string{"falco_rules.yaml", "falco-incubating_rules.yaml"}
	if set == "upstream stable" {
		names = names[:1]
	}
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			b.Fatal(err)
		}
		files = append(files, rules.Source{Name: name, Content: content})
	}
	return files
}

func compile(b *testing.B, files []rules.Source) *plan.Plan {
	b.Helper()
	set, report := rules.Load(files, rules.Options{Lookup: field.Lookup})
	if set == nil {
		b.Fatal(report.Err())
	}
	p, err := plan.New(set.Enabled(alert.Debug), plan.Options{Lookup: field.Lookup})
	if err != nil {
		b.Fatal(err)
	}
	return p
}

// BenchmarkCompile loads rules and compiles them for every kind of event, as
// the sensor does at its start.
func BenchmarkCompile(b *testing.B) {
	for _, set := range sets {
		b.Run(set, func(b *testing.B) {
			files := filesOf(b, set)
			for b.Loop() {
				compile(b, files)
			}
		})
	}
}

type silent struct{ a alert.Alert }

func (s *silent) Format(*field.Context) *alert.Alert { return &s.a }

// BenchmarkMatch sends events that match no rule through the engine, whose
// path filter is off: every rule on such events that the process does not
// exclude is evaluated.
func BenchmarkMatch(b *testing.B) {
	for _, set := range sets {
		p := compile(b, filesOf(b, set))
		p.Opens = nil
		formatters := make([]engine.Formatter, len(p.Rules))
		for i := range formatters {
			formatters[i] = &silent{}
		}
		for name, ev := range benchEvents() {
			b.Run(set+"/"+name, func(b *testing.B) {
				e := engine.New(engine.Options{
					Table: state.NewTable(state.Options{}), Rules: engine.NewRuleset(p, formatters, false),
					Static: &field.Static{Source: "syscall", Snaplen: 80}, Emit: func(*alert.Alert) { b.Fatal("an alert") },
				})
				e.Handle(benchProcess())
				b.ReportAllocs()
				for b.Loop() {
					e.Handle(ev)
				}
			})
		}
	}
}

func header() event.Header {
	return event.Header{Time: 1e12, PID: 10, TID: 10, PPID: 1, Start: 10, Syscall: event.NoSyscall, LoginUID: 0xffffffff}
}

func benchProcess() []byte {
	var b event.Builder
	slot := event.KindTask.Info().Slot
	b.Start(event.KindTask, header())
	b.Str(slot("comm"), "postgres")
	b.Int(slot("ppid"), 1)
	b.Uint(slot("start"), 10)
	return slices.Clone(b.Finish())
}

func benchEvents() map[string][]byte {
	var b event.Builder
	events := map[string][]byte{}
	slot := event.KindOpenat.Info().Slot
	b.Start(event.KindOpenat, header())
	b.Int(slot("fd"), 7)
	b.Int(slot("dirfd"), -100)
	b.Str(slot("name"), "/var/lib/postgresql/15/main/base/16384/2619")
	b.Uint(slot("flags"), 3)
	b.File(slot("file"), event.FileInfo{Type: event.FDFile}, nil)
	events["open"] = slices.Clone(b.Finish())
	slot = event.KindSocket.Info().Slot
	b.Start(event.KindSocket, header())
	b.Int(slot("fd"), 7)
	b.Uint(slot("domain"), 2)
	events["socket"] = slices.Clone(b.Finish())
	return events
}
