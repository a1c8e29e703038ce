package explain

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/linux/boottime"
	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/engine"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan"
	"github.com/peregrine-sec/peregrine/internal/sensor/probe"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
)

// RuleCost is the cost of one rule.
type RuleCost struct {
	Rule        string        `json:"rule"`
	Evaluations uint64        `json:"evaluations"`
	Matches     uint64        `json:"matches"`
	Time        time.Duration `json:"time_ns"`
	// Sent is how many events the kernel sends for it; Alone, how many of these
	// for no other rule. Events for the process table do not count.
	Sent  uint64 `json:"sent"`
	Alone uint64 `json:"sent_for_it_alone"`
	// Stages say what the kernel checks of its events.
	Stages []plan.Stages `json:"stages,omitempty"`
}

// Costs is the time that the rules took for the events of a capture.
type Costs struct {
	Events   uint64        `json:"events"`
	Skipped  uint64        `json:"skipped"`           // no rule was evaluated
	Time     time.Duration `json:"time_ns"`           // of all evaluations
	ForTable uint64        `json:"for_process_table"` // events that are sent whatever the rules are
	LeftOut  uint64        `json:"left_out"`          // events that the kernel does not send
	Rules    []RuleCost    `json:"rules"`             // most expensive first
}

// Cost measures the rules over the events of src: how often each is evaluated, how
// long that takes, how often it matches. All rules are tried for each event,
// as with rule_matching: all. A sub-condition that several rules share counts
// for the first that needs it.
//
// The time is measured around each evaluation; that of the measurement itself,
// some tens of nanoseconds, is subtracted. The times of rules that were
// evaluated only a few times say little.
func Cost(ctx context.Context, src Source, list []*rules.Rule) (*Costs, error) {
	m, err := newMeter(list, true)
	if err != nil {
		return nil, err
	}
	e := newEngine(m.plan, state.Options{}, m.sent.observe)
	err = replay(ctx, e, src)
	return m.costs(e), err
}

// meter is a plan whose conditions count their time.
type meter struct {
	plan  *plan.Plan
	spent []time.Duration
	calls []uint64
	sent  *sent
}

// newMeter plans for the rules; all says whether high-volume I/O counts too.
func newMeter(list []*rules.Rule, all bool) (*meter, error) {
	p, err := plan.New(list, plan.Options{Lookup: field.Lookup, All: all})
	if err != nil {
		return nil, err
	}
	p.Hosts.Lookup(context.Background()) // names that are not found have no addresses
	m := &meter{plan: p, spent: make([]time.Duration, len(p.Rules)), calls: make([]uint64, len(p.Rules))}
	if m.sent, err = newSent(p.Rules); err != nil {
		return nil, err
	}
	for k := range event.Kind(event.NumKinds) {
		m.measure(p.Program(k, 0))
	}
	for id := range event.ID(event.NumSyscalls()) {
		m.measure(p.Program(event.KindSyscall, id))
	}
	return m, nil
}

// measure makes every condition of prog count its time.
func (m *meter) measure(prog *plan.Program) {
	if prog == nil {
		return
	}
	for i, cond := range prog.Conditions {
		if cond == nil {
			continue
		}
		prog.Conditions[i] = func(c *field.Context) bool {
			start := time.Now()
			v := cond(c)
			m.spent[i] += time.Since(start)
			m.calls[i]++
			return v
		}
	}
}

// costs returns the measurements of e so far.
func (m *meter) costs(e *engine.Engine) *Costs {
	overhead := clockCost()
	counters, ruleset := e.Counters(), e.Rules()
	c := &Costs{Events: counters.Events, Skipped: counters.Skipped, ForTable: m.sent.table, LeftOut: m.sent.leftOut}
	for i, r := range m.plan.Rules {
		took := max(m.spent[i]-time.Duration(m.calls[i])*overhead, 0)
		c.Rules = append(c.Rules, RuleCost{
			Rule: r.Name, Evaluations: ruleset.Evaluations[i], Matches: ruleset.Matches[i], Time: took,
			Sent: m.sent.of[i], Alone: m.sent.only[i], Stages: m.sent.rules[i].Stages,
		})
		c.Time += took
	}
	slices.SortStableFunc(c.Rules, func(a, b RuleCost) int {
		return cmp.Or(cmp.Compare(b.Time, a.Time), cmp.Compare(b.Evaluations, a.Evaluations))
	})
	return c
}

// clockCost is the time of an empty measurement.
func clockCost() time.Duration {
	const n = 10_000
	var sink filter.Predicate = func(*field.Context) bool { return true }
	var spent time.Duration
	for range n {
		start := time.Now()
		sink(nil)
		spent += time.Since(start)
	}
	return spent / n
}

// Write writes the costs as tables.
func (c *Costs) Write(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d events, %d of them ruled out before any condition; all evaluations took %s\n\n", c.Events, c.Skipped, c.Time.Round(time.Microsecond))
	fmt.Fprintf(&b, "%12s %12s %9s %10s  %s\n", "evaluations", "time", "ns each", "matches", "rule")
	idle := 0
	for _, r := range c.Rules {
		if r.Evaluations == 0 {
			idle++
			continue
		}
		each := float64(r.Time) / float64(r.Evaluations)
		writeWrapped(&b, fmt.Sprintf("%12d %12s %9.0f %10d  ", r.Evaluations, r.Time.Round(time.Microsecond), each, r.Matches), strings.Fields(r.Rule))
	}
	if idle > 0 {
		fmt.Fprintf(&b, "%d more rules were never evaluated\n", idle)
	}
	c.writeSent(&b)
	_, err := w.Write(b.Bytes())
	return err
}

// CostLive is Cost over the events of this host for the given time, or until
// ctx ends. Another sensor may run beside it.
func CostLive(ctx context.Context, d time.Duration, list []*rules.Rule, log *slog.Logger) (c *Costs, err error) {
	m, err := newMeter(list, false)
	if err != nil {
		return nil, err
	}
	e := newEngine(m.plan, state.Options{Log: log, ProcRoot: "/proc", HostRoot: "/"}, m.sent.observe)
	p, err := probe.Load(probe.Options{
		Interest:  probe.Interest{Syscalls: m.plan.Interest, ThreadExits: m.plan.ThreadExits, ClosedFiles: m.plan.ClosedFiles, OpenFDs: m.plan.OpenFDs},
		RingBytes: config.Default().Engine.Modern.BufferBytes(), CPUsPerRing: -1, Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("load probe: %w", err)
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	e.SetClock(uint64(boottime.Epoch()))
	if err := p.Snapshot(e.Learn); err != nil {
		return nil, fmt.Errorf("take snapshot of processes: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	e.Run(ctx, p.Reader())
	return m.costs(e), nil
}
