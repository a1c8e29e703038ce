package report

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/peregrine-sec/peregrine/internal/bench/chart"
	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/page"
)

func decimal(x float64) string { return strconv.FormatFloat(x, 'f', 2, 64) }

// rowCharts draws the trials of a row.
func rowCharts(index int, row *capacity.Row) []page.Chart {
	var rounds []chart.Drawn
	for i := range row.Trials {
		t := &row.Trials[i]
		rounds = append(rounds, chart.Drawn{Round: &t.Round, Offered: t.Verdict.Offered, Loss: t.Verdict.Loss(), Clean: t.Verdict.Clean})
	}
	o := chart.Options{Suffix: fmt.Sprintf("-%d", index), CPU: row.Limit.CPU, Memory: float64(row.Limit.Memory), Latencies: compared(row)}
	if row.NDR.Lower > 0 {
		o.Marks = append(o.Marks, page.Mark{Name: "NDR", Color: "good", X: &row.NDR.Lower})
	}
	if row.PDR.Lower > row.NDR.Lower*1.01 {
		o.Marks = append(o.Marks, page.Mark{Name: "PDR", Color: "warn", X: &row.PDR.Lower})
	}
	return chart.Of(rounds, o)
}

// compared are the trials whose latencies tell most: the clean one that is the
// answer, the lowest that lost something, and the first, which had the least load.
func compared(row *capacity.Row) (list []chart.Named) {
	add := func(what string, t *capacity.Trial) {
		if t == nil || slices.ContainsFunc(list, func(n chart.Named) bool { return n.Round == &t.Round }) {
			return
		}
		list = append(list, chart.Named{Name: fmt.Sprintf("%s, %s/s", what, human.Number(t.Verdict.Offered)), Round: &t.Round})
	}
	add("clean", row.CleanTrial())
	add("lossy", row.FailedTrial())
	if len(row.Trials) > 0 {
		add("first", &row.Trials[0])
	}
	return list
}
