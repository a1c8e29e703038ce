package explain

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
)

// Summary says what a rule did over the events of a capture.
type Summary struct {
	Rule *rules.Rule
	// Events is how many events there were, Candidates how many of kinds that
	// the rule looks at.
	Events, Candidates uint64
	Matches            uint64
	// First are the first matches, Nearest is, if there was none, the event
	// that fewest parts of the condition excluded.
	First   []Event
	Nearest *Event
	// Parts are the parts that alone can exclude an event.
	Parts []Part
}

// Part is a part of the condition, and how often it was false.
type Part struct {
	Text string
	// False counts the candidates it was false for, Alone those that nothing
	// else excluded.
	False, Alone uint64
}

// Event is one event, and the values of the condition's parts for it.
type Event struct {
	Number  uint64
	Time    time.Time
	Type    string
	Process string
	PID     int32
	File    string // fd.name, if it has one
	Steps   []filter.Step
	missed  int
}

// maxFirst limits Summary.First.
const maxFirst = 5

// Test evaluates one rule for every event of src. One that breaks off gives a
// Summary of its beginning, and its error.
func Test(ctx context.Context, src Source, r *rules.Rule) (*Summary, error) {
	if r.Source != field.SyscallSource {
		return nil, fmt.Errorf("rule %q applies to events of source %s, which captures do not contain", r.Name, r.Source)
	}
	t := tester{v: &Summary{Rule: r}, candidates: candidatesOf(r.Node)}
	compiler := filter.NewCompiler(field.Lookup)
	for _, part := range conjuncts(r.Node) {
		p, err := compiler.Compile(part)
		if err != nil {
			return nil, fmt.Errorf("rule %q: %w", r.Name, err)
		}
		t.parts = append(t.parts, p)
		t.v.Parts = append(t.v.Parts, Part{Text: part.String()})
	}
	compiler.Hosts().Lookup(ctx) // names that are not found have no addresses
	none, err := plan.New(nil, plan.Options{Lookup: field.Lookup})
	if err != nil {
		return nil, err
	}
	e := newEngine(none, state.Options{}, t.observe)
	err = replay(ctx, e, src)
	t.v.Events = e.Counters().Events
	return t.v, err
}

type tester struct {
	v          *Summary
	candidates candidates
	parts      []filter.Predicate
	isFalse    []int
}

// observe evaluates the rule for one event, under every name of its file.
func (t *tester) observe(c *field.Context) {
	if !t.candidates.has(c.Event.Header()) {
		return
	}
	t.v.Candidates++
	missed := t.evaluate(c)
	for n := 1; len(missed) > 0 && n < c.Names(); n++ {
		c.Use(n)
		again := t.evaluate(c)
		if len(again) < len(missed) {
			missed = again
			break
		}
		c.Use(0)
		missed = t.evaluate(c)
	}
	for _, i := range missed {
		t.v.Parts[i].False++
		if len(missed) == 1 {
			t.v.Parts[i].Alone++
		}
	}
	switch {
	case len(missed) == 0:
		t.v.Matches++
		if len(t.v.First) < maxFirst {
			t.v.First = append(t.v.First, t.event(c, 0))
		}
	case t.v.Nearest == nil || len(missed) < t.v.Nearest.missed:
		nearest := t.event(c, len(missed))
		t.v.Nearest = &nearest
	}
	c.Use(0)
}

// evaluate returns the parts that are false.
func (t *tester) evaluate(c *field.Context) []int {
	memo := c.Memo
	c.Memo = nil // it belongs to the engine's rules
	t.isFalse = t.isFalse[:0]
	for i, p := range t.parts {
		if !p(c) {
			t.isFalse = append(t.isFalse, i)
		}
	}
	c.Memo = memo
	return t.isFalse
}

func (t *tester) event(c *field.Context, missed int) Event {
	e := Event{
		Number: c.Num, Time: time.Unix(0, int64(c.Time)), Process: strings.Clone(c.Proc.Comm), PID: c.Proc.PID, missed: missed,
		Type: text("evt.type", c), File: text("fd.name", c),
	}
	// The rule has been compiled: its trace has no errors.
	e.Steps, _ = filter.Trace(t.v.Rule.Node, field.Lookup, c)
	return e
}

// text reads a field of type String; "" if it is missing.
func text(name string, c *field.Context) string {
	_, ex, err := field.Lookup(name)
	if err != nil {
		return ""
	}
	s, _ := ex.Str(c)
	return strings.Clone(s)
}

// Write writes the verdict for people.
func (v *Summary) Write(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s: %d matches in %d events, of which %d are of kinds that the rule looks at\n", v.Rule.Name, v.Matches, v.Events, v.Candidates)
	for _, e := range v.First {
		fmt.Fprintf(&b, "\nmatch: %s\n", e)
	}
	if v.Matches > uint64(len(v.First)) {
		fmt.Fprintf(&b, "... and %d more\n", v.Matches-uint64(len(v.First)))
	}
	if v.Candidates > v.Matches {
		v.writeParts(&b)
	}
	if v.Matches == 0 && v.Nearest != nil {
		fmt.Fprintf(&b, "\nThe event that came nearest: %s\n\n", v.Nearest)
		v.Nearest.writeSteps(&b)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func (v *Summary) writeParts(b *bytes.Buffer) {
	b.WriteString("\nParts of the condition that excluded events:\n\n      false      alone\n")
	parts := slices.Clone(v.Parts)
	slices.SortStableFunc(parts, func(a, c Part) int { return cmp.Compare(c.False, a.False) })
	for _, p := range parts {
		if p.False > 0 {
			fmt.Fprintf(b, "  %9d  %9d  %s\n", p.False, p.Alone, shorten(p.Text, 120))
		}
	}
}

func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n-3], "") + "..."
}

// String is the event in one line.
func (e Event) String() string {
	s := fmt.Sprintf("event %d at %s: %s by %s (pid %d)", e.Number, e.Time.UTC().Format("15:04:05.000000000"), e.Type, e.Process, e.PID)
	if e.File != "" {
		s += ", " + e.File
	}
	return s
}

// writeSteps writes why the condition has its value: the deciding parts, with
// their values and the values of their fields.
func (e *Event) writeSteps(b *bytes.Buffer) {
	for _, s := range e.Steps {
		if !s.Decisive {
			continue
		}
		value := "false"
		if s.Value {
			value = "true"
		}
		fmt.Fprintf(b, "  %-6s %s%s", value, strings.Repeat("  ", s.Depth), shorten(s.Text, 120))
		if _, isCheck := s.Node.(*filter.Check); isCheck {
			switch {
			case s.Missing:
				b.WriteString("   (it has no value)")
			case s.Node.(*filter.Check).Op != filter.Exists:
				b.WriteString("   (it is " + shorten(s.Got, 80) + ")")
			}
		}
		b.WriteByte('\n')
	}
}
