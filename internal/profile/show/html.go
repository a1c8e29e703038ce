package show

import (
	"embed"
	"fmt"
	"io"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/page"
	"github.com/peregrine-sec/peregrine/internal/profile"
)

//go:embed assets
var assets embed.FS

var template = page.Parse(assets, "assets/profile.html")

// HTML writes a page with the course of the load, and the output of Text.
func HTML(w io.Writer, p *profile.Profile) error {
	var text strings.Builder
	if err := Text(&text, p, Options{}); err != nil {
		return err
	}
	charts := courses(p)
	return template.Write(w, "Profile", charts, struct {
		Title, Text string
		Charts      []page.Chart
	}{fmt.Sprintf("%s syscalls/s", human.Number(p.Rate)), text.String(), charts})
}

// courses is one chart of the calls per second in each window, by strand.
func courses(p *profile.Profile) []page.Chart {
	n := p.Shape.Windows()
	if n == 0 {
		return nil
	}
	c := page.Chart{ID: "course", Wide: true, Height: 320, X: page.Axis{Label: "time, without what the shape leaves out", Unit: page.Seconds},
		Y: page.Axis{Label: "per second"}, Caption: "Syscalls in windows of 100 ms: of all groups, and of each on the host and in containers.",
		Label: "Course of the load; its bursts are in the figures below"}
	perSecond := profile.Window.Seconds()
	add := func(name, color string, dash []int) *page.Line {
		c.Lines = append(c.Lines, page.Line{Name: name, Color: color, Dash: dash})
		return &c.Lines[len(c.Lines)-1]
	}
	all := add("all", "accent", nil)
	for i, total := range p.Shape.Totals() {
		c.X.Values = append(c.X.Values, float64(i)*perSecond)
		all.Values = append(all.Values, total/perSecond)
	}
	colors := map[profile.Group]string{profile.File: "load", profile.Network: "good", profile.Process: "drops", profile.Memory: "warn", profile.Other: "soft"}
	for _, s := range p.Shape.Groups().Strands {
		name, dash := string(s.Group), []int(nil)
		if s.Container {
			name, dash = name+", containers", page.Dashed
		}
		line := add(name, colors[s.Group], dash)
		for _, count := range s.Counts {
			line.Values = append(line.Values, float64(count)/perSecond)
		}
	}
	return []page.Chart{c}
}
