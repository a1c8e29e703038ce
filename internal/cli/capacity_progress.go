package cli

import (
	"fmt"
	"time"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/sweep"
)

// capacityStep says where a capacity run is: at a step, or in a round that is
// still under way.
func capacityStep(c sweep.Progress) (text string, done bool) {
	where := fmt.Sprintf("[%d/%d] %s", c.Row, c.Rows, c.Limit)
	if c.Sensor != "" {
		where += " " + c.Sensor
	}
	eta := c.Left.Round(10 * time.Second)
	switch {
	case c.Message != "":
		return fmt.Sprintf("%s  %s", where, c.Message), true
	case c.Done == nil:
		return fmt.Sprintf("%s  %-7s %9.0f/s for %v ...  about %v left", where, c.Phase, c.Target, c.Length, eta), false
	}
	return fmt.Sprintf("%s  %-7s %9.0f/s for %-4v %s  (about %v left)", where, c.Phase, c.Target, c.Length, describeTrial(c.Done), eta), true
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
