package verify

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/internal/generator/action"
)

// bench is a sensor and a generator in one: it answers each spawned action with
// the alerts that a test wants.
type bench struct {
	alerts chan []Alert
	answer func(name string, start time.Time) []Alert
	result func(r *generator.Result)
	fails  error
}

var _ Source = (*bench)(nil)

// worker is the pid of its worker process.
const worker = 4711

func (b *bench) Next(ctx context.Context) ([]Alert, error) {
	select {
	case batch, ok := <-b.alerts:
		if !ok {
			return nil, io.EOF
		}
		return batch, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (b *bench) Close() error { return nil }

func (b *bench) spawn(_ context.Context, o generator.Options) (*generator.Result, error) {
	if b.fails != nil {
		return nil, b.fails
	}
	now := time.Now()
	r := &generator.Result{Processes: []int{worker}, Actions: []generator.ActionResult{{Name: o.Actions[0].Name}}}
	for range o.Passes {
		r.Instances = append(r.Instances, generator.Instance{Start: now.UnixNano(), End: now.UnixNano()})
		r.Completed++
	}
	if b.result != nil {
		b.result(r)
	}
	if b.answer != nil {
		b.alerts <- b.answer(o.Actions[0].Name, now)
	}
	return r, nil
}

func lookup(t *testing.T, name string) *action.Action {
	t.Helper()
	a, ok := action.Lookup(name)
	if !ok {
		t.Fatal(name)
	}
	return a
}

func TestOutcomes(t *testing.T) {
	const rule = "Clear Log Activities"
	answers := func(alerts ...Alert) func(string, time.Time) []Alert {
		return func(_ string, start time.Time) []Alert {
			var list []Alert
			for _, a := range alerts {
				a.Time = start.Add(time.Duration(a.Time.UnixNano()))
				list = append(list, a)
			}
			return list
		}
	}
	at := func(rule string, d time.Duration) Alert { return Alert{Rule: rule, Time: time.Unix(0, int64(d))} }
	for _, test := range []struct {
		name   string
		action string
		bench  bench
		exact  bool
		status Status
		detail string
		also   []string
	}{
		{"its rule", "syscall.ClearLogActivities", bench{answer: answers(at(rule, 0))}, true, Passed, "", nil},
		{"no alert", "syscall.ClearLogActivities", bench{}, false, Failed, "timed out", nil},
		{"a rule that is off", "syscall.ModifyContainerEntrypoint", bench{}, false, Failed, "rule disabled: enable with -o 'rules[]={enable: {rule: Modify Container Entrypoint}}'", nil},
		{"a rule that was off", "syscall.ModifyContainerEntrypoint", bench{answer: answers(at("Modify Container Entrypoint", 0))}, false, Passed, "", nil},
		{"another rule", "syscall.ClearLogActivities", bench{answer: answers(at("Other", 0))}, false, Failed, "timed out", nil},
		{"an alert of an earlier event", "syscall.ClearLogActivities", bench{answer: answers(at(rule, -time.Second))}, false, Failed, "timed out", nil},
		{"an alert of a later event", "syscall.ClearLogActivities", bench{answer: answers(at(rule, time.Second))}, false, Failed, "timed out", nil},
		{"its rule and another", "syscall.ClearLogActivities", bench{answer: answers(at(rule, 0), at("Other", 0), at("Other", 0))}, false, Passed, "", []string{"Other"}},
		{"exactly its rule, and another", "syscall.ClearLogActivities", bench{answer: answers(at(rule, 0), at("Other", 0))}, true, Failed, "fired Other as well", []string{"Other"}},
		{"another rule at another time", "syscall.ClearLogActivities", bench{answer: answers(at(rule, 0), at("Other", time.Hour))}, true, Passed, "", nil},
		{"an alert of another process", "syscall.ClearLogActivities", bench{answer: answers(Alert{Rule: rule, Time: time.Unix(0, 0), Processes: []int{1, 2}})}, false, Failed, "timed out", nil},
		{"an alert of a descendant", "syscall.ClearLogActivities", bench{answer: answers(Alert{Rule: rule, Time: time.Unix(0, 0), Processes: []int{1, 2, worker}})}, true, Passed, "", nil},
		{"its rule, and another of another process", "syscall.ClearLogActivities", bench{answer: answers(at(rule, 0), Alert{Rule: "Other", Time: time.Unix(0, 0), Processes: []int{1}})}, true, Passed, "", nil},
		{"its rule, and the sensor's own words", "syscall.ClearLogActivities", bench{answer: answers(at(rule, 0), Alert{Rule: "Drop", Source: "internal", Time: time.Unix(0, 0)})}, true, Passed, "", nil},
		{"quiet noise", "noise.OpenClose", bench{}, false, Passed, "", nil},
		{"noise that is heard", "noise.OpenClose", bench{answer: answers(at("Other", 0))}, false, Failed, "fired Other", []string{"Other"}},
		{"a helper", "helper.ExecLs", bench{}, false, Skipped, "helpers fire no rule", nil},
		{"a cluster's", "k8saudit.CreatePrivilegedPod", bench{}, false, Skipped, "needs a Kubernetes cluster: --kubeconfig", nil},
		{"a skip", "syscall.ClearLogActivities", bench{result: func(r *generator.Result) { r.Skipped, r.Actions[0].Why = 1, "because" }}, false, Skipped, "because", nil},
		{"an action that fails", "syscall.ClearLogActivities", bench{result: func(r *generator.Result) { r.Failed = 1 }}, false, Errored, "failed", nil},
		{"a generator that fails", "syscall.ClearLogActivities", bench{fails: errors.New("no sandbox")}, false, Errored, "no sandbox", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // a timeout passes once all goroutines wait
				b := test.bench
				b.alerts = make(chan []Alert, 10)
				o := Options{Actions: []*action.Action{lookup(t, test.action)}, Source: &b, Spawn: b.spawn, Timeout: 20 * time.Millisecond, Settle: 20 * time.Millisecond, Exact: test.exact}
				var reported int
				outcomes, err := Run(t.Context(), o, func(Outcome) { reported++ })
				if err != nil || len(outcomes) != 1 || reported != 1 {
					t.Fatal(outcomes, reported, err)
				}
				got := outcomes[0]
				if got.Status != test.status || !strings.Contains(got.Detail, test.detail) || (got.Detail == "") != (test.detail == "") {
					t.Errorf("%s (%s), want %s (%s)", got.Status, got.Detail, test.status, test.detail)
				}
				if diff := cmp.Diff(test.also, got.Also); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// Rules that are published as disabled are waited for together: an alert of
// the first action may come after the second one has run.
func TestDisabledRulesAreAwaitedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bench{alerts: make(chan []Alert, 10)}
		first := Alert{Rule: "Modify Container Entrypoint"}
		b.answer = func(name string, start time.Time) []Alert {
			if name == "syscall.ModifyContainerEntrypoint" {
				first.Time = start
				return nil
			}
			return []Alert{first}
		}
		o := Options{Actions: []*action.Action{lookup(t, "syscall.ModifyContainerEntrypoint"), lookup(t, "syscall.CreateHiddenFilesOrDirectories")},
			Source: &b, Spawn: b.spawn, Timeout: 20 * time.Millisecond}
		reported := map[string]Status{}
		_, err := Run(t.Context(), o, func(outcome Outcome) { reported[outcome.Action.Name] = outcome.Status })
		want := map[string]Status{"syscall.ModifyContainerEntrypoint": Passed, "syscall.CreateHiddenFilesOrDirectories": Failed}
		if diff := cmp.Diff(want, reported); err != nil || diff != "" {
			t.Error(err, diff)
		}
	})
}

// An action that was interrupted before its alert could come is no rule that
// is disabled.
func TestInterruptedIsNotDisabled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	b := bench{alerts: make(chan []Alert, 10), result: func(*generator.Result) { cancel() }}
	o := Options{Actions: []*action.Action{lookup(t, "syscall.ModifyContainerEntrypoint"), lookup(t, "syscall.ClearLogActivities")}, Source: &b, Spawn: b.spawn, Timeout: time.Hour}
	outcomes, err := Run(ctx, o, func(Outcome) {})
	if !errors.Is(err, context.Canceled) || len(outcomes) != 1 || outcomes[0].Status != Failed || strings.Contains(outcomes[0].Detail, "disabled") {
		t.Errorf("%+v, %v", outcomes, err)
	}
}

func TestSourceEnds(t *testing.T) {
	b := bench{alerts: make(chan []Alert)}
	close(b.alerts)
	o := Options{Actions: []*action.Action{lookup(t, "syscall.ClearLogActivities")}, Source: &b, Spawn: b.spawn, Timeout: time.Hour, Settle: time.Hour}
	outcomes, err := Run(t.Context(), o, func(Outcome) {})
	if err != nil || outcomes[0].Status != Failed || !strings.Contains(outcomes[0].Detail, "EOF") {
		t.Errorf("%+v, %v", outcomes, err)
	}
}

// The pids of an alert are those of the process and its ancestors.
func TestProcesses(t *testing.T) {
	for text, want := range map[string][]int{
		`{"rule":"A","output_fields":{"proc.name":"x"}}`: nil,
		`{"rule":"B","output_fields":{"evt.time":1795348800123456789,"proc.pid":9,"proc.ppid":"8","proc.apid[2]":7,"proc.name":"6"}}`: {7, 8, 9},
		`{"rule":"C","output_fields":{"proc.pid":null,"proc.ppid":-1,"proc.apid[1]":"1e99"}}`:                                         nil,
		`{"rule":"D","output_fields":null}`: nil,
		`[]`:                                nil,
		"":                                  nil,
	} {
		if got := Processes(text); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func TestJUnit(t *testing.T) {
	a := lookup(t, "syscall.ClearLogActivities")
	var out bytes.Buffer
	err := WriteJUnit(&out, []Outcome{
		{Action: a, Status: Passed, Took: 1500 * time.Millisecond},
		{Action: a, Status: Failed, Detail: `no alert of rule "<A & B>"`},
		{Action: a, Status: Errored, Detail: "EACCES"},
		{Action: a, Status: Skipped, Detail: "only applicable to containers"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`tests="4" failures="1" errors="1" skipped="1" time="1.5"`,
		`classname="syscall"`, `<failure message="no alert of rule &#34;&lt;A &amp; B&gt;&#34;">`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in\n%s", want, &out)
		}
	}
}
