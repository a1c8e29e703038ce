package rules

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
)

// Description is the output of -L and -l in JSON.
type Description struct {
	Lists         []Described[ListInfo, ListDetails]   `json:"lists"`
	Macros        []Described[MacroInfo, MacroDetails] `json:"macros"`
	PluginVersion []DescribedNeed                      `json:"required_plugin_versions"`
	EngineVersion string                               `json:"required_engine_version"`
	Rules         []Described[RuleInfo, RuleDetails]   `json:"rules"`
}

// DescribedNeed is a required plugin.
type DescribedNeed struct {
	Alternatives []DescribedNeed `json:"alternatives,omitempty"`
	Name         string          `json:"name"`
	Version      string          `json:"version"`
}

// Described is a rule, macro or list as written, with facts derived from it.
type Described[Info, Details any] struct {
	Details Details `json:"details"`
	Info    Info    `json:"info"`
}

// RuleInfo is a rule as written.
type RuleInfo struct {
	Capture         bool     `json:"capture"`
	CaptureDuration uint32   `json:"capture_duration"`
	Condition       string   `json:"condition"`
	Description     string   `json:"description"`
	Enabled         bool     `json:"enabled"`
	Name            string   `json:"name"`
	Output          string   `json:"output"`
	Priority        string   `json:"priority"`
	Source          string   `json:"source"`
	Tags            []string `json:"tags"`
}

// RuleDetails lists the parts of a rule.
type RuleDetails struct {
	ConditionCompiled  string   `json:"condition_compiled"`
	ConditionFields    []string `json:"condition_fields"`
	ConditionOperators []string `json:"condition_operators"`
	Events             []string `json:"events"`
	ExceptionFields    []string `json:"exception_fields"`
	ExceptionNames     []string `json:"exception_names"`
	ExceptionOperators []string `json:"exception_operators"`
	Lists              []string `json:"lists"`
	Macros             []string `json:"macros"`
	OutputCompiled     string   `json:"output_compiled"`
	OutputFields       []string `json:"output_fields"`
	Plugins            []string `json:"plugins"`
	// ExtraFormatted are the fields that append_output adds as texts: name and
	// format.
	ExtraFormatted map[string]string `json:"extra_output_formatted_fields,omitempty"`
}

// MacroInfo is a macro as written.
type MacroInfo struct {
	Condition string `json:"condition"`
	Name      string `json:"name"`
}

// MacroDetails lists the parts of a macro.
type MacroDetails struct {
	ConditionCompiled  string   `json:"condition_compiled"`
	ConditionFields    []string `json:"condition_fields"`
	ConditionOperators []string `json:"condition_operators"`
	Events             []string `json:"events"`
	Lists              []string `json:"lists"`
	Macros             []string `json:"macros"`
	Plugins            []string `json:"plugins"`
	Used               bool     `json:"used"`
}

// ListInfo is a list as written.
type ListInfo struct {
	Items []string `json:"items"`
	Name  string   `json:"name"`
}

// ListDetails lists the parts of a list.
type ListDetails struct {
	ItemsCompiled []string `json:"items_compiled"`
	Lists         []string `json:"lists"`
	Plugins       []string `json:"plugins"`
	Used          bool     `json:"used"`
}

// Describe describes the rule of that name, or, for "", everything. outputs has
// the text appended to the rules' outputs. An unknown name is an error.
func (s *Set) Describe(name string, outputs alert.Options) (*Description, error) {
	d := &Description{
		Lists: []Described[ListInfo, ListDetails]{}, Macros: []Described[MacroInfo, MacroDetails]{},
		PluginVersion: []DescribedNeed{}, EngineVersion: s.EngineVersion, Rules: []Described[RuleInfo, RuleDetails]{},
	}
	if name != "" {
		r := s.Rule(name)
		if r == nil || r.AST == nil {
			return nil, fmt.Errorf("Rule %q is not loaded", name) //nolint:staticcheck // Falco's words
		}
		d.Rules = append(d.Rules, s.describeRule(r, outputs))
		return d, nil
	}
	for _, alternatives := range s.Plugins {
		need := DescribedNeed{Name: alternatives[0].Name, Version: alternatives[0].Version}
		for _, a := range alternatives[1:] {
			need.Alternatives = append(need.Alternatives, DescribedNeed{Name: a.Name, Version: a.Version})
		}
		d.PluginVersion = append(d.PluginVersion, need)
	}
	for _, r := range s.Rules {
		d.Rules = append(d.Rules, s.describeRule(r, outputs))
	}
	for _, m := range s.Macros {
		p := s.partsOf(m.Condition)
		p.take(m.Node)
		d.Macros = append(d.Macros, Described[MacroInfo, MacroDetails]{
			Info: MacroInfo{Condition: m.Condition, Name: m.Name},
			Details: MacroDetails{
				ConditionCompiled: m.Node.String(), ConditionFields: p.fields.list(), ConditionOperators: p.operators.list(),
				Events: eventsOf(m.Node), Lists: p.lists.list(), Macros: p.macros.list(), Plugins: []string{}, Used: m.Used,
			},
		})
	}
	for _, l := range s.Lists {
		d.Lists = append(d.Lists, Described[ListInfo, ListDetails]{
			Info:    ListInfo{Items: orEmpty(l.Items), Name: l.Name},
			Details: ListDetails{ItemsCompiled: orEmpty(l.Expanded), Lists: orEmpty(l.Lists), Plugins: []string{}, Used: l.Used},
		})
	}
	return d, nil
}

func (s *Set) describeRule(r *Rule, outputs alert.Options) Described[RuleInfo, RuleDetails] {
	output, extra := outputs.Extend(alert.Rule{Name: r.Name, Priority: r.Priority, Source: r.Source, Tags: r.Tags}, r.Output)
	outputNames, formatted := texts{}, map[string]string{}
	outputNames.add(outputFields(output, field.Of(r.Source))...)
	for _, x := range extra {
		if x.Format == "" {
			outputNames.add(x.Name)
		} else {
			formatted[x.Name] = x.Format
		}
	}
	p := s.partsOf(r.text)
	p.take(r.AST)
	names, fields, operators := texts{}, texts{}, texts{}
	for _, ex := range r.Exceptions {
		names.add(ex.Name)
		fields.add(ex.Fields...)
		operators.add(ex.Comps...)
	}
	return Described[RuleInfo, RuleDetails]{
		Info: RuleInfo{
			Capture: r.Capture, CaptureDuration: r.CaptureDuration, Condition: r.Condition, Description: r.Desc,
			Enabled: r.Enabled, Name: r.Name, Output: r.Output, Priority: r.Priority.String(), Source: r.Source, Tags: orEmpty(r.Tags),
		},
		Details: RuleDetails{
			ConditionCompiled: r.AST.String(), ConditionFields: p.fields.list(), ConditionOperators: p.operators.list(),
			Events:          r.events(),
			ExceptionFields: fields.list(), ExceptionNames: names.list(), ExceptionOperators: operators.list(),
			Lists: p.lists.list(), Macros: p.macros.list(),
			OutputCompiled: output, OutputFields: outputNames.list(), Plugins: []string{}, ExtraFormatted: formatted,
		},
	}
}

// texts is a set of texts.
type texts map[string]struct{}

func (t texts) add(list ...string) {
	for _, s := range list {
		t[s] = struct{}{}
	}
}

func (t texts) list() []string { return orEmpty(slices.Sorted(maps.Keys(t))) }

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// parts are the names that a condition uses.
type parts struct{ macros, lists, fields, operators texts }

// partsOf finds the macros and lists that the text of a condition names.
func (s *Set) partsOf(cond string) *parts {
	p := &parts{texts{}, texts{}, texts{}, texts{}}
	lists := &lists{byName: map[string]*List{}}
	for _, l := range s.Lists {
		lists.byName[l.Name] = &List{Name: l.Name, text: l.text}
	}
	n, err := filter.Parse(lists.substitute(cond))
	if err != nil {
		return p // Load has checked it; appended parts may still not parse alone
	}
	for name, l := range lists.byName {
		if l.Used {
			p.lists.add(name)
		}
	}
	filter.Walk(n, func(n filter.Node) {
		if m, ok := n.(*filter.Macro); ok {
			p.macros.add(m.Name)
		}
	})
	return p
}

// take adds fields and operators of a tree.
func (p *parts) take(n filter.Node) {
	filter.Fields(n, func(f *filter.Field) { p.fields.add(f.String()) })
	filter.Walk(n, func(n filter.Node) {
		if c, ok := n.(*filter.Check); ok {
			p.operators.add(string(c.Op))
		}
	})
}

// eventsOf are the names of the events that a condition can be true for.
func eventsOf(n filter.Node) []string {
	kinds, _, _ := filter.Kinds(n)
	kinds.Add(event.KindAsyncevent)
	var names []string
	for k := range event.Kind(event.NumKinds) {
		if kinds.Has(k) {
			names = append(names, k.String())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// events are the names of the events that the rule can match; those of other
// sources than syscalls are plugin events to Falco.
func (r *Rule) events() []string {
	if r.Source != syscallSource {
		return []string{"pluginevent"}
	}
	return eventsOf(r.AST)
}

func outputFields(text string, fields *field.Catalogue) []string {
	t := texts{}
	for {
		i := strings.IndexByte(text, '%')
		if i < 0 {
			return t.list()
		}
		text = strings.TrimLeft(text[i+1:], "0123456789")
		if strings.HasPrefix(text, "%") {
			text = text[1:]
			continue
		}
		o, err := fields.ParseOperand(text)
		if err != nil {
			return t.list()
		}
		t.add(o.Text)
		text = text[len(o.Text):]
	}
}

// WriteJSON writes the description in one line.
func (d *Description) WriteJSON(w io.Writer) error { return writeJSON(w, d) }

// WriteText writes the rules' names and descriptions as a table.
func (d *Description) WriteText(w io.Writer) error {
	rules := slices.Clone(d.Rules)
	slices.SortStableFunc(rules, func(a, b Described[RuleInfo, RuleDetails]) int { return cmp.Compare(a.Info.Name, b.Info.Name) })
	var b bytes.Buffer
	row := func(name, text string) { fmt.Fprintf(&b, "%-50s %s\n", name, text) }
	row("Rule", "Description")
	row("----", "-----------")
	for _, r := range rules {
		lines := human.Wrap(r.Info.Description, 110)
		row(r.Info.Name, lines[0])
		for _, line := range lines[1:] {
			row("", line)
		}
		b.WriteByte('\n')
	}
	_, err := w.Write(b.Bytes())
	return err
}
