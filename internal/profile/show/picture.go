package show

import (
	"fmt"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/profile"
)

// width is that of a picture: with its label, it fits 80 columns.
const width = 56

// picture draws the course of the load: a line for all syscalls and one for
// each group, each as high as its own peak, which is written beside it. A
// column is the highest of its windows.
func picture(b *strings.Builder, p *profile.Profile) {
	n := p.Shape.Windows()
	if n == 0 {
		return
	}
	fmt.Fprintf(b, "\n%.1f s in windows of 100 ms, up to the peak of each line\n", float64(n)*profile.Window.Seconds())
	totals := p.Shape.Totals()
	row(b, "all", totals)
	strands := p.Shape.Groups().Strands
	if len(strands) < 2 {
		return
	}
	for _, s := range strands {
		name := string(s.Group)
		if s.Container {
			name += ", c."
		}
		counts := make([]float64, len(s.Counts))
		for i, c := range s.Counts {
			counts[i] = float64(c)
		}
		row(b, name, counts)
	}
}

func row(b *strings.Builder, name string, counts []float64) {
	line, peak := sparkline(counts)
	fmt.Fprintf(b, "%-11s %s %s/s\n", name, line, human.Number(peak/profile.Window.Seconds()))
}

// sparkline draws at most width columns; any count but zero is visible.
func sparkline(counts []float64) (line string, peak float64) {
	columns := make([]float64, min(width, len(counts)))
	for i, n := range counts {
		at := i * len(columns) / len(counts)
		columns[at] = max(columns[at], n)
		peak = max(peak, n)
	}
	return human.Sparkline(columns, peak), peak
}
