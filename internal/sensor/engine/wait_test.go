package engine

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
)

// box is the full id of container n.
func box(n int) string { return strings.Repeat(fmt.Sprintf("%04x", n+1), 16) }

// spawn is an exec in container n.
func (m *machine) spawn(pid uint32, n int, comm string) []byte {
	slot := event.KindExecve.Info().Slot
	m.b.Start(event.KindExecve, m.header(pid, "execve"))
	m.b.Str(slot("exe"), comm)
	m.b.Str(slot("comm"), comm)
	m.b.Str(slot("trusted_exepath"), "/bin/"+comm)
	m.b.Str(slot("cgroups"), "cpu=/docker/"+box(n)+"\x00")
	return slices.Clone(m.b.Finish())
}

func (m *machine) exit(pid uint32) []byte {
	m.b.Start(event.KindProcexit, m.header(pid, ""))
	return slices.Clone(m.b.Finish())
}

// late is an engine whose alerts are rendered as "rule container pid process".
type late struct {
	*Engine
	got []string
}

func newLate(t *testing.T, list []*rules.Rule, all bool, outputs alert.Options) *late {
	t.Helper()
	p, err := plan.New(list, plan.Options{Lookup: field.Lookup})
	if err != nil {
		t.Fatal(err)
	}
	formatters := make([]Formatter, len(p.Rules))
	for i, r := range p.Rules {
		if formatters[i], err = alert.New(alert.Rule{Name: r.Name}, r.Output, outputs); err != nil {
			t.Fatal(err)
		}
	}
	l := &late{}
	l.Engine = New(Options{
		Table: state.NewTable(state.Options{}), Rules: NewRuleset(p, formatters, all), MetadataWait: time.Second,
		Emit:   func(a *alert.Alert) { l.got = append(l.got, a.Rule+": "+a.Message) },
		Static: &field.Static{Source: "syscall", Snaplen: 80},
	})
	return l
}

// know delivers the metadata of container n.
func (l *late) know(n int, image string) {
	l.table.UpdateContainer(container.Container{
		ID: container.Short(box(n)), FullID: box(n), Name: fmt.Sprint("box", n), Image: image, ImageRepository: image, Privileged: n%2 == 0,
	})
}

const lateRules = `
- rule: Image
  desc: d
  condition: evt.type=openat and fd.name=/x and container.image.repository=wanted
  output: "%container.name %proc.pid %proc.name"
  priority: INFO
- rule: Not
  desc: d
  condition: evt.type=openat and fd.name=/x and not container.image.repository in (wanted, other)
  output: "%container.name %proc.pid %proc.name"
  priority: INFO
- rule: Plain
  desc: d
  condition: evt.type=openat and fd.name startswith /x
  output: "%proc.pid %proc.name"
  priority: INFO
`

func lateList(t *testing.T) []*rules.Rule {
	return load(t, []rules.Source{{Name: "late.yaml", Content: []byte(lateRules)}})
}

func TestAlertsWaitForMetadata(t *testing.T) {
	var m machine
	first, second := m.spawn(5, 1, "sh"), m.open(5, "/x", "", rdonly, 3)
	other := m.open(5, "/xy", "", rdonly, 3)
	again := m.spawn(5, 1, "later")
	gone := m.exit(5)
	for _, tt := range []struct {
		name, image string
		all         bool
		want        []string // at once, then when it is known
	}{
		{"wanted, first", "wanted", false, []string{"Plain: 5 sh", "", "Image: box1 5 sh"}},
		{"wanted, all", "wanted", true, []string{"Plain: 5 sh", "Plain: 5 sh", "", "Image: box1 5 sh"}},
		{"other, first", "other", false, []string{"Plain: 5 sh", "", "Plain: 5 sh"}},
		{"third, first", "third", false, []string{"Plain: 5 sh", "", "Not: box1 5 sh"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLate(t, lateList(t), tt.all, alert.Options{})
			for _, ev := range [][]byte{first, second, other, again, gone} { // later events change nothing
				l.Handle(ev)
			}
			l.settle(0)
			l.got = append(l.got, "")
			l.know(1, tt.image)
			l.settle(0)
			if !slices.Equal(l.got, tt.want) {
				t.Errorf("alerts %q, want %q", l.got, tt.want)
			}
			if c := l.Counters(); c.Waited != 1 || c.WaitCut != 0 || c.Alerts != uint64(len(tt.want)-1) {
				t.Errorf("counters %+v", c)
			}
		})
	}
}

// Alerts wait for facts from the API server about a pod too, if the sensor asks
// one.
func TestAlertsWaitForWorkload(t *testing.T) {
	list := load(t, []rules.Source{{Name: "late.yaml", Content: []byte(`
- rule: Deployment
  desc: d
  condition: evt.type=openat and fd.name=/x and k8s.deployment.name=web
  output: "%container.name %proc.pid"
  priority: INFO
- rule: Other
  desc: d
  condition: evt.type=openat and fd.name=/x and not k8s.deployment.name=web
  output: "%container.name %proc.pid"
  priority: INFO
`)}})
	for _, tt := range []struct{ deployment, want string }{{"web", "Deployment: box1 5"}, {"db", "Other: box1 5"}} {
		l := newLate(t, list, true, alert.Options{})
		l.table = state.NewTable(state.Options{Containers: container.Options{Watched: func() bool { return true }}})
		var m machine
		l.Handle(m.spawn(5, 1, "sh"))
		l.Handle(m.open(5, "/x", "", rdonly, 3))
		l.table.UpdateContainer(container.Container{ID: container.Short(box(1)), FullID: box(1), Name: "box1", Pod: &container.Pod{Name: "p", UID: "u"}})
		l.settle(0)
		if len(l.got) != 0 {
			t.Errorf("did not wait: %q", l.got)
		}
		l.table.UpdateWorkload("u", &container.Workload{Deployment: container.Object{Name: tt.deployment}})
		l.settle(0)
		l.Handle(m.open(5, "/x", "", rdonly, 3)) // now at once
		if want := []string{tt.want, tt.want}; !slices.Equal(l.got, want) || l.Counters().WaitCut != 0 {
			t.Errorf("alerts %q, want %q", l.got, want)
		}
	}
}

// An event whose metadata does not arrive in time is evaluated without it, and
// the container is not waited for again. Without a runtime to ask, events do
// not wait.
func TestWaitIsBounded(t *testing.T) {
	l := newLate(t, lateList(t), false, alert.Options{})
	var m machine
	l.Handle(m.spawn(5, 1, "sh"))
	l.Handle(m.open(5, "/x", "", rdonly, 3))
	if len(l.got) != 0 || l.untilDue() == math.MaxInt64 {
		t.Fatalf("did not wait: %q", l.got)
	}
	due := l.waiting.events[0].proc.Container.WaitUntil
	l.settle(due - 1)
	if len(l.got) != 0 {
		t.Fatalf("decided too early: %q", l.got)
	}
	l.settle(due)
	m.time = due
	l.Handle(m.open(5, "/x", "", rdonly, 3))
	want := []string{"Not: <NA> 5 sh", "Not: <NA> 5 sh"}
	if c := l.Counters(); !slices.Equal(l.got, want) || c.WaitCut != 1 || l.waiting.bytes != 0 || l.untilDue() != math.MaxInt64 {
		t.Errorf("alerts %q, counters %+v", l.got, c)
	}

	l = newLate(t, lateList(t), false, alert.Options{})
	l.waiting.awaited = func() bool { return false }
	l.Handle(m.spawn(5, 1, "sh"))
	l.Handle(m.open(5, "/x", "", rdonly, 3))
	if want := []string{"Not: <NA> 5 sh"}; !slices.Equal(l.got, want) {
		t.Errorf("alerts %q without a runtime, want %q", l.got, want)
	}

	l = newLate(t, lateList(t), false, alert.Options{})
	l.Handle(m.spawn(5, 1, "sh"))
	for range maxWaiting + 10 {
		l.Handle(m.open(5, "/x", "", rdonly, 3))
	}
	if c := l.Counters(); len(l.got) != int(c.WaitCut) || c.Waited+c.WaitCut != maxWaiting+10 || c.WaitCut < 10 {
		t.Errorf("%d alerts, counters %+v", len(l.got), c)
	}
	l.Swap(newRuleset(t, nil, false, false), l.ctx.Static) // the old rules decide what waits
	if len(l.got) != maxWaiting+10 {
		t.Errorf("%d alerts after new rules came", len(l.got))
	}
}

// The arrival time of metadata does not change the alerts: before the first
// event or at any time after it, with rules that check images, privileges and
// names in every way.
func TestTimeOfMetadataChangesNothing(t *testing.T) {
	sets := ruleSets(t)
	sets["late"] = lateList(t)
	for name, list := range sets {
		for _, all := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s all=%v", name, all), func(t *testing.T) {
				suggested := alert.Options{Append: []alert.Append{{Suggested: true}}}
				early, after := newLate(t, list, all, suggested), newLate(t, list, all, suggested)
				image := func(n int) string { return []string{"wanted", "other", "third"}[n%3] }
				var m machine
				for n := range 12 {
					early.know(n, image(n))
					pid := uint32(100 + n)
					events := [][]byte{m.spawn(pid, n, []string{"bash", "nginx", "cat"}[n%3])}
					for _, path := range []string{"/x", "/etc/shadow", "/root/.bashrc", "/dev/x", "/xyz", "/bin/new"} {
						events = append(events, m.open(pid, path, "", wronly|creat, 3), m.open(pid, "/tmp/l", path, rdonly, 3))
					}
					events = append(events, m.exit(pid))
					for i, ev := range events {
						early.Handle(ev)
						if i == n { // before, in the middle of, and after the events
							after.know(n, image(n))
							after.settle(0)
						}
						after.Handle(ev)
					}
				}
				after.settle(math.MaxUint64)
				slices.Sort(early.got)
				slices.Sort(after.got)
				if !slices.Equal(early.got, after.got) {
					t.Errorf("known before:\n%s\nknown later:\n%s", strings.Join(early.got, "\n"), strings.Join(after.got, "\n"))
				}
				if c := after.Counters(); c.Waited == 0 || len(early.got) == 0 {
					t.Errorf("nothing waited, or nothing was alerted: %+v", c)
				}
			})
		}
	}
}
