package classic

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/bench/usage"
	"github.com/peregrine-sec/peregrine/internal/generator/eventlog"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// script is a runner that plays rounds back.
type script struct {
	rounds []bench.Round
	loads  []bench.Load
	after  func(n int)
}

func (s *script) Run(ctx context.Context, load bench.Load) (bench.Round, error) {
	load.Ended()
	s.loads = append(s.loads, load)
	r := s.rounds[len(s.loads)-1]
	if s.after != nil {
		s.after(len(s.loads))
	}
	return r, ctx.Err()
}

// round has three actions with the given received and expected alerts.
func round(figures ...[2]int) bench.Round {
	r := bench.Round{Usage: &usage.Window{CPU: 0.68, RSSLast: 36_400_000, Virtual: 1_090_000_000}}
	for i, f := range figures {
		name := []string{"syscall.ReadSensitiveFileUntrusted", "syscall.WriteBelowBinaryDir", "syscall.ChangeThreadNamespace"}[i]
		r.Actions = append(r.Actions, bench.ActionResult{Name: name, Score: bench.Score{Matched: f[0], OK: f[1]}})
		r.Total.Started += f[1]
	}
	return r
}

// The method document's rounds 14 and 15.
func fourteen() bench.Round {
	return round([2]int{14224, 14458}, [2]int{14219, 14456}, [2]int{14208, 14457})
}

func fifteen() bench.Round {
	return round([2]int{15093, 16962}, [2]int{15080, 16963}, [2]int{15058, 16961})
}

func TestArithmeticOfTheMethod(t *testing.T) {
	for _, tt := range []struct {
		r           bench.Round
		lost, eps   float64
		human, rate string
	}{
		{fourteen(), 0.0166, 8674.2, "1%", "8674.2 EPS"},
		{fifteen(), 0.1111, 10177.2, "11%", "10177.2 EPS"},
		{round([2]int{1696, 1696}, [2]int{1695, 1695}, [2]int{1696, 1696}), 0, 1017.4, "0%", "1017.4 EPS"},
	} {
		if lost := Lost(tt.r.Actions); math.Abs(lost-tt.lost) > 5e-5 {
			t.Errorf("lost %v, want %v", lost, tt.lost)
		}
		o := Options{RoundDuration: 5 * time.Second, Humanize: true}
		want := eventlog.Fields{"cpu": "68.0%", "lost": tt.human, "res_mem": "36 MB", "throughput": tt.rate, "virt_mem": "1.1 GB"}
		if diff := cmp.Diff(want, o.statistics(&tt.r)); diff != "" {
			t.Error(diff)
		}
		o.Humanize = false
		if got := o.statistics(&tt.r)["throughput"]; got != tt.eps {
			t.Errorf("throughput %v, want %v", got, tt.eps)
		}
	}
}

func TestLines(t *testing.T) {
	empty := round([2]int{0, 0})
	empty.Usage = nil
	empty.Alerts.Foreign = 2
	empty.Sensor = &bench.SensorStats{Drops: 9, Throttled: 1}
	s := &script{rounds: []bench.Round{fourteen(), empty}}
	var out strings.Builder
	o := Options{Sleep: 12207, RoundDuration: 20 * time.Millisecond, Loop: true, Humanize: true, Rounds: 2}
	if err := Run(t.Context(), s, o, &eventlog.Logger{Out: &out}, func(*bench.Round) error { return nil }); err != nil {
		t.Fatal(err)
	}
	want := `INFO round #1                                      sleep="12.207µs"
INFO resting...                                   
INFO syscall.ReadSensitiveFileUntrusted            actual=14224 expected=14458 ratio=0.9838151888227971
INFO syscall.WriteBelowBinaryDir                   actual=14219 expected=14456 ratio=0.9836054233536248
INFO syscall.ChangeThreadNamespace                 actual=14208 expected=14457 ratio=0.9827765096493049
INFO statistics                                    cpu="68.0%" lost="1%" res_mem="36 MB" throughput="2168550.0 EPS" virt_mem="1.1 GB"
INFO                                              
INFO round #2                                      sleep="6.103µs"
INFO resting...                                   
INFO syscall.ReadSensitiveFileUntrusted            actual=0 expected=0 ratio=0
WARN cannot generate events                        action=syscall.ReadSensitiveFileUntrusted
WARN some actions may be too slow, consider to use different actions 
INFO statistics                                    lost="100%" throughput="0.0 EPS"
WARN not counted                                   duplicate=0 failed=0 foreign=2 late=0
WARN sensor lost                                   drops=9 output_drops=0 throttled=1
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	if s.loads[0].Sleep != 12207 || s.loads[1].Sleep != 6103 || !s.loads[1].Closed {
		t.Errorf("loads %+v, want the sleep halved", s.loads)
	}
}

func TestJSONLines(t *testing.T) {
	s := &script{rounds: []bench.Round{round([2]int{1, 2})}}
	var out strings.Builder
	log := &eventlog.Logger{Out: &out, JSON: true}
	o := Options{Sleep: 1000, RoundDuration: time.Millisecond, DryRun: true, Rounds: 1}
	if err := Run(t.Context(), s, o, log, func(*bench.Round) error { return nil }); err != nil {
		t.Fatal(err)
	}
	want := `{"dry-run":true,"level":"info","msg":"round #1","sleep":1000}
{"level":"info","msg":"resting..."}
{"actual":1,"expected":2,"level":"info","msg":"syscall.ReadSensitiveFileUntrusted","ratio":0.5}
{"cpu":0.68,"level":"info","msg":"statistics","res_mem":36400000,"throughput":2000,"virt_mem":1090000000}
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	partial := fourteen()
	partial.Partial = true
	s := &script{rounds: []bench.Round{partial}, after: func(int) { cancel() }}
	var out strings.Builder
	told := 0
	err := Run(ctx, s, Options{RoundDuration: time.Hour}, &eventlog.Logger{Out: &out}, func(*bench.Round) error { told++; return nil })
	if err != nil || told != 1 || !strings.Contains(out.String(), "statistics") {
		t.Errorf("%v, %d rounds, %q: want the partial round printed", err, told, out.String())
	}
	broken := errors.New("disk full")
	s = &script{rounds: []bench.Round{fourteen()}}
	if err := Run(t.Context(), s, Options{RoundDuration: time.Hour}, &eventlog.Logger{Out: &out}, func(*bench.Round) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("error %v, want the caller's", err)
	}
}

func TestCheck(t *testing.T) {
	if (Options{Sleep: time.Second, RoundDuration: time.Second}).Check() == nil || (Options{Sleep: -1, RoundDuration: 1}).Check() == nil {
		t.Error("accepted")
	}
	if err := (Options{Sleep: 1, RoundDuration: 2}).Check(); err != nil {
		t.Error(err)
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 9: "9 B", 999: "999 B", 1000: "1.0 kB", 36_400_000: "36 MB", 121_000_000: "121 MB", 1_500_000_000: "1.5 GB"} {
		if got := bytes(n); got != want {
			t.Errorf("bytes(%d) = %q, want %q", n, got, want)
		}
	}
}

// A rule that is not loaded, and a generator at its limit, are reported when
// detected; the second once.
func TestHints(t *testing.T) {
	slow := func(started int) bench.Round {
		r := round([2]int{started, started}, [2]int{0, started})
		r.Actions[1].Rule, r.Actions[1].CostMean, r.Actions[0].CostMean = "Write below binary dir", 9000, 1000
		return r
	}
	s := &script{rounds: []bench.Round{slow(100), slow(190), slow(195), slow(193)}}
	var out strings.Builder
	o := Options{Sleep: 10, RoundDuration: time.Millisecond, Loop: true, Humanize: true, Rounds: 4}
	if err := Run(t.Context(), s, o, &eventlog.Logger{Out: &out}, func(*bench.Round) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), `no alert at all: rule "Write below binary dir" is not loaded in this sensor?`); n != 4 {
		t.Errorf("the rule is asked for %d times in 4 rounds:\n%s", n, &out)
	}
	rounds := strings.Split(out.String(), "round #")
	if strings.Count(out.String(), "EPS no longer grows") != 1 || len(rounds) != 5 || !strings.Contains(rounds[3], "slow=syscall.WriteBelowBinaryDir") {
		t.Errorf("want it once, in round 3:\n%s", &out)
	}
}
