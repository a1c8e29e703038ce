package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/human"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/limit"
	"github.com/peregrine-sec/peregrine/internal/sample"
)

// view is a result in words and rounded figures, the same for text, Markdown
// and HTML.
type view struct {
	Title     string
	Subtitle  string
	Verdict   string   // one sentence
	Sentences []string // one for each limit
	Table     []line
	Details   []line
	Curve     []point
	Knee      string
	Recommend *recommendation
	Rules     []rule
	Facts     []fact // environment and method
	Notes     []string
	Command   string
	Partial   bool
}

// line is a limit with its cells.
type line struct {
	CPU, Memory, Syscalls, EPS string
	Status, Factor             string
	NDR, PDR, PreDrop, Host    string
	LossBound, Latency         string
	CPUUsed, Throttled, RSS    string
	Evidence, Advice           string
	Noisy                      []string
}

type point struct{ CPU, Rate, PerCPU, Gain string }

type fact struct{ Name, Value string }

type rule struct{ Name, Action, Share string }

type recommendation struct {
	Sentence string
	YAML     string
	Observed []fact
	Fleet    [][]string
	Notes    []string
}

// newView prepares a result for people.
func newView(r *capacity.Result) *view {
	v := &view{
		Title: "Capacity of " + r.Sensor.Name, Partial: r.Partial,
		Subtitle: fmt.Sprintf("%s · %s · %d × %s · load: %s", r.Started.UTC().Format("2 January 2006 15:04 UTC"), r.Environment.Hostname,
			r.Environment.CPUs, orUnknown(r.Environment.CPU), r.Method.Load),
		Command: human.Command(r.Command),
	}
	groups := group(r.Rows)
	for _, g := range groups {
		v.Table = append(v.Table, newLine(g))
		v.Sentences = append(v.Sentences, sentence(g))
	}
	for i := range r.Rows {
		v.Details = append(v.Details, newLine([]*capacity.Row{&r.Rows[i]}))
	}
	v.Verdict = verdict(r, groups)
	v.curve(r.Rows)
	v.Recommend = recommend(r.Recommendation)
	v.Rules = rules(r.Rows)
	v.Facts = facts(r)
	v.Notes = notes(r)
	return v
}

// group collects the repeats of each limit, smallest CPU first.
func group(rows []capacity.Row) [][]*capacity.Row {
	by := map[limit.Limit][]*capacity.Row{}
	var order []limit.Limit
	for i := range rows {
		l := rows[i].Limit
		if len(by[l]) == 0 {
			order = append(order, l)
		}
		by[l] = append(by[l], &rows[i])
	}
	slices.SortStableFunc(order, func(a, b limit.Limit) int {
		switch {
		case a.CPU < b.CPU || (a.CPU == b.CPU && a.Memory < b.Memory):
			return -1
		case a == b:
			return 0
		}
		return 1
	})
	groups := make([][]*capacity.Row, len(order))
	for i, l := range order {
		groups[i] = by[l]
	}
	return groups
}

// median picks the row in the middle by syscalls per second: a row that was
// measured stands for its limit, not an average of several.
func median(rows []*capacity.Row) *capacity.Row {
	sorted := slices.Clone(rows)
	slices.SortStableFunc(sorted, func(a, b *capacity.Row) int {
		if a.Syscalls < b.Syscalls {
			return -1
		}
		if a.Syscalls > b.Syscalls {
			return 1
		}
		return 0
	})
	return sorted[(len(sorted)-1)/2]
}

// details are a row's figures from its clean trial.
type details struct {
	p50, p99, p999 int64
	cpu, throttled float64
	rss            uint64
	alerts         int
}

func detailsOf(row *capacity.Row) details {
	var d details
	for i := range row.Trials {
		if u := row.Trials[i].Round.Usage; u != nil {
			d.rss = max(d.rss, u.RSSPeak)
		}
	}
	t := row.CleanTrial()
	if t == nil {
		return d
	}
	l := t.Round.Latency
	d.p50, d.p99, d.p999, d.alerts = l.P50, l.P99, l.P999, t.Round.Total.OK
	if u := t.Round.Usage; u != nil {
		d.cpu = u.CPU
	}
	if t.Limits.Periods > 0 {
		d.throttled = float64(t.Limits.ThrottledPeriods) / float64(t.Limits.Periods)
	}
	return d
}

func newLine(rows []*capacity.Row) line {
	row := median(rows)
	d := detailsOf(row)
	l := line{
		CPU: row.Limit.CPUString(), Memory: row.Limit.MemoryString(), Status: status(row), Factor: string(row.Factor.Name),
		Syscalls: claim(row, row.Syscalls), EPS: claim(row, row.EPS), NDR: bounds(row.NDR), PDR: bounds(row.PDR),
		PreDrop: dash(row.PreDrop), Host: host(row), LossBound: "–", Latency: "–",
		CPUUsed: fmt.Sprintf("%.2f", d.cpu), Throttled: fmt.Sprintf("%.0f %%", 100*d.throttled), RSS: mebi(d.rss),
		Evidence: row.Factor.Evidence, Advice: row.Factor.Advice, Noisy: slices.Compact(slices.Clone(row.Noisy)),
	}
	if d.alerts > 0 {
		l.LossBound = Percent(sample.RuleOfThree(d.alerts))
		l.Latency = fmt.Sprintf("%s / %s / %s", duration(d.p50), duration(d.p99), duration(d.p999))
	}
	if len(rows) > 1 {
		l.Syscalls += " " + spread(rows)
	}
	return l
}

// host is our own count of syscalls, with what it is worth.
func host(row *capacity.Row) string {
	if row.HostEstimated && row.Host > 0 {
		return "≈ " + short(row.Host)
	}
	return dash(row.Host)
}

// spread is the range of a limit's repeats, with the confidence it has.
func spread(rows []*capacity.Row) string {
	var xs []float64
	for _, row := range rows {
		if row.Syscalls > 0 {
			xs = append(xs, row.Syscalls)
		}
	}
	if len(xs) < 2 {
		return ""
	}
	i := sample.MedianInterval(xs)
	kind := fmt.Sprintf("%.0f %%", 100*i.Confidence)
	if i.Confidence < 0.95 {
		kind = "min–max"
	}
	return fmt.Sprintf("(%s–%s, %s of %d)", short(i.Low), short(i.High), kind, i.N)
}

func status(row *capacity.Row) string {
	switch row.Status {
	case capacity.Confirmed:
		return "confirmed"
	case capacity.AtLeast:
		return "at least: limited by the " + string(row.Factor.Name)
	case capacity.Unconfirmed, capacity.NoCapacity:
		switch {
		case row.Error != "":
			return "unconfirmed: cut short"
		case row.Status == capacity.Unconfirmed:
			return "unconfirmed: out of time"
		}
		return "lossy at any rate"
	}
	first, _, _ := strings.Cut(row.Error, "\n")
	return "failed: " + first
}

// claim is a figure of the table: rounded down, with >= where the generator
// was the limit.
func claim(row *capacity.Row, x float64) string {
	switch {
	case row.Status == capacity.Failed || row.Status == capacity.NoCapacity || x == 0:
		return "–"
	case row.Status == capacity.AtLeast:
		return "≥ " + short(capacity.RoundDown(x))
	case row.Status == capacity.Unconfirmed:
		return "~ " + short(capacity.RoundDown(x))
	}
	return short(capacity.RoundDown(x))
}

func bounds(b capacity.Bound) string {
	switch {
	case b.Lower == 0 && b.Upper == 0:
		return "–"
	case b.Upper == 0:
		return "≥ " + short(b.Lower)
	case b.Lower == 0:
		return "< " + short(b.Upper)
	}
	return short(b.Lower) + " – " + short(b.Upper)
}

// sentence says one limit's answer in words.
func sentence(rows []*capacity.Row) string {
	row := median(rows)
	where := row.Limit.String()
	switch row.Status {
	case capacity.Failed:
		return fmt.Sprintf("%s could not be measured: %s.", where, row.Error)
	case capacity.NoCapacity:
		return fmt.Sprintf("%s loses events at any rate that was tried; limiting factor: %s.", where, row.Factor.Name)
	}
	text := fmt.Sprintf("%s sustains %s syscalls/s", where, claim(row, row.Syscalls))
	if row.EPS > 0 {
		text += fmt.Sprintf(" = %s alerts/s", claim(row, row.EPS))
	}
	text += " without a drop"
	if d := detailsOf(row); d.alerts > 0 {
		text += fmt.Sprintf(" (95 %% upper bound of the loss %s)", Percent(sample.RuleOfThree(d.alerts)))
	}
	if failed := row.FailedTrial(); failed != nil {
		text += fmt.Sprintf("; the first trouble was at %s operations/s", short(failed.Verdict.Offered))
	}
	return text + fmt.Sprintf("; limiting factor: %s.", row.Factor.Name)
}

// verdict is the sentence of the limit that most people run with: one CPU, or
// the largest that was measured.
func verdict(r *capacity.Result, groups [][]*capacity.Row) string {
	if len(groups) == 0 {
		return "Nothing was measured."
	}
	best := groups[len(groups)-1]
	for _, g := range groups {
		if g[0].Limit.CPU == 1 && g[0].Syscalls > 0 {
			best = g
		}
	}
	text := sentence(best)
	if r.Partial {
		text += " The run did not come to its end: the table is not complete."
	}
	return text
}

func (v *view) curve(rows []capacity.Row) {
	curve := capacity.CurveOf(rows)
	before := capacity.Point{}
	for i, p := range curve {
		gain := "–"
		if i > 0 {
			gain = fmt.Sprintf("%+.0f %%", 100*(p.Rate/before.Rate-1))
		}
		rate := short(p.Rate)
		switch {
		case p.AtLeast:
			rate = "≥ " + rate
		case !p.Certain:
			rate = "~ " + rate
		}
		v.Curve = append(v.Curve, point{limit.Limit{CPU: p.CPU}.CPUString(), rate, short(p.Rate / p.CPU), gain})
		before = p
	}
	switch knee, ok := curve.Knee(); {
	case ok:
		v.Knee = fmt.Sprintf("The knee is at %s CPU: beyond it a CPU brings less than half of what the first one brings.", limit.Limit{CPU: knee.CPU}.CPUString())
	case len(curve) > 1:
		v.Knee = "No knee within the limits that were measured, or none that is certain."
	}
}

func recommend(r *capacity.Recommendation) *recommendation {
	if r == nil {
		return nil
	}
	o := r.Observed
	v := &recommendation{
		Sentence: fmt.Sprintf("For nodes that see %s syscalls/s at the 95th percentile and %s at most: request %s CPU and %s, limit %s CPU and %s. Headroom at the limit: %.1f times the observed maximum.",
			short(o.P95), short(o.Max), cpu(r.RequestCPU), mebi(uint64(r.RequestMemory)), cpu(r.LimitCPU), mebi(uint64(r.LimitMemory)), r.Headroom),
		YAML: fmt.Sprintf("resources:\n  requests:\n    cpu: %s\n    memory: %dMi\n  limits:\n    cpu: %s\n    memory: %dMi\n",
			milli(r.RequestCPU), r.RequestMemory>>20, milli(r.LimitCPU), r.LimitMemory>>20),
		Observed: []fact{{"source", o.Source}, {"samples", strconv.Itoa(o.Samples)}, {"nodes", strconv.Itoa(o.Nodes)},
			{"p50", short(o.P50)}, {"p95", short(o.P95)}, {"p99", short(o.P99)}, {"maximum", short(o.Max)}},
		Notes: r.Notes,
	}
	for _, c := range r.Fleet {
		over := ""
		if c.OverCap {
			over = "over capacity"
		}
		v.Fleet = append(v.Fleet, []string{c.Name, strconv.Itoa(c.Nodes), short(c.Max), cpu(c.CPU), mebi(uint64(c.Memory)),
			fmt.Sprintf("%.1f", c.SumCPU), fmt.Sprintf("%.1f GiB", float64(c.SumMem)/(1<<30)), over})
	}
	return v
}

// rules lists what the load has exercised, from the clean trials.
func rules(rows []capacity.Row) []rule {
	count, action, total := map[string]int{}, map[string]string{}, 0
	for i := range rows {
		if t := rows[i].CleanTrial(); t != nil {
			for _, a := range t.Round.Actions {
				count[a.Rule] += a.Counts.Matched
				action[a.Rule] = a.Name
				total += a.Counts.Matched
			}
		}
	}
	var list []rule
	for name, n := range count {
		if total > 0 {
			list = append(list, rule{name, action[name], Percent(float64(n) / float64(total))})
		}
	}
	slices.SortFunc(list, func(a, b rule) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func facts(r *capacity.Result) []fact {
	e := r.Environment
	all := []fact{
		{"Sensor", r.Sensor.Name}, {"Sensor command", human.Command(r.Sensor.Command)}, {"Rules", strings.Join(r.Sensor.Rules, ", ")},
		{"Rules and configuration SHA-256", r.Sensor.SHA256},
		{"Actions", strings.Join(r.Method.Actions, ", ")}, {"Load", r.Method.Load.String()}, {"Search", r.Method.Plan.String()},
		{"Host", e.Hostname}, {"CPU", fmt.Sprintf("%d × %s", e.CPUs, orUnknown(e.CPU))}, {"Memory", mebi(uint64(e.Memory))},
		{"Kernel", strings.TrimSpace(e.Kernel + " " + e.Arch)}, {"Operating system", e.OS}, {"Virtualisation", e.Virtual}, {"CPU governor", e.Governor},
		{"Clock", e.Clock}, {"Cgroups", e.Cgroup}, {"Load average before", fmt.Sprintf("%.2f", e.LoadBefore)}, {"Peregrine", e.Peregrine},
		{"Took", r.Ended.Sub(r.Started).Round(time.Second).String()},
	}
	return slices.DeleteFunc(all, func(f fact) bool { return f.Value == "" })
}

func notes(r *capacity.Result) []string {
	all := slices.Clone(r.Notes)
	all = append(all, r.Environment.Warnings...)
	for i := range r.Rows {
		row := &r.Rows[i]
		for _, reason := range slices.Compact(slices.Clone(row.Noisy)) {
			all = append(all, fmt.Sprintf("%s: noisy: %s", row.Limit, reason))
		}
		if row.Status == capacity.AtLeast {
			all = append(all, fmt.Sprintf("%s: ≥ means that the %s, not the sensor, was the limit: a lower bound, no capacity", row.Limit, row.Factor.Name))
		}
	}
	return all
}
