// Package verify checks with a running sensor that each action fires its rule and
// that noise fires none. It runs the actions one by one with generator.Spawn and
// reads the sensor's alerts from a Source. An alert belongs to an action if it
// carries its rule and the time of its event is within an instance: alerts of
// earlier actions or of other processes do not count.
package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/junit"
)

// Alert has the fields of a sensor's alert that matter.
type Alert struct {
	Rule   string
	Source string
	Time   time.Time // of the event, on the host's clock
	// Processes are the pids of the process and of its ancestors, as far as
	// the alert carries them (proc.pid, proc.ppid, proc.apid[2]...). With them,
	// simultaneous alerts of other processes are distinguished.
	Processes []int
	// Text is the whole alert: alerts of audit events name the object.
	Text string
}

// Processes are the pids in the text of an alert, in JSON; nil without any.
func Processes(text string) (pids []int) {
	var alert struct {
		Fields map[string]json.RawMessage `json:"output_fields"`
	}
	_ = json.Unmarshal([]byte(text), &alert) // of a source without texts, it is empty
	for name, value := range alert.Fields {
		if name == "proc.pid" || name == "proc.ppid" || strings.HasPrefix(name, "proc.apid") {
			if pid, _ := strconv.Atoi(strings.Trim(string(value), `"`)); pid > 0 {
				pids = append(pids, pid)
			}
		}
	}
	slices.Sort(pids)
	return pids
}

// Source provides alerts.
type Source interface {
	// Next blocks until there are alerts, and returns io.EOF at the end of the
	// stream.
	Next(ctx context.Context) ([]Alert, error)
	Close() error
}

// Status is the outcome of one action.
type Status string

const (
	Passed  Status = "passed"
	Failed  Status = "failed"  // the rule was not fired, or one that must not be fired was
	Errored Status = "error"   // the action itself did not work
	Skipped Status = "skipped" // it does not apply here, or fires no rule

	open Status = "" // its alert is not waited for yet
)

// Outcome is the result of one action.
type Outcome struct {
	Action *action.Action
	Status Status
	Detail string // why it did not pass
	// Also are the other rules that were fired while the action ran, the
	// preparation included.
	Also    []string
	Took    time.Duration
	Latency time.Duration // from the event to the receipt of the alert
}

// Options selects the actions to test.
type Options struct {
	Actions []*action.Action
	Source  Source
	Timeout time.Duration // for the alert of one action
	Settle  time.Duration // wait for alerts that must not come
	// Exact fails actions that fire further rules.
	Exact   bool
	Sandbox generator.SandboxOptions
	// Kubernetes is where actions on a cluster work; nil skips them.
	Kubernetes action.APIServer
	// Spawn is generator.Spawn.
	Spawn func(context.Context, generator.Options) (*generator.Result, error)
}

// slack allows for the difference between the sensor's idea of the wall clock
// and ours: both derive it from another clock at their start.
const slack = 5 * time.Millisecond

// offWait is how long, after the last action, the alerts of rules may take that
// are disabled as they are published: those that were enabled alert at once,
// the others never. All are waited for together.
const offWait = 2 * time.Second

// noiseRuns is how often a noise action is run.
const noiseRuns = 100

// Run tests the actions in order and calls report with each preliminary
// outcome, in the end for those whose rule is published as disabled; those
// returned also know of alerts that should not have come.
func Run(ctx context.Context, o Options, report func(Outcome)) ([]Outcome, error) {
	inbox := newInbox(ctx, o.Source)
	defer inbox.close()
	var outcomes []Outcome
	var windows []window
	for _, a := range o.Actions {
		if ctx.Err() != nil {
			break
		}
		outcome, w := o.one(ctx, a, inbox)
		if outcome.Status != open {
			report(outcome)
		}
		outcomes = append(outcomes, outcome)
		windows = append(windows, w)
	}
	o.awaitOff(ctx, outcomes, windows, inbox, report)
	if ctx.Err() != nil {
		return outcomes, ctx.Err()
	}
	if err := inbox.wait(ctx, o.Settle, func([]received) bool { return false }); err != nil && !errors.Is(err, errTimeout) && !errors.Is(err, io.EOF) {
		return outcomes, err
	}
	for i := range outcomes {
		o.judge(&outcomes[i], windows[i], inbox.all())
	}
	return outcomes, nil
}

// window is when an action ran.
type window struct {
	objects   string    // of actions on a cluster: their name in alerts
	from, to  time.Time // with preparation
	instances []generator.Instance
	processes []int
}

// caused says whether the alert may be about the action's processes.
func (w window) caused(alert Alert) bool {
	if alert.Source == "internal" {
		return false // the sensor speaks of itself, of drops for example
	}
	if w.objects != "" || alert.Source == "k8s_audit" {
		// Alerts over gRPC have no text here: the rule must do.
		return w.objects != "" && alert.Source == "k8s_audit" && (alert.Text == "" || strings.Contains(alert.Text, w.objects))
	}
	return len(alert.Processes) == 0 || slices.ContainsFunc(alert.Processes, func(pid int) bool { return slices.Contains(w.processes, pid) })
}

// one runs a single action and waits for its alert.
func (o *Options) one(ctx context.Context, a *action.Action, inbox *inbox) (outcome Outcome, w window) {
	outcome = Outcome{Action: a, Status: Skipped}
	switch a.Collection() {
	case "helper":
		outcome.Detail = "helpers fire no rule"
		return outcome, w
	case "k8saudit":
		if o.Kubernetes == nil {
			outcome.Detail = "needs a Kubernetes cluster: --kubeconfig"
			return outcome, w
		}
		w.objects = o.Kubernetes.Names(a.Name)
	}
	passes := uint64(1)
	if a.Rule == "" {
		passes = noiseRuns
	}
	w.from = time.Now()
	result, err := o.Spawn(ctx, generator.Options{Actions: []generator.Choice{{Name: a.Name}}, Passes: passes, Sandbox: o.Sandbox, Kubernetes: o.Kubernetes})
	w.to = time.Now()
	outcome.Took = w.to.Sub(w.from)
	if result != nil {
		w.processes = result.Processes
	}
	switch {
	case err != nil:
		outcome.Status, outcome.Detail = Errored, err.Error()
	case result.Failed > 0:
		outcome.Status, outcome.Detail = Errored, failures(result.Actions[0])
	case result.Skipped > 0:
		outcome.Detail = result.Actions[0].Why
	case a.Rule == "":
		w.instances, outcome.Status = result.Instances, Passed
	case a.RuleOff:
		w.instances, outcome.Status = result.Instances, open
	default:
		w.instances = result.Instances
		o.await(ctx, &outcome, w, inbox)
	}
	return outcome, w
}

// await waits for the alert of the action.
func (o *Options) await(ctx context.Context, outcome *Outcome, w window, inbox *inbox) {
	err := inbox.wait(ctx, o.Timeout, func(alerts []received) bool { return outcome.pass(w, alerts) })
	if err != nil {
		outcome.fail(err)
	}
}

func (outcome *Outcome) fail(err error) {
	outcome.Status = Failed
	outcome.Detail = fmt.Sprintf("no alert of rule %q: %v", outcome.Action.Rule, err)
}

// awaitOff waits for the alerts of all open outcomes at once, and reports them.
func (o *Options) awaitOff(ctx context.Context, outcomes []Outcome, windows []window, inbox *inbox, report func(Outcome)) {
	var off []int
	for i := range outcomes {
		if outcomes[i].Status == open {
			off = append(off, i)
		}
	}
	err := inbox.wait(ctx, min(o.Timeout, offWait), func(alerts []received) bool {
		passed := true
		for _, i := range off {
			passed = outcomes[i].pass(windows[i], alerts) && passed
		}
		return passed
	})
	for _, i := range off {
		outcome := &outcomes[i]
		switch {
		case outcome.Status != open:
		case !errors.Is(err, errTimeout):
			outcome.fail(err)
		default:
			outcome.Status = Failed
			outcome.Detail = fmt.Sprintf("rule disabled: enable with -o 'rules[]={enable: {rule: %s}}' (no alert came, and the rules as published have it off)", outcome.Action.Rule)
		}
		report(outcomes[i])
	}
}

// pass looks for the outcome's alert, and says whether it has come.
func (outcome *Outcome) pass(w window, alerts []received) bool {
	for _, alert := range alerts {
		if alert.Rule == outcome.Action.Rule && w.holds(alert.Time) && w.caused(alert.Alert) {
			outcome.Status, outcome.Latency = Passed, alert.at.Sub(alert.Time)
			return true
		}
	}
	return false
}

// holds says whether t is within an instance.
func (w window) holds(t time.Time) bool {
	if w.objects != "" {
		return true // the API server has a clock of its own; names tell enough
	}
	ns := t.UnixNano()
	return slices.ContainsFunc(w.instances, func(in generator.Instance) bool {
		return ns >= in.Start-int64(slack) && ns <= in.End+int64(slack)
	})
}

// judge looks for alerts that should not be there.
func (o *Options) judge(outcome *Outcome, w window, alerts []received) {
	if outcome.Status != Passed {
		return
	}
	for _, alert := range alerts {
		if w.objects == "" && (alert.Time.Before(w.from) || alert.Time.After(w.to)) || alert.Rule == outcome.Action.Rule || !w.caused(alert.Alert) {
			continue
		}
		if !slices.Contains(outcome.Also, alert.Rule) {
			outcome.Also = append(outcome.Also, alert.Rule)
		}
	}
	if len(outcome.Also) > 0 && (o.Exact || outcome.Action.Rule == "") {
		outcome.Status = Failed
		outcome.Detail = "fired " + strings.Join(outcome.Also, ", ")
		if outcome.Action.Rule != "" {
			outcome.Detail += " as well"
		}
	}
}

func failures(a generator.ActionResult) string {
	for errno, n := range a.Errnos {
		if errno != 0 {
			return fmt.Sprintf("%s (%d of %d)", errno.Error(), n, a.Offered)
		}
	}
	return fmt.Sprintf("%d of %d failed", a.Failed, a.Offered)
}

// received is an alert and when it came.
type received struct {
	Alert
	at time.Time
}

// inbox collects alerts while actions run.
type inbox struct {
	stop   context.CancelFunc
	mu     sync.Mutex
	alerts []received
	err    error         // why there will be no more
	news   chan struct{} // closed and replaced when something came
}

func newInbox(ctx context.Context, source Source) *inbox {
	ctx, stop := context.WithCancel(ctx)
	b := &inbox{stop: stop, news: make(chan struct{})}
	go func() {
		for {
			batch, err := source.Next(ctx)
			b.put(batch, err)
			if err != nil {
				return
			}
		}
	}()
	return b
}

func (b *inbox) put(batch []Alert, err error) {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, alert := range batch {
		b.alerts = append(b.alerts, received{alert, now})
	}
	b.err = err
	close(b.news)
	b.news = make(chan struct{})
}

func (b *inbox) all() []received {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.alerts
}

var errTimeout = errors.New("timed out")

// wait returns nil when enough says so of all alerts so far.
func (b *inbox) wait(ctx context.Context, timeout time.Duration, enough func([]received) bool) error {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		b.mu.Lock()
		alerts, err, news := b.alerts, b.err, b.news
		b.mu.Unlock()
		if enough(alerts) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read alerts: %w", err)
		}
		select {
		case <-news:
		case <-timer.C:
			return errTimeout
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// close does not wait for the reader, which may be blocked in standard input.
func (b *inbox) close() { b.stop() }

// WriteJUnit writes the outcomes as a JUnit report.
func WriteJUnit(w io.Writer, outcomes []Outcome) error {
	status := map[Status]junit.Status{Failed: junit.Failed, Errored: junit.Errored, Skipped: junit.Skipped}
	var cases []junit.Case
	for _, o := range outcomes {
		cases = append(cases, junit.Case{Name: o.Action.Name, Class: o.Action.Collection(), Took: o.Took, Status: status[o.Status], Message: o.Detail})
	}
	return junit.Write(w, "peregrine generate test", cases)
}
