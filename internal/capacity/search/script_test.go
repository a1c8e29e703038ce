package search

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/test/support/script"
)

var update = flag.Bool("update", false, "rewrite the scripts' output")

// The scripts of testdata show whole searches, trial by trial.
//
//	search KEY=VALUE...   searches with a modelled sensor. The input lists
//	                      accidents: "trial N loses SHARE"
//	more DURATION         continues it
func TestScripts(t *testing.T) {
	script.Run(t, *update, "testdata/*.txt", func(*testing.T) func(*testing.T, script.Block) string {
		var m *sensorModel
		var s *Search
		return func(t *testing.T, b script.Block) string {
			shown := 0
			var found Found
			var err error
			switch b.Command {
			case "search":
				var plan capacity.Plan
				m, plan = modelled(t, b)
				s = New(plan, m.now, m.try)
				found, err = s.Run(context.Background())
			case "more":
				shown = len(m.log)
				found, err = s.More(context.Background(), duration(t, b.Args[0]))
			default:
				t.Fatalf("line %d: no command %q", b.Line, b.Command)
			}
			if err != nil {
				t.Fatalf("line %d: %v", b.Line, err)
			}
			return show(m, shown, found, s.Wide())
		}
	})
}

// modelled returns the sensor and the plan that a block describes.
func modelled(t *testing.T, b script.Block) (*sensorModel, capacity.Plan) {
	t.Helper()
	m, plan := &sensorModel{overhead: time.Second}, patient()
	for key, value := range b.Keys {
		switch key {
		case "capacity":
			m.capacity = number(t, value)
		case "ring":
			m.ring = number(t, value)
		case "generator":
			m.generator = number(t, value)
		case "watched":
			m.watched = value == "yes"
		case "start":
			plan.Start = number(t, value)
		case "ceiling":
			plan.Ceiling = number(t, value)
		case "precision":
			plan.Precision = number(t, value)
		case "budget":
			plan.Budget = duration(t, value)
		case "spare":
			plan.Spare = duration(t, value)
		default:
			t.Fatalf("line %d: no key %q", b.Line, key)
		}
	}
	losses := map[int]float64{}
	for line := range strings.Lines(b.Input) {
		var n int
		var share float64
		if _, err := fmt.Sscanf(line, "trial %d loses %g", &n, &share); err != nil {
			t.Fatalf("line %d: %q: %v", b.Line, line, err)
		}
		losses[n] = share
	}
	m.accident = func(n int) float64 { return losses[n+1] }
	return m, plan
}

// show prints the trials from one on, and the conclusion.
func show(m *sensorModel, from int, f Found, wide bool) string {
	var out strings.Builder
	for i, tr := range m.log[from:] {
		state := "clean"
		switch {
		case tr.Limited:
			state = fmt.Sprintf("generator at %.0f/s", tr.Offered)
		case tr.Clean:
		case tr.Loss == 0:
			state = "queue grows"
		default:
			state = fmt.Sprintf("loses %.3f%%", 100*tr.Loss)
		}
		fmt.Fprintf(&out, "%2d %-7s %7.0f/s %3.0f s  %s\n", from+i+1, tr.phase, tr.target, tr.length.Seconds(), state)
	}
	fmt.Fprintf(&out, "%s: no drops at %s, partial drops at %s", f.Status, interval(f.NDR), interval(f.PDR))
	if f.Unsteady {
		out.WriteString(", unsteady")
	}
	if wide {
		out.WriteString(", wide")
	}
	return out.String()
}

// interval prints a bound with the numbers of the trials that prove it.
func interval(b capacity.Bound) string {
	upper := "no upper bound"
	if b.Upper > 0 {
		upper = fmt.Sprintf("%.0f/s (trial %d)", b.Upper, b.UpperTrial+1)
	}
	if b.Lower == 0 {
		return "no rate, below " + upper
	}
	return fmt.Sprintf("%.0f/s (trial %d), below %s", b.Lower, b.LowerTrial+1, upper)
}

func number(t *testing.T, s string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func duration(t *testing.T, s string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
