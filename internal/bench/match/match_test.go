package match

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/bench/intake"
	"github.com/peregrine-sec/peregrine/internal/generator"
)

var actions = []Action{
	{Name: "a.One", Rule: "Rule one", InThread: true},
	{Name: "a.Two", Rule: "Rule two", InThread: true},
}

// in is an instance of action 0 in thread 1.
func in(start, end int64) generator.Instance {
	return generator.Instance{TID: 1, Planned: start, Start: start, End: end}
}

func TestVerdicts(t *testing.T) {
	failedOne := in(300, 310)
	failedOne.Errno = 13
	skippedOne := in(400, 410)
	skippedOne.Skipped = true
	alert := func(time int64, tid int32) intake.Alert {
		return intake.Alert{Time: time, TID: tid, Rule: "Rule one", Received: time + 1000}
	}
	for _, tt := range []struct {
		name   string
		alerts []intake.Alert
		want   []Class
	}{
		{"inside", []intake.Alert{alert(105, 1)}, []Class{Matched}},
		{"at both edges", []intake.Alert{alert(100, 1), alert(210, 1)}, []Class{Matched, Matched}},
		{"within tolerance", []intake.Alert{alert(115, 1)}, []Class{Matched}},
		{"between", []intake.Alert{alert(150, 1)}, []Class{Foreign}},
		{"other thread", []intake.Alert{alert(105, 2)}, []Class{Foreign}},
		{"thread unknown", []intake.Alert{alert(105, 0)}, []Class{Matched}},
		{"second alert", []intake.Alert{alert(105, 1), alert(106, 1)}, []Class{Matched, Duplicate}},
		{"second alert is not its neighbour's", []intake.Alert{alert(110, 1), alert(112, 1)}, []Class{Matched, Duplicate}},
		{"of a failed action", []intake.Alert{alert(305, 1)}, []Class{Failed}},
		{"of a skipped action", []intake.Alert{alert(405, 1)}, []Class{Foreign}},
		{"before the round", []intake.Alert{alert(50, 1)}, []Class{Outside}},
		{"before the round, as far as tolerated", []intake.Alert{alert(95, 1)}, []Class{Matched}},
		{"a moment before that", []intake.Alert{alert(94, 1)}, []Class{Outside}},
		{"late", []intake.Alert{{Time: 105, TID: 1, Rule: "Rule one", Received: 5001}}, []Class{Late}},
		{"other rule", []intake.Alert{{Time: 105, TID: 1, Rule: "Rule x"}}, []Class{Other}},
		{"our rule, but another action's", []intake.Alert{{Time: 105, TID: 1, Rule: "Rule two"}}, []Class{Foreign}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := NewIndex(actions, []generator.Instance{in(200, 210), in(100, 110), failedOne, skippedOne}, "", Clock{Tolerance: 5})
			var got []Class
			x.Match(tt.alerts, 5000, func(_ *intake.Alert, v Class, _ *generator.Instance) { got = append(got, v) })
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestOverlap has intervals of two workers overlap and alerts without a
// thread: all three must find an instance, which first come, first served by
// start would not give.
func TestOverlap(t *testing.T) {
	x := NewIndex(actions, []generator.Instance{in(0, 100), in(10, 20), in(30, 40)}, "", Clock{})
	alerts := []intake.Alert{{Time: 15, Rule: "Rule one"}, {Time: 35, Rule: "Rule one"}, {Time: 36, Rule: "Rule one"}}
	tally := x.Match(alerts, 0, nil)
	if tally[Matched] != 3 {
		t.Errorf("tally %v, want 3 matched", tally)
	}
}

// faults is a simulated sensor: its rates of faults, per mille.
type faults struct {
	drop, delay, duplicate, foreign, other int
	threads                                bool // alerts tell the thread
	workers                                int
}

// TestFaultInjection lets a simulated sensor lose, delay, repeat and invent
// alerts in random order, and asks for the exact counts.
func TestFaultInjection(t *testing.T) {
	for seed := range uint64(20) {
		for _, f := range []faults{
			{threads: true, workers: 4},
			{drop: 100, threads: true, workers: 4},
			{delay: 100, threads: true, workers: 4},
			{duplicate: 100, threads: true, workers: 4},
			{foreign: 300, other: 100, threads: true, workers: 4},
			{drop: 50, delay: 50, duplicate: 50, foreign: 50, other: 50, threads: true, workers: 4},
			{drop: 50, delay: 50, duplicate: 50, foreign: 50, other: 50, threads: false, workers: 1},
		} {
			t.Run(fmt.Sprintf("%+v/%d", f, seed), func(t *testing.T) { inject(t, f, rand.New(rand.NewPCG(seed, 1))) })
		}
	}
}

const deadline = int64(1e12)

func inject(t *testing.T, f faults, rng *rand.Rand) {
	var instances []generator.Instance
	var alerts []intake.Alert
	var want Tally
	counts := make([]Score, 2)
	hit := func(permille int) bool { return rng.IntN(1000) < permille }
	for w := range f.workers {
		now := int64(1_000_000)
		for range 1000 {
			// The gap is wide enough for foreign alerts without a thread.
			i := generator.Instance{Action: uint16(rng.IntN(2)), TID: int32(100 + w), Planned: now, Start: now + rng.Int64N(500)}
			i.End = i.Start + 1 + rng.Int64N(3000)
			i.Errno = int32(rng.IntN(50) / 49 * 13)
			i.Skipped = i.Errno == 0 && hit(10)
			now = i.End + 1000
			instances = append(instances, i)
			alerts = append(alerts, f.react(i, hit, rng, &want, &counts[i.Action])...)
		}
	}
	rng.Shuffle(len(alerts), func(i, j int) { alerts[i], alerts[j] = alerts[j], alerts[i] })
	x := NewIndex(actions, instances, "", Clock{Tolerance: 100})
	var got Tally
	for len(alerts) > 0 { // in batches, as they would come
		n := min(1+rng.IntN(500), len(alerts))
		for v, k := range x.Match(alerts[:n], deadline, nil) {
			got[v] += k
		}
		alerts = alerts[n:]
	}
	// Whether the first or the second of two alerts is the duplicate depends
	// on order, when one of them is late: the sums do not.
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("classes: %s", diff)
	}
	if diff := cmp.Diff(counts, x.Scores()); diff != "" {
		t.Errorf("counts: %s", diff)
	}
}

// react is the sensor's reaction to one instance, and the expected counts.
func (f faults) react(i generator.Instance, hit func(int) bool, rng *rand.Rand, want *Tally, c *Score) (alerts []intake.Alert) {
	alert := func(rule string, time int64, tid int32) {
		a := intake.Alert{Rule: rule, Time: time, TID: tid, Received: time + 1000}
		if !f.threads {
			a.TID = 0
		}
		alerts = append(alerts, a)
	}
	rule := actions[i.Action].Rule
	within := i.Start + rng.Int64N(i.End-i.Start+1)
	if hit(f.foreign) {
		want[Foreign]++
		alert(rule, i.End+500, 9999)
	}
	if hit(f.other) {
		want[Other]++
		alert("Rule three", within, i.TID)
	}
	c.Started++
	switch {
	case i.Skipped:
		c.Skipped++
		return alerts
	case i.Errno != 0:
		c.Failed++
		return alerts
	}
	c.OK++
	switch {
	case hit(f.drop):
		c.Lost++
	case hit(f.delay):
		c.Late++
		want[Late]++
		alert(rule, within, i.TID)
		alerts[len(alerts)-1].Received = deadline + 1
	default:
		c.Matched++
		want[Matched]++
		alert(rule, within, i.TID)
		if hit(f.duplicate) {
			c.Duplicate, c.Repeated = c.Duplicate+1, c.Repeated+1
			want[Duplicate]++
			alert(rule, within, i.TID)
		}
	}
	return alerts
}

func TestParts(t *testing.T) {
	var instances []generator.Instance
	var alerts []intake.Alert
	for i := range int64(9) {
		instances = append(instances, in(i*100, i*100+10))
		alerts = append(alerts, intake.Alert{Rule: "Rule one", Time: i * 100, Received: i*100 + (i+1)*1000})
	}
	x := NewIndex(actions, instances, "", Clock{Tolerance: 7})
	x.Match(alerts, 0, nil)
	for part, max := range []int64{3000, 6000, 9000} {
		if q := x.Part(part).Quantiles(); q.Count != 3 || q.Max < max || q.Max > max+max/500 {
			t.Errorf("third %d: %+v, want 3 up to %d", part, q, max)
		}
	}
	if x.Last() != 9800 {
		t.Errorf("last %d, want 9800", x.Last())
	}
}

func BenchmarkMatch(b *testing.B) {
	const n = 100_000
	instances := make([]generator.Instance, n)
	alerts := make([]intake.Alert, n)
	for i := range instances {
		instances[i] = in(int64(i)*100, int64(i)*100+50)
		alerts[n-1-i] = intake.Alert{Rule: "Rule one", TID: 1, Time: int64(i)*100 + 20}
	}
	for b.Loop() {
		x := NewIndex(actions, instances, "", Clock{})
		if x.Match(alerts, 0, nil)[Matched] != n {
			b.Fatal("not all matched")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/alert")
}
