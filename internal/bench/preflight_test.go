package bench

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench/intake"
	"github.com/peregrine-sec/peregrine/internal/bench/match"
	"github.com/peregrine-sec/peregrine/internal/bench/usage"
	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/sensorstats"
	"github.com/peregrine-sec/peregrine/test/support/benchtest"
)

// canaryOf is the generator of a preflight: one instance, now.
func canaryOf(f *benchtest.Fake, ahead int64) Generate {
	tid := int32(76) // each run is a process of its own
	return func(_ context.Context, o generator.Options) (*generator.Result, error) {
		at := time.Now().UnixNano()
		tid++
		in := generator.Instance{TID: tid, Planned: at, Start: at, End: at + 20_000}
		if f.Act != nil {
			f.Act(0, &in)
		}
		r := &generator.Result{Actions: []generator.ActionResult{{Name: o.Actions[0].Name, Errnos: map[syscall.Errno]uint64{}}}}
		f.Account(r, in)
		if r.Skipped > 0 {
			r.Actions[0].Why = "only applicable to containers"
		}
		f.Sample(time.Now().Add(time.Minute), 10, 0) // covers earlier events
		for _, a := range f.Reaction(0, o.Actions[0].Name, in) {
			a.Time += ahead
			f.Send(a)
		}
		return r, nil
	}
}

func preflight(t *testing.T, f *benchtest.Fake, ahead int64) (*Session, *Preflight) {
	t.Helper()
	s := open(t, f, func(o *Options) { o.Generate, o.Actions = canaryOf(f, ahead), o.Actions[:1] })
	s.patience = patience{ready: 3 * time.Second, canary: 3 * time.Second, say: time.Hour}
	p, err := s.Preflight(t.Context(), 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	return s, p
}

func find(p *Preflight, name string) Check {
	for _, c := range p.Checks {
		if strings.HasPrefix(c.Name, name) {
			return c
		}
	}
	return Check{}
}

func TestPreflightGood(t *testing.T) {
	s, p := preflight(t, benchtest.New(), 0)
	if c := find(p, "canary"); c.Status != CheckOK {
		t.Errorf("%+v", c)
	}
	if c := find(p, "clock"); c.Status != CheckOK || s.clock.Offset != 0 {
		t.Errorf("%+v, offset %d", c, s.clock.Offset)
	}
}

// A clock that differs is believed when canaries that are known show it
// steadily.
func TestPreflightClock(t *testing.T) {
	s, p := preflight(t, benchtest.New(), int64(time.Second))
	if c := find(p, "clock"); c.Status != CheckWarn || s.clock.Offset < int64(time.Second)-20_000 || s.clock.Offset > int64(time.Second)+20_000 {
		t.Errorf("%+v, offset %d", c, s.clock.Offset)
	}
	if c := find(p, "canary"); c.Status != CheckOK {
		t.Errorf("%+v", c)
	}
}

// TestCanaryInOtherPIDNamespace: thread ids mean nothing, and time must do.
func TestCanaryInOtherPIDNamespace(t *testing.T) {
	f := benchtest.New()
	f.React = func(_ int, rule string, in generator.Instance) []intake.Alert {
		a := benchtest.AlertOf(rule, in)
		a.TID, a.Hostname = 12345, "node"
		return []intake.Alert{a}
	}
	s, p := preflight(t, f, 0)
	if c := find(p, "canary"); c.Status != CheckOK {
		t.Errorf("%+v", c)
	}
	if c := find(p, "threads"); c.Status != CheckWarn || s.actions[0].InThread || s.hostname != "node" {
		t.Errorf("%+v, %+v, %q", c, s.actions[0], s.hostname)
	}
}

// A sensor that counts events and raises no alert may lack the rule: the check
// asks for it, and the wait is not silent.
func TestRuleIsMissing(t *testing.T) {
	f := benchtest.New()
	f.React = func(int, string, generator.Instance) []intake.Alert { return nil }
	var said []string
	s := open(t, f, func(o *Options) {
		o.Generate, o.Actions = canaryOf(f, 0), o.Actions[:1]
		o.Say = func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	})
	s.patience = patience{ready: 300 * time.Millisecond, canary: 300 * time.Millisecond, say: time.Millisecond}
	p, err := s.Preflight(t.Context(), 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	rule := fmt.Sprintf("rule %q", s.o.Actions[0].Rule)
	if c := find(p, "canary"); c.Status != CheckFail || !strings.Contains(c.Text, rule) || !strings.Contains(c.Text, "is the rule loaded and enabled") {
		t.Errorf("%+v", c)
	}
	if len(said) == 0 || !strings.Contains(said[0], "waiting for the alert of "+rule) || !strings.Contains(said[0], "it has counted ") {
		t.Errorf("said %q", said)
	}
}

func TestMissingRules(t *testing.T) {
	actions := []*action.Action{{Name: "a.B", Rule: "Rule b"}, {Name: "a.C", Rule: "Rule c"}, {Name: "a.D"}}
	if got := MissingRules(actions, nil); got != nil {
		t.Errorf("of unknown rules: %v", got)
	}
	got := MissingRules(actions, []string{"Rule b"})
	if len(got) != 1 || got[0].Status != CheckFail || !strings.Contains(got[0].Text, `no enabled rule "Rule c", so a.C raises no alert`) {
		t.Errorf("%v", got)
	}
}

func TestCanaryChecks(t *testing.T) {
	stable := &action.Action{Name: "a.B", Rule: "Rule b", RuleSet: action.Stable, Cost: action.Fast}
	off := &action.Action{Name: "a.B", Rule: "Rule b", RuleSet: action.Sandbox, RuleOff: true}
	sandbox := &action.Action{Name: "a.B", Rule: "Rule b", RuleSet: action.Sandbox}
	done := &generator.Result{Counts: generator.Counts{Completed: 1}}
	with := func(c generator.Counts, a generator.ActionResult) *generator.Result {
		return &generator.Result{Counts: c, Actions: []generator.ActionResult{a}}
	}
	sample := func(throttled uint64) []sensorstats.Sample {
		return []sensorstats.Sample{{Extra: &sensorstats.Extra{Throttled: throttled}}}
	}
	for _, tt := range []struct {
		name    string
		c       canary
		counts  intake.Traffic
		samples []sensorstats.Sample
		status  string
		text    string
	}{
		{name: "seen", c: canary{action: stable, result: done, alert: &intake.Alert{}}, status: CheckOK, text: `alert of rule "Rule b"`},
		{name: "skipped", c: canary{action: stable, result: with(generator.Counts{Skipped: 1}, generator.ActionResult{Why: "needs root"})}, text: "needs root; leave it out"},
		{name: "failed", c: canary{action: stable, result: with(generator.Counts{Failed: 1}, generator.ActionResult{Errnos: map[syscall.Errno]uint64{syscall.EACCES: 1}})}, text: "permission denied"},
		{name: "ended", c: canary{action: stable}, text: "the sensor has ended"},
		{name: "shadowed", c: canary{action: stable, result: done, others: []intake.Alert{{Rule: "Rule c"}}}, text: `the event raised "Rule c"`},
		{name: "throttled", c: canary{action: stable, result: done, before: sample(1)}, samples: sample(2), text: "outputs.rate"},
		{name: "text output", c: canary{action: stable, result: done}, counts: intake.Traffic{Malformed: 3, LastError: "set json_output: true"}, text: "json_output: true"},
		{name: "wrong output", c: canary{action: stable, result: done}, text: "no alert of any rule has ever arrived"},
		{name: "a neighbour's", c: canary{action: stable, result: done, foreign: 7, nearest: 20 * time.Millisecond}, counts: intake.Traffic{Alerts: 7}, text: "7 came, the nearest 20 ms"},
		{name: "disabled", c: canary{action: off, result: done}, counts: intake.Traffic{Alerts: 1}, text: "is it enabled in this sensor?"},
		{name: "not loaded", c: canary{action: sandbox, result: done}, counts: intake.Traffic{Alerts: 1}, text: "sandbox rules"},
		{name: "missing", c: canary{action: stable, result: done, before: sample(2), tries: make([]try, 12)}, counts: intake.Traffic{Alerts: 1}, samples: sample(2), text: "performed 12 times in"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := benchtest.New()
			f.Count(tt.counts)
			tt.c.session, tt.c.began = &Session{o: Options{Target: f}, samples: tt.samples}, time.Now()
			if tt.status == "" {
				tt.status = CheckFail
			}
			status, text := tt.c.check()
			if status != tt.status || !strings.Contains(text, tt.text) {
				t.Errorf("%s: %s; want %s: %s", status, text, tt.status, tt.text)
			}
		})
	}
}

// Conditions for an alert to be the canary's: in its time, and not another's.
func TestCanaryHears(t *testing.T) {
	const start = int64(1_000_000_000)
	reading := &action.Action{Name: "a.B", Rule: "r", Cost: action.Fast}
	alert := func(change func(*intake.Alert)) intake.Alert {
		a := intake.Alert{Rule: "r", Time: start + 10_000, Received: start + 20_000}
		change(&a)
		return a
	}
	for name, tt := range map[string]struct {
		alert intake.Alert
		seen  bool
	}{
		"in time":                    {alert(func(*intake.Alert) {}), true},
		"its thread":                 {alert(func(a *intake.Alert) { a.TID = 77 }), true},
		"its command line":           {alert(func(a *intake.Alert) { a.Run = "run1" }), true},
		"another rule":               {alert(func(a *intake.Alert) { a.Rule = "q" }), false},
		"too late, nobody's":         {alert(func(a *intake.Alert) { a.Time += 27e6 }), false},
		"too early, nobody's":        {alert(func(a *intake.Alert) { a.Time -= 660e6 }), false},
		"too late, its thread":       {alert(func(a *intake.Alert) { a.TID, a.Time = 77, a.Time+27e6 }), false},
		"in time, another's thread":  {alert(func(a *intake.Alert) { a.TID = 78 }), false},
		"in time, another's command": {alert(func(a *intake.Alert) { a.Run = intake.Stranger }), false},
		"in time, our earlier burst": {alert(func(a *intake.Alert) { a.Run = "run0" }), false},
	} {
		f := benchtest.New()
		s := &Session{o: Options{Target: f, Tolerance: 200 * time.Microsecond, Actions: []*action.Action{reading}}, actions: make([]match.Action, 1)}
		c := &canary{session: s, action: reading, inThread: true,
			tries: []try{{Instance: generator.Instance{TID: 77, Start: start, End: start + 20_000}, run: "run1"}}}
		c.hear(tt.alert)
		if (c.alert != nil) != tt.seen || s.clock.Offset != 0 {
			t.Errorf("%s: taken for the canary's: %v; offset %d", name, c.alert != nil, s.clock.Offset)
		}
	}
}

// An alert of another rule shadows an action that happened at its time, but not
// one that happened just before the action which the alert is of.
func TestCanaryIsShadowed(t *testing.T) {
	const start = int64(1_000_000_000)
	s := &Session{o: Options{Target: benchtest.New(), Tolerance: 200 * time.Microsecond}, actions: make([]match.Action, 2)}
	canaryAt := func(rule string, start int64) *canary {
		return &canary{session: s, action: &action.Action{Name: rule, Rule: rule, Cost: action.Fast}, inThread: true,
			tries: []try{{Instance: generator.Instance{TID: 77, Start: start, End: start + 20_000}}}}
	}
	for name, tt := range map[string]struct {
		at       int64
		shadowed bool
	}{
		"within the action":                 {start + 10_000, true},
		"within the other, 80 us later":     {start + 110_000, false},
		"between them, nearer to the other": {start + 90_000, false},
		"between them, nearer to this":      {start + 30_000, true},
	} {
		c, other := canaryAt("r", start), canaryAt("q", start+100_000)
		c.peers = []*canary{c, other}
		c.hear(intake.Alert{Rule: "q", Time: tt.at, Received: tt.at + 10_000})
		if (len(c.others) > 0) != tt.shadowed {
			t.Errorf("%s: shadowed by %v", name, c.others)
		}
	}
}

func TestCheckIdle(t *testing.T) {
	second := int64(time.Second)
	for _, tt := range []struct {
		name   string
		events []uint64
		drops  uint64
		length int64
		check  string
		status string
		text   string
	}{
		{"quiet", []uint64{10700, 11084, 10808, 8890}, 0, second, "idle", CheckOK, "10370 events/s"},
		{"drops", []uint64{10, 10}, 1, second, "idle", CheckFail, "drops events without any load"},
		{"busy", []uint64{10000, 50000, 1000}, 0, second, "idle", CheckWarn, "varying by"},
		{"few events vary by chance", []uint64{5, 50, 1}, 0, second, "idle", CheckOK, "no drops"},
		{"too far apart", []uint64{10, 10}, 0, 5 * second, "stats", CheckWarn, "5s apart"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var samples []sensorstats.Sample
			for i, n := range tt.events {
				samples = append(samples, sensorstats.Sample{Time: int64(i) * tt.length, Elapsed: tt.length, Delta: sensorstats.Counters{Events: n, Drops: tt.drops}})
			}
			p := &Preflight{}
			p.checkIdle(samples)
			if c := find(p, tt.check); c.Status != tt.status || !strings.Contains(c.Text, tt.text) {
				t.Errorf("%+v, want %s: %s", c, tt.status, tt.text)
			}
			if failed := len(p.Failed()) > 0; failed != (tt.status == CheckFail) {
				t.Errorf("failed %v", p.Failed())
			}
		})
	}
	p := &Preflight{}
	p.checkHost(usage.Host{CPUs: 4, Idle: 0.5})
	if c := find(p, "host"); c.Status != CheckWarn {
		t.Errorf("%+v", c)
	}
}
