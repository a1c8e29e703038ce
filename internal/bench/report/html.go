package report

import (
	"cmp"
	"embed"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/bench/chart"
	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/page"
)

//go:embed assets
var assets embed.FS

var template = page.Parse(assets, "assets/bench.html")

// content is the data of the template.
type content struct {
	Title, Subtitle string
	Headline        string
	Doubtful        bool
	Failed          []string // conditions
	Table           [][]string
	Charts          []page.Chart
	Rounds          []roundPart
	Notes           []string
	Facts           []fact
	Command         string
}

type fact struct{ Name, Value string }

type roundPart struct {
	Name   string
	Tables [][][]string
}

func (r *Run) html(w io.Writer) error {
	e := r.Host
	c := content{
		Title: "Bench of " + strings.TrimSpace(cmp.Or(r.Identity.Name, "a sensor")+" "+r.Identity.Version),
		Subtitle: fmt.Sprintf("%s · %s · %d × %s", r.Started.UTC().Format("2 January 2006 15:04 UTC"), e.Hostname, e.CPUs,
			cmp.Or(e.CPU, "unknown CPU")),
		Table: r.table(columns), Charts: r.charts(), Notes: r.notes(), Facts: r.facts(), Command: human.Command(r.Command),
	}
	c.Headline, c.Doubtful = r.headline()
	for _, o := range r.Conditions {
		switch {
		case o.Unknown:
			c.Failed = append(c.Failed, o.Condition+": no round can tell")
		case len(o.Rounds) > 0:
			c.Failed = append(c.Failed, fmt.Sprintf("%s in round %s", o.Condition, strings.Trim(fmt.Sprint(o.Rounds), "[]")))
		}
	}
	for i := range r.Rounds {
		c.Rounds = append(c.Rounds, roundPart{roundName(&r.Rounds[i]), actionTables(&r.Rounds[i])})
	}
	return template.Write(w, c.Title, c.Charts, c)
}

// lossless says whether no alert is missing and no event was dropped.
func lossless(r *bench.Round) bool {
	return r.Loss.Lost == 0 && (r.Sensor == nil || r.Sensor.Drops == 0)
}

// void says whether a round without a loss proves nothing: there was nothing to
// lose, or the sensor did not last.
func void(r *bench.Round) bool {
	noiseOnly := r.Total.Started == 0 && r.Rate.NoiseOffered > 0 && r.Sensor != nil
	return r.Loss.Of == 0 && !noiseOnly || r.Has(bench.SensorGone) || r.Has(bench.SensorRestarted)
}

// doubts are the flags that question whether a round has lost what it shows.
var doubts = []bench.Flag{bench.GeneratorLimited, bench.Ambiguous, bench.SensorGone, bench.SensorRestarted, bench.ActionsFailed,
	bench.SampleGap, bench.HostBusy, bench.ClockStep, bench.Unreadable, bench.Interrupted}

// headline is the first sentence, and whether it is doubtful.
func (r *Run) headline() (text string, doubtful bool) {
	if len(r.Rounds) == 0 {
		return "Nothing was measured.", true
	}
	var best, worst *bench.Round
	good, voids := 0, 0
	for i := range r.Rounds {
		round := &r.Rounds[i]
		switch {
		case !lossless(round):
			if worst == nil || round.Loss.Share > worst.Loss.Share {
				worst = round
			}
		case void(round):
			voids++
		default:
			good++
			if best == nil || round.Rate.Offered > best.Rate.Offered {
				best = round
			}
		}
		doubtful = doubtful || void(round) || round.Partial || slices.ContainsFunc(doubts, round.Has)
	}
	text = fmt.Sprintf("%d of %d rounds lost nothing", good, len(r.Rounds))
	if best != nil {
		text += fmt.Sprintf(", the fastest of them at %s actions/s", human.Number(best.Rate.Offered))
	}
	if worst != nil {
		text += fmt.Sprintf(". At %s actions/s %s of the alerts did not come", human.Number(worst.Rate.Offered), human.Share(worst.Loss.Share))
		if s := worst.Sensor; s != nil && s.Drops > 0 {
			text += fmt.Sprintf(", and the probe dropped %s events", human.Count(int64(s.Drops)))
		}
	}
	if voids > 0 {
		text += fmt.Sprintf(". Rounds without an action, or without a sensor to their end, which prove nothing: %d", voids)
	}
	return text + ".", doubtful || r.Partial
}

func (r *Run) charts() []page.Chart {
	var rounds []chart.Drawn
	for i := range r.Rounds {
		round := &r.Rounds[i]
		loss := round.Loss.Share
		if round.Loss.Of == 0 {
			loss = math.NaN() // no point in the chart: 0 would be a result
		}
		rounds = append(rounds, chart.Drawn{Round: round, Offered: round.Rate.Offered + round.Rate.NoiseOffered, Loss: loss, Clean: lossless(round) && !void(round)})
	}
	return chart.Of(rounds, chart.Options{Latencies: r.compared()})
}

// compared are the rounds whose latencies are drawn: evenly from the first to
// the last of those that have some, where there are too many to tell apart.
func (r *Run) compared() []chart.Named {
	var all, some []chart.Named
	for i := range r.Rounds {
		if round := &r.Rounds[i]; len(round.LatencyCurve) > 0 {
			all = append(all, chart.Named{Name: fmt.Sprintf("%s at %s/s", roundName(round), human.Number(round.Rate.Offered)), Round: round})
		}
	}
	n := min(len(all), chart.MostLatencies)
	for i := range n {
		some = append(some, all[i*(len(all)-1)/max(1, n-1)])
	}
	return some
}

// notes are those of the run, and the findings of its rounds.
func (r *Run) notes() []string {
	all := slices.Clone(r.Notes)
	if r.Partial {
		all = append(all, "interrupted: the results are partial")
	}
	for i := range r.Rounds {
		for _, f := range r.Rounds[i].Findings {
			all = append(all, fmt.Sprintf("%s: %s", roundName(&r.Rounds[i]), f.Text))
		}
	}
	return all
}

func (r *Run) facts() []fact {
	e := r.Host
	memory, ceiling, idle := "", "", ""
	if e.Memory > 0 {
		memory = human.Size(e.Memory)
	}
	if r.Ceiling != nil {
		ceiling = fmt.Sprintf("up to %s actions/s per worker without a sensor", human.Number(r.Ceiling.Rate))
	}
	if r.Preflight != nil {
		idle = human.Number(r.Preflight.Idle) + " events/s"
	}
	all := []fact{{"Sensor", r.Identity.String()}, {"Sensor command", human.Command(r.Sensor)}, {"Generator", ceiling},
		{"Idle", idle}, {"Host", e.Hostname}, {"CPU", fmt.Sprintf("%d × %s", e.CPUs, e.CPU)}, {"Memory", memory},
		{"Kernel", e.Kernel}, {"Load average before", fmt.Sprintf("%.2f", e.Load)}, {"Peregrine", r.Version},
		{"Took", r.Ended.Sub(r.Started).Round(time.Second).String()}}
	return slices.DeleteFunc(all, func(f fact) bool { return f.Value == "" })
}
