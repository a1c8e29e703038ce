package report

import (
	"math"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/sensorstats"
	"github.com/peregrine-sec/peregrine/test/support/pagetest"
)

func html(t *testing.T, r *Run) string {
	t.Helper()
	var b strings.Builder
	if err := r.Write(&b, "html"); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// drawable is example with all that charts are made of.
func drawable() *Run {
	r := example()
	for i := range r.Rounds {
		round := &r.Rounds[i]
		round.Start += int64(i) * 10e9
		round.End, round.DrainEnd = round.Start+5e9, round.Start+6e9
		for n := range int64(6) {
			round.Samples = append(round.Samples, sensorstats.Sample{Time: round.Start + n*1e9, Elapsed: 1e9, Delta: sensorstats.Counters{Events: uint64(1000 * (n + 1))}})
		}
		for n := range 60 {
			round.LatencyCurve = append(round.LatencyCurve, int64(500_000*(n+1)*(i+1)))
		}
	}
	return r
}

// All charts are drawn, in a browser without a network, and without an error.
func TestHTMLDraws(t *testing.T) {
	dom, console := pagetest.Browse(t, pagetest.File(t, html(t, drawable())), "--window-size=1000,900")
	if console != "" {
		t.Errorf("console: %s", console)
	}
	if n := strings.Count(dom, "<canvas"); n != 6 || strings.Contains(dom, `data-drawn="0"`) || strings.Contains(dom, `data-drawn="none"`) {
		t.Errorf("%d charts, or an empty one", n)
	}
	for _, want := range []string{"Bench of Falco 0.44.1", "1 of 2 rounds lost nothing, the fastest of them at 1000 actions/s. At 80K actions/s 1 % of the alerts did not come, and the probe dropped 76,543 events.",
		"round 2: the probe dropped 76543 events", "peregrine bench ReadSensitiveFileUntrusted --rate 1k,100k"} {
		if !strings.Contains(dom, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

// Only rounds that measured a sensor to their end have lost nothing; a flag that
// questions a round's figures makes the headline doubtful.
func TestHeadline(t *testing.T) {
	const (
		lossless = "1 of 1 rounds lost nothing, the fastest of them at 1000 actions/s."
		void     = "0 of 1 rounds lost nothing. Rounds without an action, or without a sensor to their end, which prove nothing: 1."
		lossy    = "0 of 1 rounds lost nothing. At 1000 actions/s 1 % of the alerts did not come."
	)
	clean := example().Rounds[0]
	for name, test := range map[string]struct {
		change   func(*bench.Round)
		want     string
		doubtful bool
	}{
		"clean":            {func(*bench.Round) {}, lossless, false},
		"short plateau":    {func(r *bench.Round) { r.Flags = []bench.Flag{bench.ShortPlateau} }, lossless, false},
		"all actions fail": {func(r *bench.Round) { r.Loss, r.Total = bench.Loss{}, bench.Score{Started: 5000, Failed: 5000} }, void, true},
		"only noise":       {func(r *bench.Round) { r.Loss, r.Total, r.Rate.NoiseOffered = bench.Loss{}, bench.Score{}, 5000 }, lossless, false},
		"noise unseen": {func(r *bench.Round) {
			r.Loss, r.Total, r.Rate.NoiseOffered, r.Sensor = bench.Loss{}, bench.Score{}, 5000, nil
		}, void, true},
		"sensor gone":       {func(r *bench.Round) { r.Flags = []bench.Flag{bench.SensorGone} }, void, true},
		"sensor restarted":  {func(r *bench.Round) { r.Flags = []bench.Flag{bench.SensorRestarted} }, void, true},
		"lost":              {func(r *bench.Round) { r.Loss.Lost, r.Loss.Share = 50, 0.01 }, lossy, false},
		"lost, sensor gone": {func(r *bench.Round) { r.Loss.Lost, r.Loss.Share, r.Flags = 50, 0.01, []bench.Flag{bench.SensorGone} }, lossy, true},
		"sample gap":        {func(r *bench.Round) { r.Flags = []bench.Flag{bench.SampleGap} }, lossless, true},
		"some fail":         {func(r *bench.Round) { r.Flags = []bench.Flag{bench.ActionsFailed} }, lossless, true},
		"host busy":         {func(r *bench.Round) { r.Flags = []bench.Flag{bench.ShortPlateau, bench.HostBusy} }, lossless, true},
		"clock step":        {func(r *bench.Round) { r.Flags = []bench.Flag{bench.ClockStep} }, lossless, true},
		"unreadable":        {func(r *bench.Round) { r.Flags = []bench.Flag{bench.Unreadable} }, lossless, true},
		"ambiguous":         {func(r *bench.Round) { r.Flags = []bench.Flag{bench.Ambiguous} }, lossless, true},
		"limited":           {func(r *bench.Round) { r.Flags = []bench.Flag{bench.GeneratorLimited} }, lossless, true},
		"partial":           {func(r *bench.Round) { r.Partial = true }, lossless, true},
	} {
		round := clean
		test.change(&round)
		r := &Run{Rounds: []bench.Round{round}}
		if text, doubtful := r.headline(); text != test.want || doubtful != test.doubtful {
			t.Errorf("%s: %q, doubtful %v; want %q, %v", name, text, doubtful, test.want, test.doubtful)
		}
		charts := r.charts()
		if loss := charts[1].Lines[0].Values[0]; math.IsNaN(loss) != (round.Loss.Of == 0) {
			t.Errorf("%s: loss %v in the chart", name, loss)
		}
		if green := charts[0].Spans[0].Good; green != (test.want == lossless) {
			t.Errorf("%s: green in the chart: %v", name, green)
		}
	}
}

// Text from the measured host stays text, and a run without rounds has a page
// too.
func TestHTMLHostile(t *testing.T) {
	r := drawable()
	pagetest.Hostile(t, r, func() string { return html(t, r) })
	if text := html(t, &Run{}); !strings.Contains(text, "Nothing was measured.") {
		t.Error("a run without rounds does not say so")
	}
}

// Of many rounds, the first, the last and some between are compared.
func TestHTMLCompared(t *testing.T) {
	r := &Run{}
	for n := range 11 {
		r.Rounds = append(r.Rounds, bench.Round{Number: n + 1, LatencyCurve: []int64{1}})
	}
	var numbers []int
	for _, c := range r.compared() {
		numbers = append(numbers, c.Number)
	}
	if len(numbers) != 4 || numbers[0] != 1 || numbers[1] != 4 || numbers[2] != 7 || numbers[3] != 11 {
		t.Errorf("rounds %v", numbers)
	}
}
