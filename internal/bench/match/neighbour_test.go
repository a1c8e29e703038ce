package match

import (
	"math/rand/v2"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/bench/intake"
	"github.com/peregrine-sec/peregrine/internal/generator"
)

// crowd is one action performed by two threads as fast as they can, a fifth of
// a microsecond apart, and the alerts of a sensor that loses some and whose
// clock is wrong by up to jitter.
func crowd(rng *rand.Rand, jitter int64) (instances []generator.Instance, alerts []intake.Alert, lost []bool) {
	type moment struct {
		tid  int32
		time int64
	}
	taken := map[moment]bool{} // a thread does one thing at a time
	for thread := range int32(2) {
		now := int64(1_000_000)
		for range 20_000 {
			in := generator.Instance{TID: 100 + thread, Planned: now, Start: now, End: now + 2000 + rng.Int64N(8000)}
			now = in.End + 200
			a := intake.Alert{Rule: "Rule one", TID: in.TID, Time: in.Start + rng.Int64N(in.End-in.Start+1), Received: in.End + 1e6}
			if jitter > 0 {
				a.Time += rng.Int64N(2*jitter) - jitter
			}
			for taken[moment{a.TID, a.Time}] {
				a.Time++
			}
			taken[moment{a.TID, a.Time}] = true
			instances, lost = append(instances, in), append(lost, rng.IntN(100) == 0)
			if !lost[len(lost)-1] {
				alerts = append(alerts, a)
			}
		}
	}
	rng.Shuffle(len(alerts), func(i, j int) { alerts[i], alerts[j] = alerts[j], alerts[i] })
	return instances, alerts, lost
}

// With the thread's id, matching is exact at any rate: the instances of one
// thread do not overlap, so that an event lies in one of them or in none. The
// very instances whose alerts were lost are found to have none.
func TestNeighboursExact(t *testing.T) {
	instances, alerts, lost := crowd(rand.New(rand.NewPCG(1, 1)), 0)
	missing := map[generator.Instance]bool{}
	for i, in := range instances {
		missing[in] = lost[i]
	}
	x := NewIndex(actions, instances, "", Clock{Tolerance: 200_000})
	if tally := x.Match(alerts, 0, nil); tally[Matched] != len(alerts) {
		t.Errorf("classes %v for %d alerts", tally, len(alerts))
	}
	x.Each(func(f Fate) {
		if (f.State == "lost") != missing[f.Instance] {
			t.Errorf("%+v, and its alert was lost: %v", f, missing[f.Instance])
		}
	})
}

// A clock that is wrong by more than instances are apart, or alerts without a
// thread, credit some alerts to a neighbour. That is one loss and one
// duplicate too many each time, and never one too few: the difference, which a
// capacity trial is judged by, is the number lost.
func TestNeighboursNet(t *testing.T) {
	for _, test := range []struct {
		jitter int64
		thread bool
	}{{5000, true}, {20_000, true}, {0, false}} {
		instances, alerts, lost := crowd(rand.New(rand.NewPCG(2, uint64(test.jitter))), test.jitter)
		want := 0
		for _, l := range lost {
			if l {
				want++
			}
		}
		if !test.thread {
			for i := range alerts {
				alerts[i].TID = 0
			}
		}
		// A duplicate does not make up for a lost alert.
		twice := 0
		if test.thread {
			twice = len(alerts) / 50
			alerts = append(alerts, alerts[:twice]...)
		}
		x := NewIndex(actions, instances, "", Clock{Tolerance: 200_000})
		tally := x.Match(alerts, 0, nil)
		c := x.Scores()[0]
		if c.Lost < want || c.Lost-(c.Duplicate-c.Repeated) != want || c.Repeated != twice || tally[Foreign] != 0 {
			t.Errorf("%+v: lost %d, duplicates %d of which %d sent twice, foreign %d; want a difference of %d, %d twice",
				test, c.Lost, c.Duplicate, c.Repeated, tally[Foreign], want, twice)
		}
		t.Logf("%+v: lost %d of which %d were credited to neighbours", test, c.Lost, c.Duplicate)
	}
}
