package engine

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
)

// An open that the filter leaves out matches no rule, whatever the rules and the
// open. Few letters make patterns and paths overlap in every way.
func TestOpensFuzz(t *testing.T) {
	events, left := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		var text strings.Builder
		for i := range rapid.IntRange(1, 3).Draw(t, "rules") {
			fmt.Fprintf(&text, "- {rule: r%d, desc: d, output: o, priority: INFO, condition: 'evt.type = openat and %s'}\n", i, drawCondition(t, 2))
		}
		set, report := rules.Load([]rules.Source{{Name: "drawn.yaml", Content: []byte(text.String())}}, rules.Options{Lookup: field.Lookup})
		if set == nil {
			t.Fatal(report.Err())
		}
		list := set.Enabled(alert.Debug)
		opens, err := plan.NewOpens(list)
		if err != nil {
			t.Fatal(err)
		}
		p, err := plan.New(list, plan.Options{Lookup: field.Lookup, Unmasked: true})
		if err != nil {
			t.Fatal(err)
		}
		formatters := make([]Formatter, len(p.Rules))
		for i, r := range p.Rules {
			formatters[i] = quiet{r.Name}
		}
		var s sink
		e := newEngine(NewRuleset(p, formatters, true), s.emit)
		var m machine
		e.Handle(m.exec(100, "tar"))
		for range 20 {
			ev, what := drawOpen(t, &m)
			var v event.View
			if err := v.Reset(ev); err != nil {
				t.Fatal(err)
			}
			needed := opens.NeededEvent(&v, "tar")
			s.got = nil
			e.Handle(ev)
			if events++; !needed {
				left++
			}
			if !needed && len(s.got) > 0 {
				t.Fatalf("%s is left out, but matches %q of\n%s", what, s.got, text.String())
			}
		}
	})
	// The few sets of rules of a short run may need nearly every open.
	if left < events/20 && !testing.Short() || left == events {
		t.Errorf("%d of %d opens are left out", left, events)
	}
}

func drawCondition(t *rapid.T, depth int) string {
	node := rapid.IntRange(0, 6).Draw(t, "node")
	switch {
	case depth == 0 || node > 4:
		return drawCheck(t)
	case node == 0:
		return "not (" + drawCondition(t, depth-1) + ")"
	}
	op := []string{" and ", " or "}[node%2]
	parts := make([]string, rapid.IntRange(2, 3).Draw(t, "parts"))
	for i := range parts {
		parts[i] = drawCondition(t, depth-1)
	}
	return "(" + strings.Join(parts, op) + ")"
}

var (
	drawnFields = []string{"fd.name", "fd.name", "fd.name", "fd.nameraw", "fs.path.nameraw", "fs.path.name", "fd.directory", "fd.filename"}
	drawnOps    = []string{"=", "!=", "startswith", "endswith", "contains", "icontains", "glob", "in", "pmatch"}
	drawnTexts  = []string{"/", "/a", "/a/", "a", "/a/b", "b", "/b/a", "ab", "./", "../", "a/", "/ab/"}
	drawnGlobs  = []string{"*", "/*", "/a/*", "*b", "/a*b", "/*/a/*", "/?/*b", "[ab]*", "/a*/"}
	drawnFacts  = []string{
		"evt.is_open_write = true", "evt.failed = true", "fd.num >= 0", "fd.typechar = d", "evt.arg.flags contains O_CREAT",
		"proc.name = tar", "proc.name in (cat, sh)", "proc.name != tar", "fd.nameraw pmatch (/a)", "proc.name = <NA>",
	}
)

func drawCheck(t *rapid.T) string {
	if rapid.IntRange(0, 3).Draw(t, "fact") == 0 {
		return rapid.SampledFrom(drawnFacts).Draw(t, "check")
	}
	op := rapid.SampledFrom(drawnOps).Draw(t, "op")
	value := func() string {
		if op == "glob" {
			return `"` + rapid.SampledFrom(drawnGlobs).Draw(t, "glob") + `"`
		}
		return `"` + rapid.SampledFrom(drawnTexts).Draw(t, "text") + `"`
	}
	right := value()
	if op == "in" || op == "pmatch" {
		right = "(" + right + ", " + value() + ")"
	}
	return rapid.SampledFrom(drawnFields).Draw(t, "field") + " " + op + " " + right
}

var drawnParts = rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "ab", "a", "b", ".", "..", ""}), 0, 4)

// drawOpen is an open, and what it is.
func drawOpen(t *rapid.T, m *machine) (ev []byte, what string) {
	path := strings.Join(drawnParts.Draw(t, "path"), "/")
	base := ""
	if rapid.Bool().Draw(t, "absolute") {
		path = "/" + path
	} else {
		base = drawClean(t, "base")
	}
	resolved := rapid.SampledFrom([]string{"", drawClean(t, "resolved")}).Draw(t, "led")
	flags := rapid.SampledFrom([]uint64{event.OpenRead, event.OpenWrite, event.OpenRead | event.OpenCreat}).Draw(t, "flags")
	fd := rapid.SampledFrom([]int64{3, 3, -2}).Draw(t, "fd")
	return m.openat(100, base, path, resolved, flags, fd), fmt.Sprintf("open of %q from %q to %q, flags %#x: %d", path, base, resolved, flags, fd)
}

func drawClean(t *rapid.T, what string) string {
	return "/" + strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "ab"}), 0, 3).Draw(t, what), "/")
}
