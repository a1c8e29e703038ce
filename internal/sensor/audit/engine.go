package audit

import (
	"context"
	"errors"
	"fmt"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/audit/record"
	"github.com/peregrine-sec/peregrine/internal/sensor/engine"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
)

// Ruleset is the set of rules that audit events are matched against. It is
// immutable but for the counters, and is swapped as a whole on reload.
type Ruleset struct {
	Rules []*rules.Rule // in the order in which they are tried
	// Evaluations and Matches count, per rule, since the Ruleset was made.
	Evaluations, Matches []uint64

	conditions []filter.Predicate
	formatters []engine.Formatter
	all        bool // report every rule that matches, not only the first
	memoWords  int
}

// NewRuleset compiles those of the rules that are about audit events.
// formatter makes the formatter of a rule's alerts.
func NewRuleset(list []*rules.Rule, all bool, formatter func(*rules.Rule) (engine.Formatter, error)) (*Ruleset, error) {
	list = rules.OfSource(field.K8sAuditSource, list)
	r := &Ruleset{Rules: list, Evaluations: make([]uint64, len(list)), Matches: make([]uint64, len(list)), all: all}
	compiler := filter.NewCompiler(field.K8sAudit.Lookup)
	for _, rule := range list {
		condition, err := compiler.Compile(rule.Node)
		if err != nil {
			return nil, fmt.Errorf("rule %q: %w", rule.Name, err)
		}
		f, err := formatter(rule)
		if err != nil {
			return nil, fmt.Errorf("rule %q: output: %w", rule.Name, err)
		}
		r.conditions, r.formatters = append(r.conditions, condition), append(r.formatters, f)
	}
	r.memoWords = compiler.MemoWords()
	return r, nil
}

// Engine matches audit events against rules. One goroutine, that of Run, owns
// it and all it refers to.
type Engine struct {
	rules          *Ruleset
	emit           func(*alert.Alert)
	ctx            field.Context
	events, alerts uint64
	calls          chan func()
	ended          chan struct{}
}

// NewEngine returns an Engine that calls emit for every match.
func NewEngine(rules *Ruleset, static *field.Static, emit func(*alert.Alert)) *Engine {
	e := &Engine{emit: emit, calls: make(chan func()), ended: make(chan struct{})}
	e.Swap(rules, static)
	return e
}

// Swap replaces the rules and the fixed data of their fields. Called before
// Run or on its goroutine.
func (e *Engine) Swap(r *Ruleset, static *field.Static) {
	e.rules, e.ctx.Static, e.ctx.Memo = r, static, make([]uint64, r.memoWords)
}

// Counts are how many events were matched, and alerts made; valid on the
// engine's goroutine.
func (e *Engine) Counts() (events, alerts uint64) { return e.events, e.alerts }

// Handle matches one event, which is borrowed until it returns.
func (e *Engine) Handle(r *record.Record) {
	e.events++
	c := &e.ctx
	c.Reset()
	clear(c.Memo)
	c.Record, c.Num, c.Time = r, e.events, r.Time
	for i, holds := range e.rules.conditions {
		e.rules.Evaluations[i]++
		if !holds(c) {
			continue
		}
		e.rules.Matches[i]++
		e.alerts++
		e.emit(e.rules.formatters[i].Format(c))
		if !e.rules.all {
			return
		}
	}
}

// Run matches the bodies of in until ctx ends, which must be after the source
// has: a body that was taken is matched to its end.
func (e *Engine) Run(ctx context.Context, in <-chan *Body) {
	defer close(e.ended)
	for {
		select {
		case b := <-in:
			for i := range b.batch.Records {
				e.Handle(&b.batch.Records[i])
			}
			b.done <- struct{}{}
		case f := <-e.calls:
			f()
		case <-ctx.Done():
			return
		}
	}
}

// Do runs f on the engine's goroutine and returns when it has run. The error
// says that ctx has ended, or the engine. It must not be called from that
// goroutine.
func (e *Engine) Do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case e.calls <- func() { f(); close(done) }:
		<-done // it runs at once
		return nil
	case <-e.ended:
		return errors.New("the engine of audit events has ended")
	case <-ctx.Done():
		return ctx.Err()
	}
}
