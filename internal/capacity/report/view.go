package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/sample"
)

// view is a result in words and rounded figures, the same for text, Markdown
// and HTML.
type view struct {
	Title     string
	Subtitle  string
	Headline  capacity.Headline
	Several   bool     // sensors
	Compared  []string // the sensors with each other, or a workload's headroom: a sentence for each limit
	Table     []line
	Details   []line
	Curves    []curve
	Costs     []string
	Recommend *recommendation
	Rules     []rule
	Facts     []fact // environment and method
	Notes     []string
	Command   string
}

// line is a limit with its cells.
type line struct {
	Sensor, CPU, Memory          string
	Syscalls, EPS, Operations    string
	Status, Short, Factor        string
	NDR, PDR, PreDrop, Host      string
	LossBound, Latency, Latency2 string
	CPUUsed, Throttled, RSS      string
	Evidence, Advice             string
	Noisy                        []string
}

// curve is a sensor's capacity by CPU.
type curve struct {
	Sensor string
	Points []point
	Knee   string
}

type point struct{ CPU, Rate, PerCPU, Gain string }

type fact struct{ Name, Value string }

type rule struct{ Name, Action, Share string }

type recommendation struct {
	Sentence string
	YAML     string // "" where it would not be enough
	Observed []fact
	Fleet    [][]string
	Notes    []string
}

// newView prepares a result for people.
func newView(r *capacity.Result) *view {
	v := &view{
		Title: "Capacity of " + names(r.Sensors), Headline: r.Findings.Headline, Several: len(r.Sensors) > 1,
		Subtitle: fmt.Sprintf("%s · %s · %d × %s · load: %s", r.Started.UTC().Format("2 January 2006 15:04 UTC"), r.Environment.Hostname,
			r.Environment.CPUs, cpuModel(r.Environment), r.Method.Load),
		Command: human.Command(r.Command),
	}
	for _, c := range r.Findings.Pairs {
		v.Compared = append(v.Compared, c.Sentence)
	}
	for _, h := range r.Findings.Headroom {
		v.Compared = append(v.Compared, h.Sentence)
	}
	for i := range r.Findings.Answers {
		v.Table = append(v.Table, answerLine(r, &r.Findings.Answers[i]))
	}
	for i := range r.Rows {
		v.Details = append(v.Details, rowLine(&r.Rows[i]))
	}
	for _, c := range r.Findings.Curves {
		v.Curves = append(v.Curves, curveOf(c))
	}
	for _, c := range r.Findings.Costs {
		if text := costOf(c); text != "" {
			v.Costs = append(v.Costs, text)
		}
	}
	v.Recommend = recommend(r.Recommendation)
	v.Rules = rules(r.Rows)
	v.Facts = facts(r)
	v.Notes = notes(r)
	return v
}

func names(sensors []capacity.Sensor) string {
	var all []string
	for _, s := range sensors {
		all = append(all, s.String())
	}
	if len(all) == 0 {
		return "nothing"
	}
	return strings.Join(all, " and ")
}

// answerLine is a line of the capacity table.
func answerLine(r *capacity.Result, a *capacity.Answer) line {
	l := rowLine(&r.Rows[a.Row])
	l.Syscalls, l.EPS, l.Operations = a.Claim(a.Events), a.Claim(a.Alerts), a.Claim(a.Operations)
	if s := a.Spread; s != nil {
		kind := fmt.Sprintf("%.0f %%", 100*s.Confidence)
		if s.Confidence < 0.95 {
			kind = "min–max"
		}
		l.Syscalls += fmt.Sprintf(" (%s–%s, %s of %d)", human.Number(s.Low), human.Number(s.High), kind, s.N)
	}
	if a.Carried != nil {
		l.Status = fmt.Sprintf("at least what %s CPU has carried", a.Carried.CPUString())
	}
	return l
}

// rowLine is a row with the figures of its clean trial.
func rowLine(row *capacity.Row) line {
	l := line{
		Sensor: row.Sensor, CPU: row.Limit.CPUString(), Memory: row.Limit.MemoryString(), Status: status(row), Short: shortStatus(row),
		Factor: string(row.Factor.Name), Syscalls: dash(row.Syscalls), EPS: dash(row.EPS), Operations: dash(row.NDR.Lower),
		NDR: bounds(row.NDR), PDR: bounds(row.PDR), PreDrop: dash(row.PreDrop), Host: host(row),
		LossBound: none, Latency: none, Latency2: none, CPUUsed: none, Throttled: none, RSS: mebi(row.PeakMemory()),
		Evidence: strings.TrimSuffix(row.Factor.Evidence, "."), Advice: row.Factor.Advice, Noisy: slices.Compact(slices.Clone(row.Noisy)),
	}
	t := row.CleanTrial()
	if t == nil {
		return l
	}
	if u := t.Round.Usage; u != nil {
		l.CPUUsed = fmt.Sprintf("%.2f", u.CPU)
	}
	if t.Limits.Periods > 0 {
		l.Throttled = fmt.Sprintf("%.0f %%", 100*float64(t.Limits.ThrottledPeriods)/float64(t.Limits.Periods))
	}
	if t.Round.Total.OK > 0 {
		q := t.Round.Latency
		l.LossBound = human.Share(sample.RuleOfThree(t.Round.Total.OK))
		l.Latency2 = fmt.Sprintf("%s / %s", duration(q.P50), duration(q.P99))
		l.Latency = fmt.Sprintf("%s / %s", l.Latency2, duration(q.P999))
	}
	return l
}

// host is our own count of syscalls, marked if it is an estimate.
func host(row *capacity.Row) string {
	if row.HostEstimated && row.Host > 0 {
		return "≈ " + human.Number(row.Host)
	}
	return dash(row.Host)
}

func shortStatus(row *capacity.Row) string {
	switch row.Status {
	case capacity.AtLeast:
		return "at least"
	case capacity.NoCapacity:
		return "lossy"
	}
	return string(row.Status)
}

func status(row *capacity.Row) string {
	switch row.Status {
	case capacity.Confirmed:
		return "confirmed"
	case capacity.AtLeast:
		if row.Factor.Name == capacity.FactorNone {
			return "at least: nothing was the limit yet"
		}
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

func bounds(b capacity.Bound) string {
	switch {
	case b.Lower == 0 && b.Upper == 0:
		return none
	case b.Upper == 0:
		return "≥ " + human.Number(b.Lower)
	case b.Lower == 0:
		return "< " + human.Number(b.Upper)
	}
	return human.Number(b.Lower) + " – " + human.Number(b.Upper)
}

// curveOf lists a curve's points. The gain of another CPU is shown between
// confirmed points only: a bound is not a value.
func curveOf(c capacity.Curve) curve {
	v := curve{Sensor: c.Sensor}
	var before *capacity.Point
	certain := 0
	for i, p := range c.Points {
		of := point{human.CPUs(p.CPU), "~ " + human.Number(p.Rate), none, none}
		switch {
		case p.Certain:
			certain++
			of.Rate, of.PerCPU = human.Number(p.Rate), human.Number(p.Rate/p.CPU)
			if before != nil {
				of.Gain = fmt.Sprintf("%+.0f %%", 100*(p.Rate/before.Rate-1))
			}
			before = &c.Points[i]
		case p.AtLeast:
			of.Rate = "≥ " + human.Number(p.Rate)
		}
		v.Points = append(v.Points, of)
	}
	switch {
	case c.Knee != nil:
		v.Knee = fmt.Sprintf("The knee is at %s CPU: beyond it a CPU brings less than half of what the first one brings.", human.CPUs(c.Knee.CPU))
	case certain > 1:
		v.Knee = "No knee within the limits that were confirmed."
	case len(c.Points) > 1:
		v.Knee = "Fewer than two limits are confirmed: what another CPU brings is not known."
	}
	if c.Sensor != "" && v.Knee != "" {
		v.Knee = c.Sensor + ": " + v.Knee
	}
	return v
}

// costOf formats the costs of an event and an alert.
func costOf(c capacity.Cost) string {
	var parts []string
	for _, of := range []struct {
		cost sample.Interval
		what string
	}{{c.PerMillionEvents, "CPU seconds a million sensor events"}, {c.PerThousandAlerts, "CPU seconds a thousand alerts"}} {
		if of.cost.N > 0 {
			parts = append(parts, fmt.Sprintf("%s %s (%s–%s, %d clean rounds)", human.Number(of.cost.Median), of.what, human.Number(of.cost.Low), human.Number(of.cost.High), of.cost.N))
		}
	}
	text := strings.Join(parts, "; ")
	if c.Sensor != "" && text != "" {
		text = c.Sensor + ": " + text
	}
	return text
}

func recommend(r *capacity.Recommendation) *recommendation {
	if r == nil {
		return nil
	}
	o := r.Observed
	v := &recommendation{
		Observed: []fact{{"source", o.Source}, {"samples", strconv.Itoa(o.Samples)}, {"nodes", strconv.Itoa(o.Nodes)},
			{"p50", human.Number(o.P50)}, {"p95", human.Number(o.P95)}, {"p99", human.Number(o.P99)}, {"maximum", human.Number(o.Max)}},
		Notes: r.Notes,
	}
	seen := fmt.Sprintf("nodes that see %s sensor events/s at the 95th percentile and %s at most", human.Number(o.P95), human.Number(o.Max))
	if r.OverCapacity {
		v.Sentence = fmt.Sprintf("No limit that was measured is enough for %s.", seen)
	} else {
		v.Sentence = fmt.Sprintf("For %s: request %s CPU and %s, limit %s CPU and %s. Headroom at the limit: %.1f times the observed maximum.",
			seen, human.Number(r.RequestCPU), mebi(uint64(r.RequestMemory)), human.Number(r.LimitCPU), mebi(uint64(r.LimitMemory)), r.Headroom)
		v.YAML = fmt.Sprintf("resources:\n  requests:\n    cpu: %s\n    memory: %dMi\n  limits:\n    cpu: %s\n    memory: %dMi\n",
			human.Millis(r.RequestCPU), r.RequestMemory>>20, human.Millis(r.LimitCPU), r.LimitMemory>>20)
	}
	for _, c := range r.Fleet {
		over := ""
		if c.OverCap {
			over = "over capacity"
		}
		v.Fleet = append(v.Fleet, []string{c.Name, strconv.Itoa(c.Nodes), human.Number(c.Max), human.Number(c.CPU), mebi(uint64(c.Memory)),
			fmt.Sprintf("%.1f", c.SumCPU), mebi(uint64(c.SumMem)), over})
	}
	return v
}

// rules lists the rules that the load has exercised, from the clean trials.
func rules(rows []capacity.Row) []rule {
	count, action, total := map[string]int{}, map[string]string{}, 0
	for i := range rows {
		if t := rows[i].CleanTrial(); t != nil {
			for _, a := range t.Round.Actions {
				count[a.Rule] += a.Score.Matched
				action[a.Rule] = a.Name
				total += a.Score.Matched
			}
		}
	}
	var list []rule
	for name, n := range count {
		if total > 0 {
			list = append(list, rule{name, action[name], human.Share(float64(n) / float64(total))})
		}
	}
	slices.SortFunc(list, func(a, b rule) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

func facts(r *capacity.Result) []fact {
	e := r.Environment
	var all []fact
	for _, s := range r.Sensors {
		of := ""
		if s.Variant != "" {
			of = s.Variant + ": "
		}
		all = append(all, fact{of + "Sensor", s.Name}, fact{of + "Sensor command", human.Command(s.Command)}, fact{of + "Rules", strings.Join(s.Rules, ", ")},
			fact{of + "Rules and configuration SHA-256", s.SHA256})
	}
	all = append(all, []fact{
		{"Actions", strings.Join(r.Method.Actions, ", ")}, {"Load", r.Method.Load.String()}, {"Search", r.Method.Plan.String()},
		{"Host", e.Hostname}, {"CPU", fmt.Sprintf("%d × %s", e.CPUs, cpuModel(e))}, {"Memory", mebi(uint64(e.Memory))},
		{"Kernel", strings.TrimSpace(e.Kernel + " " + e.Arch)}, {"Operating system", e.OS}, {"Virtualisation", e.Virtual}, {"CPU governor", e.Governor},
		{"Clock", e.Clock}, {"Cgroups", e.Cgroup}, {"Sensor's place", places(r)}, {"Load average before", fmt.Sprintf("%.2f", e.LoadBefore)},
		{"Idle before", idleBefore(e)}, {"Peregrine", e.Peregrine},
		{"Took", r.Ended.Sub(r.Started).Round(time.Second).String()},
	}...)
	return slices.DeleteFunc(all, func(f fact) bool { return f.Value == "" })
}

// idleBefore is "" if it was not measured.
func idleBefore(e capacity.Environment) string {
	if e.IdleBefore == nil {
		return ""
	}
	return e.Before()
}

// places says where the sensors were limited and which CPUs they had, limit by
// limit if that differs.
func places(r *capacity.Result) string {
	var order []string
	limits := map[string][]string{}
	for i := range r.Rows {
		row := &r.Rows[i]
		if row.Place == "" {
			continue
		}
		if limits[row.Place] == nil {
			order = append(order, row.Place)
		}
		limits[row.Place] = append(limits[row.Place], row.Limit.String())
	}
	if len(order) < 2 {
		return strings.Join(order, "")
	}
	for i, place := range order {
		order[i] += " (" + strings.Join(slices.Compact(limits[place]), "; ") + ")"
	}
	return strings.Join(order, "; ")
}

func notes(r *capacity.Result) []string {
	all := slices.Clone(r.Notes)
	all = append(all, r.Environment.Warnings...)
	if where := places(r); where != "" {
		all = append(all, "the sensor's place: "+where)
	}
	for i := range r.Rows {
		row := &r.Rows[i]
		where := row.Limit.String()
		if row.Sensor != "" {
			where = row.Sensor + " with " + where
		}
		for _, reason := range slices.Compact(slices.Clone(row.Noisy)) {
			all = append(all, fmt.Sprintf("%s: noisy: %s", where, reason))
		}
		switch {
		case row.Status != capacity.AtLeast:
		case row.Factor.Name == capacity.FactorNone:
			all = append(all, where+": ≥ means that nothing was the limit when the search ended: a lower bound, no capacity")
		default:
			all = append(all, fmt.Sprintf("%s: ≥ means that the %s, not the sensor, was the limit: a lower bound, no capacity", where, row.Factor.Name))
		}
	}
	return all
}
