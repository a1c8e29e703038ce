package bench

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/bench/intake"
	"github.com/peregrine-sec/peregrine/internal/bench/match"
	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/internal/sensorstats"
	"github.com/peregrine-sec/peregrine/test/support/benchtest"
)

const roundLength = 5 * time.Second

func TestCleanRound(t *testing.T) {
	f := benchtest.New()
	s := open(t, f)
	r, err := s.Run(t.Context(), Load{Rate: 3000, Duration: roundLength, Label: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if r.Schema != RoundSchema || r.Number != 1 || r.Label != "x" || len(r.Actions) != 3 {
		t.Errorf("round %+v", r)
	}
	want := Score{Started: 15000, OK: 15000, Matched: 15000}
	if diff := cmp.Diff(want, r.Total); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Loss{Of: 15000, Upper: 3.0 / 15000}, r.Loss); diff != "" {
		t.Error(diff)
	}
	if r.Rate.Offered != 3000 || r.Rate.Completed != 3000 {
		t.Errorf("rate %+v", r.Rate)
	}
	for _, q := range []match.Quantiles{r.Latency, r.Actions[0].Latency, r.Response} {
		if q.P50 < 990_000 || q.Max > 1_100_000 || q.Count == 0 {
			t.Errorf("latency %+v, want 1 ms", q)
		}
	}
	if r.Actions[1].CostMean != 20_000 {
		t.Errorf("cost %v, want 20 us", r.Actions[1].CostMean)
	}
	// The first sample straddles the start; the second settles; 3 remain, as
	// the sixth straddles the end.
	if p := r.Sensor; p.Plateau != 3 || p.EventsMean != 30100 || p.EventsSD != 0 || p.Drops != 0 {
		t.Errorf("sensor %+v", p)
	}
	if !r.Queue.Stable || len(r.Flags) > 0 && !r.Has(HostBusy) {
		t.Errorf("queue %+v, flags %v", r.Queue, r.Flags)
	}
}

// TestFaultsAreToldApart injects every fault at once.
func TestFaultsAreToldApart(t *testing.T) {
	f := benchtest.New()
	f.Act = func(n int, in *generator.Instance) {
		switch n % 100 {
		case 1:
			in.Errno = 28 // ENOSPC
		case 2:
			in.Skipped = true
		}
	}
	f.React = func(n int, rule string, in generator.Instance) []intake.Alert {
		a := benchtest.AlertOf(rule, in)
		switch n % 100 {
		case 10: // lost
			return nil
		case 20: // duplicated
			return []intake.Alert{a, a}
		case 30: // another process's
			other := a
			other.TID = 1234
			return []intake.Alert{a, other}
		case 40: // another rule's
			other := a
			other.Rule = "Something else"
			return []intake.Alert{other, a}
		case 50: // late
			a.Received += int64(time.Hour)
		case 60: // the sensor's own
			return []intake.Alert{a, {Source: "internal", Rule: "Falco internal: syscall event drop", Time: a.Time}}
		}
		return []intake.Alert{a}
	}
	f.Drops = func(second int) uint64 {
		if second == 4 || second == 6 { // the latter is in the rest
			return 500
		}
		return 0
	}
	s := open(t, f)
	r, err := s.Run(t.Context(), Load{Rate: 2000, Duration: roundLength})
	if err != nil {
		t.Fatal(err)
	}
	want := Score{Started: 10000, OK: 9800, Failed: 100, Skipped: 100, Matched: 9600, Late: 100, Lost: 100, Duplicate: 100, Repeated: 100}
	if diff := cmp.Diff(want, r.Total); diff != "" {
		t.Error(diff)
	}
	wantAlerts := AlertCounts{Received: 10000, Matched: 9700, Duplicate: 100, Foreign: 100, Other: 100}
	if diff := cmp.Diff(wantAlerts, r.Alerts); diff != "" {
		t.Error(diff)
	}
	if r.Loss.Share != 100.0/9800 || r.Loss.Lower <= 0 || r.Loss.Upper <= r.Loss.Share {
		t.Errorf("loss %+v", r.Loss)
	}
	p := r.Sensor
	if p.Drops != 1000 || p.ByCause.Buffer != 1000 || p.PreDropMean != 20100 || !p.Detailed {
		t.Errorf("sensor %+v: want the drops of load and rest", p)
	}
	for _, flag := range []Flag{ActionsFailed, DirtyBackground} {
		if !r.Has(flag) {
			t.Errorf("flags %v, want %s", r.Flags, flag)
		}
	}
	sum := 0
	for _, a := range r.Actions {
		sum += int(a.Errnos["ENOSPC"])
	}
	if sum != 100 {
		t.Errorf("%d errors named ENOSPC, want 100", sum)
	}
}

// TestLateAlertsAmendTheirRound: alerts that come in the next round belong to
// the one that caused them, and hide no loss of the next.
func TestLateAlertsAmendTheirRound(t *testing.T) {
	f := benchtest.New()
	var held []intake.Alert
	f.React = func(n int, rule string, in generator.Instance) []intake.Alert {
		a := benchtest.AlertOf(rule, in)
		if n%10 == 0 {
			held = append(held, a)
			return nil
		}
		return []intake.Alert{a}
	}
	s := open(t, f)
	first, err := s.Run(t.Context(), Load{Rate: 1000, Duration: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if first.Total.Lost != 100 {
		t.Fatalf("lost %d, want 100", first.Total.Lost)
	}
	f.Send(held...)
	held = nil
	f.Delivered()
	second, err := s.Run(t.Context(), Load{Rate: 1000, Duration: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if second.Total.Lost != 100 || second.Alerts.Earlier != 100 || second.Total.Duplicate != 0 || second.Alerts.Foreign != 0 {
		t.Errorf("second: %+v, %+v", second.Total, second.Alerts)
	}
	if !s.Amend(&first) || first.Total.Lost != 0 || first.Total.Late != 100 || first.Loss.Lost != 0 {
		t.Errorf("first, amended: %+v", first.Total)
	}
}

// TestOtherHosts: a sensor that reports a whole cluster has alerts of the same
// rule, time and thread from other hosts.
func TestOtherHosts(t *testing.T) {
	f := benchtest.New()
	f.React = func(n int, rule string, in generator.Instance) []intake.Alert {
		a := benchtest.AlertOf(rule, in)
		a.Hostname = "here"
		other := a
		other.Hostname = "there"
		if n%10 == 0 {
			return []intake.Alert{other}
		}
		return []intake.Alert{other, a}
	}
	s := open(t, f)
	s.hostname = "here"
	r, err := s.Run(t.Context(), Load{Rate: 1000, Duration: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if r.Total.Lost != 100 || r.Alerts.Foreign != 1000 || r.Total.Duplicate != 0 {
		t.Errorf("%+v, %+v", r.Total, r.Alerts)
	}
}

func TestGeneratorLimited(t *testing.T) {
	f := benchtest.New()
	f.Ceiling = 900
	r, err := open(t, f).Run(t.Context(), Load{Rate: 1000, Duration: roundLength})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Has(GeneratorLimited) || r.Rate.Offered != 900 || r.Loss.Share != 0 {
		t.Errorf("flags %v, rate %+v", r.Flags, r.Rate)
	}
}

func TestQueueThatGrows(t *testing.T) {
	f := benchtest.New()
	f.React = func(n int, rule string, in generator.Instance) []intake.Alert {
		a := benchtest.AlertOf(rule, in)
		a.Received += int64(n) * 100_000 // the n-th waits 0.1 ms longer
		return []intake.Alert{a}
	}
	r, err := open(t, f).Run(t.Context(), Load{Rate: 1000, Duration: roundLength})
	if err != nil {
		t.Fatal(err)
	}
	if r.Queue.Stable || r.Queue.LastP99 < 450_000_000 || r.Queue.FirstP99 > 180_000_000 {
		t.Errorf("queue %+v, want it to grow", r.Queue)
	}
}

// A hiccup in the last third, after which nothing waits, is no queue that grows.
func TestQueueThatEmpties(t *testing.T) {
	f := benchtest.New()
	f.React = func(n int, rule string, in generator.Instance) []intake.Alert {
		a := benchtest.AlertOf(rule, in)
		if n >= 4000 && n < 4100 {
			a.Received += int64(300 * time.Millisecond)
		}
		return []intake.Alert{a}
	}
	r, err := open(t, f).Run(t.Context(), Load{Rate: 1000, Duration: roundLength})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Queue.Stable || r.Queue.LastP99 < 290_000_000 {
		t.Errorf("queue %+v", r.Queue)
	}
}

func TestIdleAndNoiseRounds(t *testing.T) {
	f := benchtest.New()
	s := open(t, f)
	idle, err := s.Run(t.Context(), Load{Duration: time.Millisecond})
	if err != nil || idle.Total.Started != 0 || len(f.Started) != 0 {
		t.Errorf("idle round: %+v, %v", idle.Total, err)
	}
	r, err := s.Run(t.Context(), Load{Rate: 100, Noise: 4000, Duration: roundLength})
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(r.Rate.NoiseOffered-4000) > 40 || r.Total.Lost != 0 {
		t.Errorf("rate %+v, total %+v", r.Rate, r.Total)
	}
	for _, o := range f.Started {
		if o.Discard && o.Rate != generator.Noise(4000).Rate {
			t.Errorf("noise at %v actions per second, want %v", o.Rate, generator.Noise(4000).Rate)
		}
	}
}

func TestInterruptedRoundIsPartial(t *testing.T) {
	f := benchtest.New()
	ctx, cancel := context.WithCancel(t.Context())
	f.Act = func(n int, _ *generator.Instance) {
		if n == 10 {
			cancel()
		}
	}
	r, err := open(t, f).Run(ctx, Load{Rate: 100, Duration: time.Second})
	if !errors.Is(err, context.Canceled) || !r.Partial || !r.Has(Interrupted) || r.Total.Matched != 100 {
		t.Errorf("%v, %+v", err, r.Total)
	}
}

// TestAbort: an aborted round does not wait for missing alerts.
func TestAbort(t *testing.T) {
	f := benchtest.New()
	f.React = func(int, string, generator.Instance) []intake.Alert { return nil }
	abort := make(chan struct{})
	close(abort)
	s := open(t, f, func(o *Options) { o.Abort, o.Drain = abort, 48*time.Hour })
	r, err := s.Run(t.Context(), Load{Rate: 100, Duration: time.Second})
	if err != nil || r.Total.Lost != 100 || f.Started[0].Abort == nil {
		t.Errorf("%v, %+v", err, r.Total)
	}
}

func TestSensorEnds(t *testing.T) {
	f := benchtest.New()
	f.Act = func(n int, _ *generator.Instance) {
		if n == 10 {
			f.Exit()
		}
	}
	f.React = func(int, string, generator.Instance) []intake.Alert { return nil }
	r, err := open(t, f).Run(t.Context(), Load{Rate: 100, Duration: time.Second})
	if err != nil || !r.Has(SensorGone) || r.Total.Lost != 100 {
		t.Errorf("%v, flags %v, %+v", err, r.Flags, r.Total)
	}
}

func TestRoundJSON(t *testing.T) {
	r, err := open(t, benchtest.New()).Run(t.Context(), Load{Rate: 100, Duration: roundLength})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back Round
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, back); diff != "" {
		t.Error(diff)
	}
}

func TestLoss(t *testing.T) {
	for _, tt := range []struct {
		lost, n             int
		share, lower, upper float64
	}{
		{0, 0, 0, 0, 1},
		{0, 43371, 0, 0, 0.0000692},
		{0, 2, 0, 0, 1},
		{1, 10, 0.1, 0.0178762, 0.4041500}, // Wilson's interval as tables have it
		{50, 100, 0.5, 0.4038315, 0.5961685},
		{10, 10, 1, 0.7224672, 1},
	} {
		l := newLoss(tt.lost, tt.n)
		if math.Abs(l.Share-tt.share) > 1e-6 || math.Abs(l.Lower-tt.lower) > 1e-6 || math.Abs(l.Upper-tt.upper) > 1e-6 {
			t.Errorf("newLoss(%d, %d) = %+v, want %v in %v to %v", tt.lost, tt.n, l, tt.share, tt.lower, tt.upper)
		}
	}
}

// TestSensorStatsOfTheMethod takes the figures of the method document's
// failing round: 1 s samples, of which the first and last straddle the edges.
func TestSensorStatsOfTheMethod(t *testing.T) {
	second := int64(time.Second)
	figures := []struct{ events, drops uint64 }{{10700, 0}, {97051, 0}, {372718, 0}, {373038, 0}, {350059, 0}, {364580, 0},
		{350437, 15983}, {177280, 28509}, {11084, 0}, {10808, 0}}
	var samples []sensorstats.Sample
	for i, f := range figures {
		samples = append(samples, sensorstats.Sample{Number: uint64(2961 + i), Time: int64(i) * second, Elapsed: second,
			Delta: sensorstats.Counters{Events: f.events, Drops: f.drops}})
	}
	// The burst began 0.7 s into the second sample and lasted 6 s.
	start, end := second*7/10, second*67/10
	s := newSensorStats(&samples[0], within(samples, start, 9*second), start, end)
	if s.Plateau != 4 || s.PreDropMean != (373038+350059+364580)/3.0 {
		t.Errorf("%+v: the settled plateau is 4 samples, 3 of them before the drops", s)
	}
	if s.Drops != 44492 {
		t.Errorf("drops %d, want 44492, those of the rest included", s.Drops)
	}
	if got := (sensorstats.Counters{Events: 350437, Drops: 15983}).DropPercent(); math.Abs(got-4.56088) > 5e-6 {
		t.Errorf("drop percent %v", got)
	}
}

// TestSettle: alerts that a round has left in a queue are credited to it, and
// the next round waits for them; the wait for a sensor that never delivers them
// is bounded.
func TestSettle(t *testing.T) {
	f := benchtest.New()
	var held []intake.Alert
	f.React = func(n int, rule string, in generator.Instance) []intake.Alert {
		if n%10 == 0 && in.End-in.Start == 20_000 && len(held) < 100 {
			held = append(held, benchtest.AlertOf(rule, in))
			return nil
		}
		return append(held[:0:0], benchtest.AlertOf(rule, in))
	}
	s := open(t, f)
	r, err := s.Run(t.Context(), Load{Rate: 200, Duration: roundLength})
	if err != nil || r.Total.Lost != 100 {
		t.Fatalf("lost %d (%v), want 100", r.Total.Lost, err)
	}
	// The queue delivers its alerts before the canary's.
	f.React = func(_ int, rule string, in generator.Instance) []intake.Alert {
		return append(held, benchtest.AlertOf(rule, in))
	}
	if settled, err := s.Settle(t.Context(), time.Minute); !settled || err != nil {
		t.Errorf("settled %v (%v)", settled, err)
	}
	if !s.Amend(&r) || r.Total.Lost != 0 || r.Total.Late != 100 {
		t.Errorf("late %d, lost %d: want all 100 late", r.Total.Late, r.Total.Lost)
	}
	f.React = func(int, string, generator.Instance) []intake.Alert { return nil }
	if settled, err := s.Settle(t.Context(), 50*time.Millisecond); settled || err != nil {
		t.Errorf("a stuck sensor settled: %v (%v)", settled, err)
	}
	broken := errors.New("broken")
	s.o.Generate = func(context.Context, generator.Options) (*generator.Result, error) { return nil, broken }
	if _, err := s.Settle(t.Context(), time.Minute); !errors.Is(err, broken) {
		t.Errorf("a generator that fails: %v", err)
	}
}

// At a high rate of each thread, actions are done in fewer wake-ups.
func TestTicksOfHighRates(t *testing.T) {
	for _, tt := range []struct {
		load Load
		want time.Duration
	}{
		{Load{Rate: 100}, 0},
		{Load{Rate: 19_999}, 0},
		{Load{Rate: 20_000}, fastTick},
		{Load{Rate: 39_000, Workers: 2}, 0},
		{Load{Rate: 80_000, Workers: 2}, fastTick},
		{Load{Rate: 80_000, Closed: true}, 0}, // has no schedule
	} {
		s := &Session{o: Options{Actions: benchSet(t)}}
		if main, _ := s.plan(&observation{load: tt.load}); main == nil || main.Tick != tt.want {
			t.Errorf("%+v: %+v, want ticks of %v", tt.load, main, tt.want)
		}
	}
}
