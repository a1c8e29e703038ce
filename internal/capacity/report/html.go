package report

import (
	"embed"
	"io"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/page"
)

//go:embed assets
var assets embed.FS

var template = page.Parse(assets, "assets/capacity.html")

// content is the data of the template.
type content struct {
	*view
	Curve    []page.Chart // one, or none
	Sections []section
}

// section is a row's part of the page.
type section struct {
	Index  int
	Name   string
	Detail line
	Trials []trialLine
	Charts []page.Chart
}

type trialLine struct {
	Phase, Target, Offered, Syscalls, Drops, Lost, P50, P99, P999, CPU, RSS, Verdict string
	Clean                                                                            bool
}

func writeHTML(w io.Writer, v *view, r *capacity.Result) error {
	c := content{view: v}
	var charts []page.Chart
	if curve := curveChart(r); !curve.Empty() {
		c.Curve = []page.Chart{curve}
		charts = append(charts, curve)
	}
	for i := range r.Rows {
		s := sectionOf(i, &r.Rows[i], v.Details[i])
		c.Sections = append(c.Sections, s)
		charts = append(charts, s.Charts...)
	}
	return template.Write(w, v.Title, charts, c)
}

func sectionOf(index int, row *capacity.Row, l line) section {
	name := row.Limit.String()
	if row.Sensor != "" {
		name = row.Sensor + ", " + name
	}
	s := section{Index: index, Name: name, Detail: l, Charts: rowCharts(index, row)}
	for i := range row.Trials {
		s.Trials = append(s.Trials, trialOf(&row.Trials[i]))
	}
	return s
}

func trialOf(t *capacity.Trial) trialLine {
	l := trialLine{Phase: string(t.Phase), Target: human.Number(t.Target), Offered: human.Number(t.Verdict.Offered), Clean: t.Verdict.Clean,
		Drops: human.Share(t.Verdict.DropShare), Lost: human.Share(t.Verdict.LostShare), Syscalls: "–", CPU: "–", RSS: "–", Verdict: "clean"}
	if !t.Verdict.Clean {
		l.Verdict = strings.Join(t.Verdict.Reasons, "; ")
	} else if t.Verdict.Limited {
		l.Verdict = "clean, generator behind"
	}
	q := t.Round.Latency
	l.P50, l.P99, l.P999 = duration(q.P50), duration(q.P99), duration(q.P999)
	if s := t.Round.Sensor; s != nil {
		l.Syscalls = human.Number(s.EventsMean)
	}
	if u := t.Round.Usage; u != nil {
		l.CPU, l.RSS = decimal(u.CPU), mebi(u.RSSPeak)
	}
	return l
}
