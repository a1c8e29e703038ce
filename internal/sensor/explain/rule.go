package explain

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
)

// WriteRule explains rule r, with set loaded: its parts, the events it looks
// at, and the stage at which each part of the condition is known.
func WriteRule(w io.Writer, r *rules.Rule, set *rules.Set) error {
	var b bytes.Buffer
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("Rule", "%s", r.Name)
	line("Defined", "%s:%d", r.File, r.Line)
	state := "enabled"
	if !r.Enabled {
		state = "disabled"
	}
	line("State", "%s, priority %s, source %s", state, r.Priority, r.Source)
	line("Tags", "%s", strings.Join(r.Tags, ", "))
	line("Description", "%s", strings.Join(strings.Fields(r.Desc), " "))
	line("Output", "%s", r.Output)
	if r.Node == nil {
		line("Condition", "%s", r.Condition)
		b.WriteString("\nThe sensor has no events of this source: the rule is never evaluated.\n")
		_, err := w.Write(b.Bytes())
		return err
	}
	if r.Source != field.SyscallSource {
		b.WriteString("\nThe condition with lists and macros expanded:\n\n")
		writeOutline(&b, filter.Unshare(r.Node), nil)
		_, err := w.Write(b.Bytes())
		return err
	}
	line("Events", "%s", events(r.Node))
	if why := plan.Never(r, plan.Options{}); why != "" {
		line("Never", "matches by default: %s", why)
	}
	b.WriteString("\nThe condition with lists and macros expanded. Each part is decided at:\n\n" +
		"  load:   once for all events of a kind\n" +
		"  exec:   once for all events of a process until its next exec\n" +
		"  kernel: at the event, in the kernel, for opens and calls on sockets\n" +
		"  event:  at the event, in the sensor\n\n")
	node := filter.Unshare(r.Node)
	kernel := plan.SocketChecks(node)
	_, tooMany := plan.NewOpens(rules.OfSource(field.SyscallSource, set.Enabled(alert.Debug)))
	if tooMany == nil {
		maps.Copy(kernel, plan.OpenChecks(node))
	}
	writeOutline(&b, node, kernel)
	if tooMany == nil {
		writeOpenNeeds(&b, node)
	} else {
		b.WriteString("\nThe kernel sends every open: the rules have more patterns on paths than it takes.\n")
	}
	alone, err := plan.NewAlone(r)
	if err != nil {
		return err
	}
	writeStages(&b, alone.Stages)
	b.WriteString("\nProcesses whose events can match (decided once for each process):\n\n")
	projection := filter.Project(r.Node, field.AtExec)
	switch {
	case filter.IsTrue(projection):
		b.WriteString("  all\n")
	case filter.IsFalse(projection):
		b.WriteString("  none: the condition is never true\n")
	default:
		writeOutline(&b, projection, nil)
	}
	_, err = w.Write(b.Bytes())
	return err
}

// writeOpenNeeds says which opens the kernel sends for a condition.
func writeOpenNeeds(b *bytes.Buffer, n filter.Node) {
	needs := plan.OpenNeeds(n)
	if len(needs) == 0 {
		return
	}
	b.WriteString("\nOpens that the kernel sends for this rule (all lines of a group must be met):\n")
	for _, o := range needs {
		b.WriteByte('\n')
		line := func(format, text string) {
			if text != "" {
				fmt.Fprintf(b, "  "+format+"\n", text)
			}
		}
		line("open is %s", o.Facts)
		for _, clause := range o.Clauses {
			line("%s", clause)
		}
		line("not: %s", o.Excluded)
		if len(o.Clauses) == 0 && o.Excluded == "" {
			line("%s", "any path")
		}
	}
}

// manyEvents is the number of events from which on only the number is shown.
const manyEvents = 60

func events(n filter.Node) string {
	names := filter.Names(n)
	if _, _, restricted := filter.Kinds(n); !restricted {
		return "all: the condition does not restrict evt.type"
	}
	switch {
	case len(names) == 0:
		return "none: the condition is never true"
	case len(names) > manyEvents:
		return fmt.Sprintf("%d kinds, among them %s", len(names), strings.Join(names[:5], ", "))
	}
	return strings.Join(names, ", ")
}

func writeOutline(b *bytes.Buffer, n filter.Node, kernel map[*filter.Check]bool) {
	for _, l := range filter.Outline(n, kernel) {
		fmt.Fprintf(b, "  %-6s %s%s\n", l.Stage, strings.Repeat("  ", l.Depth), l.Text)
	}
}

// candidates names the events for which a condition must be evaluated.
type candidates struct {
	kinds event.KindSet
	ids   filter.IDSet
}

func candidatesOf(n filter.Node) candidates {
	kinds, ids, _ := filter.Kinds(n)
	return candidates{kinds, ids}
}

func (c *candidates) has(h *event.Header) bool {
	if !c.kinds.Has(h.Kind) {
		return false
	}
	return h.Kind != event.KindSyscall || c.ids.Has(event.ID(h.Syscall))
}

// conjuncts are the parts of a condition of which each alone can make it
// false.
func conjuncts(n filter.Node) []filter.Node {
	and, ok := n.(*filter.And)
	if !ok {
		return []filter.Node{n}
	}
	var list []filter.Node
	for _, m := range and.Nodes {
		list = append(list, conjuncts(m)...)
	}
	return slices.Clip(list)
}

// explained is what WriteRule says, for programs.
type explained struct {
	Rule    string   `json:"rule"`
	File    string   `json:"file"`
	Line    int      `json:"line"`
	Enabled bool     `json:"enabled"`
	Source  string   `json:"source"`
	Events  []string `json:"events"`
	// Never says why the rule matches no event by default.
	Never  string        `json:"never,omitempty"`
	Stages []plan.Stages `json:"stages,omitempty"`
	// Opens are what the paths of opens must meet, one of them.
	Opens []plan.OpenNeed `json:"opens,omitempty"`
	// Condition has lists and macros expanded.
	Condition string `json:"condition"`
}

// WriteRuleJSON explains a rule as JSON.
func WriteRuleJSON(w io.Writer, r *rules.Rule) error {
	e := explained{Rule: r.Name, File: r.File, Line: r.Line, Enabled: r.Enabled, Source: r.Source, Condition: r.Condition}
	if r.Node != nil {
		e.Condition = r.Node.String()
	}
	if r.Node != nil && r.Source == field.SyscallSource {
		alone, err := plan.NewAlone(r)
		if err != nil {
			return err
		}
		e.Events, e.Never = filter.Names(r.Node), plan.Never(r, plan.Options{})
		e.Stages, e.Opens = alone.Stages, plan.OpenNeeds(filter.Unshare(r.Node))
	}
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	return out.Encode(e)
}
