package terminal

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/live"
	"github.com/peregrine-sec/peregrine/internal/page"
)

// maxCourse is how many values of a figure are kept: more than a window has
// columns.
const maxCourse = 1000

// view is the content of a dashboard.
type view struct {
	title   string
	color   bool
	begun   time.Time
	phase   string
	figures []figure
	steps   []string
}

// figure is a line of a chart.
type figure struct {
	name   string
	unit   page.Unit
	color  string
	course []float64 // NaN for gaps
}

func newView(board live.Board, color bool, now time.Time) view {
	v := view{title: board.Title, color: color, begun: now, phase: "starting"}
	for _, c := range board.Charts {
		for _, l := range c.Lines {
			v.figures = append(v.figures, figure{name: l.Name, unit: c.Y.Unit, color: l.Color})
		}
	}
	return v
}

func (v *view) add(u live.Update) {
	v.phase = u.Phase
	for i, x := range u.Values {
		f := &v.figures[i]
		f.course = append(f.course, x)
		if extra := len(f.course) - maxCourse; extra > 0 {
			f.course = append(f.course[:0], f.course[extra:]...)
		}
	}
}

const (
	nameWidth  = 16
	valueWidth = 9
)

// render is the view in a window of this size: figures first, then as many of
// the last steps as there is room for.
func (v *view) render(columns, rows int, now time.Time) string {
	clock := " " + now.Sub(v.begun).Truncate(time.Second).String()
	lines := []string{v.paint("\x1b[1m", fit(v.title, columns-len(clock))) + clock, fit(v.phase, columns), ""}
	for i := range v.figures {
		lines = append(lines, v.line(&v.figures[i], columns))
	}
	var steps []string
	for _, s := range v.steps {
		for line := range strings.SplitSeq(strings.TrimSpace(s), "\n") {
			steps = append(steps, strings.TrimRight(fit(line, columns), " "))
		}
	}
	if room := rows - len(lines) - 1; room > 0 && len(steps) > 0 {
		lines = append(append(lines, ""), steps[max(0, len(steps)-room):]...)
	}
	return strings.Join(lines, "\n")
}

// colors are of the lines of charts, as a terminal has them: SGR parameters of
// ECMA-48.
var colors = map[string]string{"accent": "\x1b[34m", "load": "\x1b[35m", "drops": "\x1b[31m", "good": "\x1b[32m", "warn": "\x1b[33m"}

func (v *view) line(f *figure, columns int) string {
	value := "-"
	if n := len(f.course); n > 0 && !math.IsNaN(f.course[n-1]) {
		value = written(f.course[n-1], f.unit)
	}
	text := fit(f.name, nameWidth) + fmt.Sprintf("%*s  ", valueWidth, value)
	return text + v.paint(colors[f.color], sparkline(f.course, columns-nameWidth-valueWidth-2))
}

func (v *view) paint(sgr, text string) string {
	if !v.color || sgr == "" {
		return text
	}
	return sgr + text + "\x1b[0m"
}

// written is a value with its unit.
func written(x float64, unit page.Unit) string {
	switch unit {
	case page.Millis:
		return human.Duration(time.Duration(x * float64(time.Millisecond)))
	case page.Plain:
		return human.Number(x)
	}
	return human.Number(x) + " " + string(unit)
}

// fit makes a text as wide as it should be, with nothing that could steer the
// terminal.
func fit(text string, width int) string {
	runes := []rune(human.Text(text))
	width = max(0, width)
	if len(runes) > width {
		return string(runes[:width])
	}
	return string(runes) + strings.Repeat(" ", width-len(runes))
}

// sparkline draws the last values, up to the highest of them.
func sparkline(course []float64, width int) string {
	course = course[max(0, len(course)-max(0, width)):]
	peak := 0.0
	for _, x := range course {
		if x > peak { // NaN is not
			peak = x
		}
	}
	return human.Sparkline(course, peak)
}
