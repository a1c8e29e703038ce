package report

import (
	"embed"
	"encoding/json"
	"html/template"
	"io"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/capacity"
)

// assets holds the page, our style and script, and uPlot 1.6.32 (MIT) as its
// authors ship it.
//
//go:embed assets
var assets embed.FS

// page is what the template is given.
type page struct {
	*view
	CSS      template.CSS
	Script   template.JS
	Data     template.JS // of the charts; JSON, in which < is escaped
	Sections []section
	HasCurve bool
}

// section is a row's part of the page.
type section struct {
	Index  int
	Name   string
	Detail line
	Trials []trialLine
}

type trialLine struct {
	Phase, Target, Offered, Syscalls, Drops, Lost, P50, P99, P999, CPU, RSS, Verdict string
	Clean                                                                            bool
}

var pageTemplate = template.Must(template.New("page.html").ParseFS(assets, "assets/page.html"))

func writeHTML(w io.Writer, v *view, r *capacity.Result) error {
	drawn := chartsOf(r)
	data, err := json.Marshal(drawn)
	if err != nil {
		return err
	}
	p := page{view: v, Data: template.JS(data), HasCurve: len(drawn.Curve.CPU) > 1}
	for _, name := range []string{"uPlot.min.css", "page.css"} {
		p.CSS += template.CSS(asset(name)) + "\n"
	}
	for _, name := range []string{"uPlot.iife.min.js", "charts.js"} {
		p.Script += template.JS(asset(name)) + "\n"
	}
	for i := range r.Rows {
		p.Sections = append(p.Sections, sectionOf(i, &r.Rows[i], v.Details[i]))
	}
	return pageTemplate.Execute(w, p)
}

// asset returns an embedded file, which is there by construction.
func asset(name string) string {
	text, err := assets.ReadFile("assets/" + name)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func sectionOf(index int, row *capacity.Row, l line) section {
	name := row.Limit.String()
	if row.Sensor != "" {
		name = row.Sensor + ", " + name
	}
	s := section{Index: index, Name: name, Detail: l}
	for i := range row.Trials {
		s.Trials = append(s.Trials, trialOf(&row.Trials[i]))
	}
	return s
}

func trialOf(t *capacity.Trial) trialLine {
	l := trialLine{Phase: string(t.Phase), Target: short(t.Target), Offered: short(t.Verdict.Offered), Clean: t.Verdict.Clean,
		Drops: Percent(t.Verdict.DropShare), Lost: Percent(t.Verdict.LostShare), Syscalls: "–", CPU: "–", RSS: "–", Verdict: "clean"}
	if !t.Verdict.Clean {
		l.Verdict = strings.Join(t.Verdict.Reasons, "; ")
	} else if t.Verdict.Limited {
		l.Verdict = "clean, generator behind"
	}
	q := t.Round.Latency
	l.P50, l.P99, l.P999 = duration(q.P50), duration(q.P99), duration(q.P999)
	if s := t.Round.Sensor; s != nil {
		l.Syscalls = short(s.EventsMean)
	}
	if u := t.Round.Usage; u != nil {
		l.CPU, l.RSS = decimal(u.CPU), mebi(u.RSSPeak)
	}
	return l
}
