package terminal

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/live"
	"github.com/peregrine-sec/peregrine/internal/page"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

var board = live.Board{Title: "A run", Charts: []page.Chart{
	{Lines: []page.Line{{Name: "events", Color: "accent"}, {Name: "drops", Color: "drops"}}},
	{Y: page.Axis{Unit: page.Millis}, Lines: []page.Line{{Name: "latency p99", Color: "accent"}}},
}}

func example(color bool) *view {
	v := newView(board, color, time.Unix(0, 0))
	for n := range 200 {
		v.add(live.Update{Phase: "round 1: load\x1b[2J", Values: page.Values{float64(1000 * n), 0, math.NaN()}})
	}
	v.add(live.Update{Phase: "round 1: load\x1b[2J", Values: page.Values{2e5, 7, 1.5}})
	for n := range 50 {
		v.steps = append(v.steps, fmt.Sprintf("\nstep %d with so many words that they do not fit a line of eighty characters at all", n))
	}
	return &v
}

func TestRender(t *testing.T) {
	got := example(false).render(60, 10, time.Unix(65, 0))
	want := `A run                                                   1m5s
round 1: load.[2J                                           

events               200K  ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇█████████████
drops                   7                                  █
latency p99        1.5 ms                                  █

step 47 with so many words that they do not fit a line of ei
step 48 with so many words that they do not fit a line of ei
step 49 with so many words that they do not fit a line of ei`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// The view fits any window, and has no colours where none are wanted.
func TestRenderFits(t *testing.T) {
	for columns := range 130 {
		for _, rows := range []int{0, 1, 5, 10, 24, 80} {
			text := example(false).render(columns, rows, time.Unix(1e6, 0))
			if strings.Contains(text, "\x1b") {
				t.Fatal("control sequences without colours")
			}
			for line := range strings.Lines(text) {
				if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); columns >= 40 && n > columns {
					t.Errorf("%d of %d columns: %q", n, columns, line)
				}
			}
			if n := strings.Count(text, "\n") + 1; rows >= 10 && n > rows {
				t.Errorf("%d lines in %d rows", n, rows)
			}
		}
	}
	if text := example(true).render(80, 24, time.Unix(0, 0)); strings.Count(text, "\x1b[0m") != 4 || !strings.Contains(text, "\x1b[31m") {
		t.Errorf("colours: %q", text)
	}
}

// The terminal is as it was in the end, with all steps on it.
func TestDashboard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		d, err := Open(&out, board, false)
		if err != nil {
			t.Fatal(err)
		}
		d.Say("first")
		d.Show(live.Update{Phase: "the phase", Values: page.Values{1, 2, 3}})
		time.Sleep(3 * every) // of virtual time
		synctest.Wait()
		d.Say("last")
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		text := out.String()
		if n := strings.Count(text, "\x1b[H\x1b[2J"); n < 3 || !strings.Contains(text, "the phase") {
			t.Errorf("drawn %d times: %q", n, text)
		}
		if !strings.HasSuffix(text, "\x1b[?1049lfirst\nlast\n") {
			t.Errorf("the end: %q", text[max(0, len(text)-100):])
		}
	})
}

// Of very many steps the last are left on the terminal, and none can steer it.
// Others may still tell some meanwhile.
func TestDashboardEnd(t *testing.T) {
	var out bytes.Buffer
	d, err := Open(&out, board, false)
	if err != nil {
		t.Fatal(err)
	}
	for n := range maxSteps + 2 {
		d.Say(fmt.Sprint("step ", n))
	}
	d.Say("a\x1b[2J\nb\tc")
	var others sync.WaitGroup
	others.Go(func() {
		for range 1000 {
			d.Say("meanwhile")
		}
	})
	err = d.Close()
	others.Wait()
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(out.String(), "\x1b[?1049l")
	if strings.Contains(text, "\x1b") || !strings.Contains(text, "\na.[2J\nb c\n") || strings.Contains(text, "step 2\n") {
		t.Errorf("the end: %q ... %q", text[:min(len(text), 100)], text[max(0, len(text)-100):])
	}
	if n := strings.Count(text, "\n"); n != maxSteps+1 {
		t.Errorf("%d lines, want %d", n, maxSteps+1)
	}
}
