package plan

import (
	"slices"
	"strconv"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
)

// Execs tells which execs no rule can match, whatever their texts are: arguments,
// environment and working directory, of which only is known which of the parts
// in Texts occur. The probe leaves out an exec if it has the same of these, and
// the same covered facts (coveredFields), as one that no rule can match.
//
// Execs belongs to one goroutine.
type Execs struct {
	// Texts finds the parts of texts that rules ask for.
	Texts *ExecTexts

	bounds []filter.Predicate // of each rule: true wherever its condition can be
	met    uint64             // of the exec that bounds are about
}

// execCalls are the calls that make processes, and those that give them programs.
var execCalls = []event.Kind{event.KindClone, event.KindClone3, event.KindFork, event.KindVfork, event.KindExecve, event.KindExecveat}

// NewExecs is nil if all execs must be sent: users ask for the calls of
// execCalls; a rule can match exits, whose processes' programs must be known; a rule
// asks for the leaders of process groups, which may be processes without any other
// event; or a rule can match any exec. p must have its programs.
func NewExecs(p *Plan, opts Options) (*Execs, error) {
	if slices.ContainsFunc(execCalls, func(k event.Kind) bool { return p.Kinds.custom[k] }) {
		return nil, nil
	}
	if p.kinds[event.KindProcexit] != nil || slices.ContainsFunc(p.Rules, asksForGroupLeaders) {
		return nil, nil
	}
	e, texts := &Execs{}, newExecTexts()
	compiler := filter.NewCompiler(e.lookup(opts.Lookup)).Forgetful()
	for i, rule := range p.Rules {
		if program := p.kinds[event.KindExecve]; program == nil || !program.Mask.Has(i) {
			continue
		}
		bound := execBound(filter.Specialise(rule.Node, event.KindExecve, 0), texts)
		if filter.IsTrue(bound) {
			return nil, nil
		}
		if filter.IsFalse(bound) {
			continue
		}
		compiled, err := compiler.Compile(bound)
		if err != nil {
			return nil, err
		}
		e.bounds = append(e.bounds, compiled)
	}
	e.Texts = texts.complete()
	return e, nil
}

func asksForGroupLeaders(r *rules.Rule) bool {
	return anyField(r.Node, func(f *filter.Field) bool {
		return slices.ContainsFunc(field.OfGroupLeaders, func(prefix string) bool { return strings.HasPrefix(f.Name, prefix) })
	})
}

// Possible says whether some rule can match an exec like that in c, whose event is
// the last that the process table has applied; met is of its texts.
func (e *Execs) Possible(c *field.Context, met uint64) bool {
	if len(c.Proc.Exe)+1+len(c.Proc.Args) > ExecArgsMax || !certain(c) {
		return true
	}
	e.met = met
	for _, holds := range e.bounds {
		if holds(c) {
			return true
		}
	}
	return false
}

// certain says whether the process table knows all that the probe and the container's
// runtime do: the program, the names of ancestors, metadata. What is missing makes
// checks false, and may be known at the next exec.
func certain(c *field.Context) bool {
	if !c.Proc.Known || c.Proc.ExecTime != c.Time || !c.Proc.Container.Complete() {
		return false
	}
	for p := c.Proc; p.PPID > 0; {
		if p = c.Table.Parent(p); p == nil || !p.Known {
			return false
		}
	}
	return true
}

// success are the facts about calls that hold for all these execs.
var success = anyCall{kind: event.KindExecve, facts: event.CallSuccess}

// execBound is the projection of a condition onto the facts known of an exec.
// Checks of texts become checks of metField.
func execBound(node filter.Node, texts *execTexts) filter.Node {
	return filter.ProjectChecks(node, func(c *filter.Check, negated bool) filter.Node {
		if covered(c) {
			return c
		}
		if f, ok := c.Left.(*filter.Field); ok && c.Right == nil && c.Modifier == filter.NoModifier {
			if value, known := success.decide(f, c); known {
				return &filter.Const{At: c.At, Value: value}
			}
		}
		parts, ok := textParts(c)
		if negated || !ok { // that a part occurs makes no check true
			return nil
		}
		bits, ok := texts.add(parts)
		switch {
		case !ok:
			return nil
		case bits == 0:
			return &filter.Const{At: c.At, Value: false}
		}
		met := &filter.Field{At: c.At, Name: metField, Arg: strconv.FormatUint(bits, 16), HasArg: true}
		return &filter.Check{At: c.At, Left: met, Op: filter.Exists}
	})
}

// metField exists if one of the bits in its argument is met.
const metField = "met"

// lookup finds metField, and all fields that next does.
func (e *Execs) lookup(next filter.Lookup) filter.Lookup {
	return func(text string) (*field.Field, field.Extractor, error) {
		arg, ok := strings.CutPrefix(text, metField+"[")
		if !ok {
			return next(text)
		}
		bits, err := strconv.ParseUint(strings.TrimSuffix(arg, "]"), 16, 64)
		x := field.Extractor{Type: field.Uint, Stage: field.AtEvent, Uint: func(*field.Context) (uint64, bool) {
			return 1, e.met&bits != 0
		}}
		return &field.Field{Name: metField, Type: field.Uint, Stage: field.AtEvent}, x, err
	}
}
