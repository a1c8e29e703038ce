package diagnose

import (
	"fmt"
	"slices"
	"time"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/sample"
)

// Complete computes the findings of a result's rows, and stores them there.
func Complete(r *capacity.Result) {
	f := capacity.Findings{Answers: answers(r)}
	for _, s := range r.Sensors {
		f.Curves = append(f.Curves, CurveOf(s.Variant, r.Rows))
		f.Costs = append(f.Costs, costOf(s.Variant, r.Rows))
	}
	if f.Headroom = headrooms(r, f.Answers); f.Headroom == nil {
		f.Pairs = pairs(r, f.Answers)
	}
	r.Findings = f
	r.Findings.Headline = headline(r)
}

// pairs sets each sensor against the first, limit by limit.
func pairs(r *capacity.Result, answers []capacity.Answer) []capacity.Pair {
	if len(r.Sensors) < 2 {
		return nil
	}
	find := func(sensor string, l capacity.Limit) *capacity.Answer {
		i := slices.IndexFunc(answers, func(a capacity.Answer) bool { return a.Sensor == sensor && a.Limit == l })
		if i < 0 {
			return nil
		}
		return &answers[i]
	}
	var all []capacity.Pair
	for i := range answers {
		a := &answers[i]
		if a.Sensor != r.Sensors[0].Variant {
			continue
		}
		for _, other := range r.Sensors[1:] {
			if b := find(other.Variant, a.Limit); b != nil {
				all = append(all, pairOf(r, a, b))
			}
		}
	}
	return all
}

func pairOf(r *capacity.Result, a, b *capacity.Answer) capacity.Pair {
	if b.Operations > a.Operations {
		a, b = b, a
	}
	c := capacity.Pair{Limit: a.Limit, A: a.Sensor, B: b.Sensor}
	where := human.CPUs(a.Limit.CPU) + " CPU"
	switch {
	case b.Operations == 0 || b.Status != capacity.Confirmed || b.AtLeast:
		c.Sentence = fmt.Sprintf("At %s it cannot be told how %s and %s compare: %s has no confirmed row.", where, a.Sensor, b.Sensor, b.Sensor)
		return c
	case a.Status != capacity.Confirmed && !a.AtLeast:
		c.Sentence = fmt.Sprintf("At %s it cannot be told how %s and %s compare: %s has no confirmed row.", where, a.Sensor, b.Sensor, a.Sensor)
		return c
	}
	c.Times, c.AtLeast = a.Operations/b.Operations, a.AtLeast
	what, least := "operations", ""
	if r.Method.Load == capacity.AlertsOnly {
		what = "alerts"
	}
	if c.AtLeast {
		least = "at least "
	}
	if c.Times < 1.05 && !c.AtLeast {
		c.Sentence = fmt.Sprintf("At %s %s and %s take the same %s, within 5 %%.", where, a.Sensor, b.Sensor, what)
		return c
	}
	c.Sentence = fmt.Sprintf("At %s %s takes %s%s times the %s of %s.", where, a.Sensor, least, human.Number(roundTimes(c.Times)), what, b.Sensor)
	return c
}

// roundTimes keeps two digits.
func roundTimes(x float64) float64 {
	if x >= 10 {
		return float64(int(x + 0.5))
	}
	return float64(int(10*x+0.5)) / 10
}

// headline leads with a confirmed row: of one CPU, which most people run with,
// or else of the largest limit that has one.
func headline(r *capacity.Result) capacity.Headline {
	best := lead(r.Findings.Answers)
	if best == nil {
		return capacity.Headline{Text: "Nothing was measured."}
	}
	h := capacity.Headline{Confirmed: best.Status == capacity.Confirmed, Text: sentence(r, best)}
	for _, g := range r.Findings.Headroom {
		if g.Limit == best.Limit {
			h.Text = g.Sentence + " " + enough(r)
			break
		}
	}
	for _, c := range r.Findings.Pairs {
		if c.Limit == best.Limit {
			h.Text = c.Sentence + " " + h.Text
			break
		}
	}
	if r.Partial {
		h.Caveats = append(h.Caveats, "the run did not come to its end: the table is not complete")
	}
	if r.Method.Force {
		h.Caveats = append(h.Caveats, "measured with --force: a check that would have refused was passed over")
	}
	if e := r.Environment; e.Busy() {
		h.Caveats = append(h.Caveats, "the machine was busy before the run: "+e.Before())
	}
	for _, reason := range slices.Compact(slices.Clone(r.Rows[best.Row].Noisy)) {
		h.Caveats = append(h.Caveats, "this row is noisy: "+reason)
	}
	return h
}

func lead(answers []capacity.Answer) *capacity.Answer {
	var best *capacity.Answer
	rank := func(a *capacity.Answer) int {
		switch {
		case a.Status == capacity.Confirmed && a.Limit.CPU == 1:
			return 4
		case a.Status == capacity.Confirmed:
			return 3
		case a.AtLeast:
			return 2
		case a.Operations > 0:
			return 1
		}
		return 0
	}
	for i := range answers {
		// Of two that are worth the same, the larger limit.
		if a := &answers[i]; best == nil || rank(a) > rank(best) || rank(a) == rank(best) && a.Limit.CPU > best.Limit.CPU {
			best = a
		}
	}
	return best
}

// sentence says one limit's answer in words.
func sentence(r *capacity.Result, a *capacity.Answer) string {
	row := &r.Rows[a.Row]
	where := a.Limit.String()
	if a.Sensor != "" {
		where = a.Sensor + " with " + where
	}
	switch {
	case a.Operations == 0 && a.Status == capacity.Failed:
		return fmt.Sprintf("%s could not be measured: %s.", where, row.Error)
	case a.Operations == 0:
		return fmt.Sprintf("%s loses events at any rate that was tried; limiting factor: %s.", where, row.Factor.Name)
	}
	text := fmt.Sprintf("%s sustains %s sensor events/s", where, a.Claim(a.Events))
	if a.Alerts > 0 {
		text += fmt.Sprintf(" = %s alerts/s", a.Claim(a.Alerts))
	}
	text += " without a drop"
	if a.Carried != nil {
		return text + fmt.Sprintf(", as much as %s has carried.", a.Carried)
	}
	if t := row.CleanTrial(); t != nil && t.Round.Total.OK > 0 {
		text += fmt.Sprintf(" (95 %% upper bound of the loss %s)", human.Share(sample.RuleOfThree(t.Round.Total.OK)))
	}
	if failed := row.FailedTrial(); failed != nil {
		text += fmt.Sprintf("; the first trouble was at %s operations/s", human.Number(failed.Verdict.Offered))
	}
	return text + fmt.Sprintf("; limiting factor: %s.", row.Factor.Name)
}

// fewest is the number of events and alerts per second that a round needs for
// their cost: with fewer, the sensor's background work dominates.
const fewest = 1000

// costOf is the CPU time of a sensor's events and alerts in all clean rounds.
func costOf(sensor string, rows []capacity.Row) capacity.Cost {
	var events, alerts []float64
	for _, row := range rows {
		if row.Sensor != sensor {
			continue
		}
		for i := range row.Trials {
			t := &row.Trials[i]
			if !t.Verdict.Clean || t.Round.Usage == nil || t.Round.Usage.CPU <= 0 {
				continue
			}
			if s := t.Round.Sensor; s != nil && s.EventsMean >= fewest {
				events = append(events, t.Round.Usage.CPU/s.EventsMean*1e6)
			}
			seconds := time.Duration(t.Round.End - t.Round.Start).Seconds()
			if matched := float64(t.Round.Total.Matched); matched >= fewest*seconds && seconds > 0 {
				alerts = append(alerts, t.Round.Usage.CPU*seconds/matched*1e3)
			}
		}
	}
	return capacity.Cost{Sensor: sensor, PerMillionEvents: sample.MedianInterval(events), PerThousandAlerts: sample.MedianInterval(alerts)}
}
