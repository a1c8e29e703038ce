package cli

import (
	"fmt"
	"time"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/sweep"
)

// capacityProgress tells people where a capacity run is.
type capacityProgress struct {
	lines *progress
}

func newCapacityProgress(env Env, quiet bool) *capacityProgress {
	return &capacityProgress{newProgress(env, quiet)}
}

// show writes a line for each round that is done, and on a terminal one that
// is overwritten for the round under way.
func (p *capacityProgress) show(c sweep.Progress) {
	where := fmt.Sprintf("[%d/%d] %s", c.Row, c.Rows, c.Limit)
	if c.Sensor != "" {
		where += " " + c.Sensor
	}
	eta := c.Left.Round(10 * time.Second)
	switch {
	case c.Message != "":
		p.lines.say("%s  %s", where, c.Message)
	case c.Done == nil:
		p.lines.overwrite(fmt.Sprintf("%s  %-7s %9.0f/s for %v ...  about %v left", where, c.Phase, c.Target, c.Length, eta))
	default:
		p.lines.say("%s  %-7s %9.0f/s for %-4v %s  (about %v left)", where, c.Phase, c.Target, c.Length, describeTrial(c.Done), eta)
	}
}

// describeTrial is a trial in a few words.
func describeTrial(t *capacity.Trial) string {
	text := "clean"
	switch {
	case !t.Verdict.Clean:
		text = t.Verdict.Reasons[0]
	case t.Verdict.Limited:
		text = fmt.Sprintf("clean, but the generator managed only %.0f/s", t.Verdict.Offered)
	}
	if s := t.Round.Sensor; s != nil && s.Plateau > 0 {
		text += fmt.Sprintf(", %.0f events/s", s.EventsMean)
	}
	if u := t.Round.Usage; u != nil {
		text += fmt.Sprintf(", %.2f CPU", u.CPU)
	}
	return text
}
