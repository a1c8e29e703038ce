package rules

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
)

// Source is one rules file.
type Source struct {
	Name    string
	Content []byte
}

// Options name the fields and sources that rules can refer to.
type Options struct {
	// Lookup finds fields of syscalls; field.Lookup outside tests.
	Lookup filter.Lookup
	// Sources are the sources of events that there are; nil: syscall.
	Sources []string
	// Plugins are those that rules may require; nil: BuiltinPlugins.
	Plugins []Plugin
}

// BuiltinPlugins are the plugins of Falco whose work this sensor does itself.
var BuiltinPlugins = []Plugin{
	{Name: "container", Version: "0.7.1"},
	{Name: "k8saudit", Version: "0.18.0"}, {Name: "k8saudit-eks", Version: "0.12.0"}, {Name: "k8saudit-gke", Version: "0.9.0"},
	{Name: "k8saudit-aks", Version: "0.6.0"}, {Name: "k8saudit-ovh", Version: "0.6.0"},
	{Name: "json", Version: "0.7.4"},
}

// lookup returns the lookup function for the fields of a source.
func (o *Options) lookup(source string) filter.Lookup {
	if source == syscallSource {
		return o.Lookup
	}
	return field.Of(source).Lookup
}

// Rule is a loaded rule.
type Rule struct {
	Name, Desc string
	// Condition is the text as written, with appended text but without
	// exceptions.
	Condition string
	Output    string
	Priority  alert.Priority
	Source    string
	Tags      []string // sorted
	Enabled   bool
	// Exceptions are those of the rule; they are part of AST and Node.
	Exceptions []Exception
	// Capture and CaptureDuration (ms) request a recording around alerts.
	Capture         bool
	CaptureDuration uint32

	// AST is the condition with exceptions, lists and macros expanded; nil for
	// rules of an unknown source. Node is the AST to evaluate, widened by the
	// aliases of syscalls (see filter.Widen).
	AST, Node filter.Node
	// Position in the files, for people.
	File string
	Line int

	text string // condition with exceptions
}

// Exception is an exception of a rule.
type Exception struct {
	Name          string
	Fields, Comps []string
}

// Set is everything that was loaded.
type Set struct {
	// Rules are the rules that can be evaluated, in the order in which they
	// are tried; Foreign those of sources that the sensor does not have.
	Rules, Foreign []*Rule
	Macros         []*Macro
	Lists          []*List
	// EngineVersion is the highest that the files require.
	EngineVersion string
	Plugins       [][]Plugin
}

// Rule returns the rule with that name, or nil.
func (s *Set) Rule(name string) *Rule {
	for _, list := range [][]*Rule{s.Rules, s.Foreign} {
		for _, r := range list {
			if r.Name == name {
				return r
			}
		}
	}
	return nil
}

// Load reads the files in order. Each may refer to, append to and override
// definitions of earlier ones, and is checked together with these. An error
// ends its file, and is reported for that file alone: the Set is nil then, and
// the Report has the error and its place.
func Load(sources []Source, opts Options) (*Set, *Report) {
	if opts.Sources == nil {
		opts.Sources = []string{syscallSource}
	}
	if opts.Plugins == nil {
		opts.Plugins = BuiltinPlugins
	}
	col := &collection{opts: &opts}
	report := &Report{}
	var set *Set
	var last *compiler
	checked := map[string]*checks{}
	for _, source := range opts.Sources {
		checked[source] = &checks{resolver: filter.NewResolver(opts.lookup(source)), outputs: map[string]error{}}
	}
	seen := map[string]bool{} // warnings that an earlier file had already
	known := failures{}
	for _, s := range sources {
		res := &Result{Name: s.Name}
		report.Results = append(report.Results, res)
		r := &reader{col: col, opts: &opts, res: res}
		if err := r.read(s); err != nil {
			res.fail(err)
			continue
		}
		for done := false; !done && res.OK(); {
			c := &compiler{col: col, opts: &opts, res: res, checked: checked, known: known}
			compiled, err := c.compile()
			switch {
			case err == nil:
				set, last, done = compiled, c, true
			case !report.blames(err):
				res.fail(err)
			}
			known.add(err)
		}
		res.dropRepeated(seen)
	}
	if last != nil {
		last.unused(report)
	}
	if !report.OK() {
		return nil, report
	}
	if set == nil {
		set = &Set{}
	}
	return set, report
}

// compiler turns a collection into a Set.
type compiler struct {
	col    *collection
	opts   *Options
	res    *Result
	lists  *lists
	macros *macros

	known   failures
	checked map[string]*checks // by source
}

// checks are results from earlier files that need not be checked again.
type checks struct {
	resolver *filter.Resolver
	outputs  map[string]error
}

// failures are errors that have been reported. Later files are compiled without
// the failing items.
type failures map[string]bool

func (f failures) add(err error) {
	if err != nil {
		f[failureKey(err)] = true
	}
}

func (f failures) has(err error) bool { return f[failureKey(err)] }

// failureKey tells errors apart by their whole way from the file.
func failureKey(err error) string {
	var f *failure
	if !errors.As(err, &f) {
		return err.Error()
	}
	return fmt.Sprint(f.Code, f.Message, f.Locations)
}

// blames says whether the error is in a file that has been found bad before.
func (r *Report) blames(err error) bool {
	var f *failure
	return errors.As(err, &f) && slices.ContainsFunc(r.Results, func(res *Result) bool {
		return res.Name == f.Locations[0].Name && !res.OK()
	})
}

func (c *compiler) compile() (*Set, error) {
	for _, p := range c.col.plugins {
		if !satisfied(p.alternatives, c.opts.Plugins) {
			names := make([]string, len(p.alternatives))
			for i, a := range p.alternatives {
				names[i] = a.String()
			}
			err := p.at.fail(ErrValidate, "Plugin requirement not satisfied, must load one of: %s", strings.Join(names, ", "))
			if !c.known.has(err) {
				return nil, err
			}
		}
	}
	var err error
	if c.lists, err = c.col.compileLists(c.known); err != nil {
		return nil, err
	}
	if c.macros, err = c.col.compileMacros(c.lists, c.known); err != nil {
		return nil, err
	}
	set := &Set{Macros: c.macros.order, Lists: c.lists.order, EngineVersion: c.col.engine.String()}
	for _, def := range c.col.rules.order {
		if def.unknownSource {
			set.Foreign = append(set.Foreign, newRule(def))
			continue
		}
		rule, err := c.rule(def)
		if err != nil && !c.known.has(err) {
			return nil, err
		}
		if err == nil && rule != nil {
			set.Rules = append(set.Rules, rule)
		}
	}
	for _, p := range c.col.plugins {
		set.Plugins = append(set.Plugins, p.alternatives)
	}
	return set, nil
}

// unused warns about macros and lists that no file uses, in the result of the
// defining file. (Falco checks this for each file before it reads the next.)
func (c *compiler) unused(report *Report) {
	warn := func(at *place, code Code, msg string) {
		for _, res := range report.Results {
			if res.Name == at.root().Name {
				res.warn(at, code, "%s", msg)
				return
			}
		}
	}
	for _, m := range c.macros.order {
		if !m.Used {
			warn(m.def.at, WarnUnusedMacro, "Macro not referred to by any other rule/macro")
		}
	}
	for _, l := range c.lists.order {
		if !l.Used {
			warn(l.at, WarnUnusedList, "List not referred to by any other rule/macro")
		}
	}
}

func (c *compiler) warn(at *place, code Code, format string, args ...any) {
	c.res.warn(at, code, format, args...)
}

func newRule(def *ruleDef) *Rule {
	r := &Rule{
		Name: def.name, Desc: def.desc, Condition: def.cond, Output: def.output, Priority: def.priority,
		Source: def.source, Tags: slices.Clone(def.tags), Enabled: def.enabled,
		Capture: def.capture, CaptureDuration: def.captureDuration,
		File: def.at.root().Name, Line: def.at.Line,
	}
	for _, ex := range def.exceptions {
		r.Exceptions = append(r.Exceptions, Exception{Name: ex.name, Fields: ex.fields.texts(), Comps: ex.comps.texts()})
	}
	return r
}

func (e entry) texts() []string {
	if !e.list {
		return []string{e.text}
	}
	var list []string
	for _, item := range e.items {
		list = append(list, item.text)
	}
	return list
}
