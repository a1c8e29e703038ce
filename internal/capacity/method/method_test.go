package method

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/sensorstats"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

func readStats(t testing.TB, name string) []sensorstats.Sample {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	samples, err := sensorstats.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return samples
}

func readRounds(t testing.TB, name string) []LogRound {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rounds, err := ReadLog(f)
	if err != nil {
		t.Fatal(err)
	}
	return rounds
}

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance }

func contains(lines []string, part string) bool {
	return slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, part) })
}

// The method document's published example, in each generation of both files:
// its conclusions come out, with where they are from.
func TestPublishedExample(t *testing.T) {
	for _, statsFile := range []string{"stats-1.txt", "stats-2.txt", "stats-3.txt"} {
		for _, logFile := range []string{"limit.log", "limit.json.log", "limit.colour.log"} {
			t.Run(statsFile+" "+logFile, func(t *testing.T) {
				a, err := Analyze(readStats(t, statsFile), readRounds(t, logFile), time.Second)
				if err != nil {
					t.Fatal(err)
				}
				if !near(a.PreDrop, 365098.75, 1e-6) {
					t.Errorf("pre-drop plateau %v, want 365098.75", a.PreDrop)
				}
				if a.EPS != 8674.2 || a.LastClean.Number != 14 || a.Failing.Number != 15 {
					t.Errorf("EPS %v of round %d before round %d, want 8674.2 of 14 before 15", a.EPS, a.LastClean.Number, a.Failing.Number)
				}
				if a.FirstDrop.Number != 2967 || a.FirstDrop.Delta.Drops != 15983 {
					t.Errorf("first drop in sample %d", a.FirstDrop.Number)
				}
				if !near(a.Idle, 10370.5, 300) {
					t.Errorf("idle %v", a.Idle)
				}
				if !contains(a.Sources, "samples 2963-2966") || !contains(a.Sources, "sample 2962, 2968") || !contains(a.Sources, "44492 dropped") {
					t.Errorf("sources: %q", a.Sources)
				}
				if a.LostGoal != nil || !contains(a.Remarks, "clean by drops but has lost 1.66 %") || !contains(a.Remarks, "printed as 1 %") {
					t.Errorf("round 14 has lost 1.66 %% of its alerts, and the remarks are %q", a.Remarks)
				}
				if a.GeneratorLimited != nil {
					t.Errorf("the generator was not the limit")
				}
			})
		}
	}
}

func TestShapeNumbers(t *testing.T) {
	samples := readStats(t, "stats-1.txt")
	s := shapeOf(samples, time.Second)
	if len(s.Bursts) != 1 || !near(s.Idle, 10370.5, 1e-9) || s.Resting != 4 {
		t.Fatalf("shape %+v", s)
	}
	want := Burst{First: 1, Last: 7, Edges: []int{1, 7}, Plateau: []int{2, 3, 4, 5}, FirstDrop: 6, Rate: 365098.75, Drops: 44492}
	if diff := cmp.Diff(want, s.Bursts[0]); diff != "" {
		t.Errorf("burst (-want +got):\n%s", diff)
	}
	if got := s.Bursts[0].Rate - s.Idle; !near(got, 354728.25, 1e-9) {
		t.Errorf("net of idle %v", got)
	}
	if a, b := samples[6].Delta.DropPercent(), samples[7].Delta.DropPercent(); !near(a, 4.56088, 1e-5) || !near(b, 16.0813, 1e-4) {
		t.Errorf("drop percentages %v and %v", a, b)
	}
}

func TestRoundFigures(t *testing.T) {
	rounds := readRounds(t, "limit.log")
	for i, want := range []struct {
		events  int
		lost    float64
		printed int
		sleep   time.Duration
	}{{43371, 0.0166, 1, 12207}, {50886, 0.1111, 11, 6103}} {
		r := rounds[i]
		if performed(r) != want.events || !near(r.Lost(), want.lost, 5e-5) || r.Printed() != want.printed || r.Sleep != want.sleep {
			t.Errorf("round %d: %d events, lost %v, printed %d, sleep %v", r.Number, performed(r), r.Lost(), r.Printed(), r.Sleep)
		}
		if eps := float64(performed(r)) / 5; !near(eps, r.Throughput, 0.05) {
			t.Errorf("round %d: %v EPS, printed %v", r.Number, eps, r.Throughput)
		}
	}
}

// The document's second example: EPS that stays where it is while the sensor
// has nothing to do. The generator is the limit, and the action that writes to
// the disk is the one to leave out.
func TestSlowAction(t *testing.T) {
	a, err := Analyze(nil, readRounds(t, "slow.log"), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if a.GeneratorLimited == nil || a.GeneratorLimited.Number != 14 {
		t.Fatalf("generator-limited at %+v, want round 14", a.GeneratorLimited)
	}
	for _, want := range []string{"+5.4 % and -9.7 %", "at least 1072.2 EPS", "22.4 % of a core", "WriteBelowBinaryDir writes to disk", `"ChangeThreadNamespace|ReadSensitiveFileUntrusted"`} {
		if !contains(a.Remarks, want) {
			t.Errorf("no remark with %q in %q", want, a.Remarks)
		}
	}
	var out strings.Builder
	if err := a.Write(&out, "1", "512Mi"); err != nil || !strings.Contains(out.String(), "Syscalls/s -   EPS >= 1072.2") {
		t.Errorf("a run that the generator limited prints as\n%s", out.String())
	}
}

// A whole run: the burst before the one that dropped is the clean round.
func TestCleanRoundPlateau(t *testing.T) {
	var samples []sensorstats.Sample
	add := func(events, drops uint64) {
		samples = append(samples, sensorstats.Sample{Number: uint64(len(samples) + 2), Delta: sensorstats.Counters{Events: events, Drops: drops}})
	}
	for _, level := range []uint64{40e3, 80e3, 160e3, 320e3} {
		for range 5 {
			add(1000, 0)
		}
		for i := range 5 {
			drops := uint64(0)
			if level == 320e3 && i > 2 {
				drops = 5000
			}
			add(level, drops)
		}
	}
	a, err := Analyze(samples, nil, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if a.CleanRound != 160e3 || a.PreDrop != 320e3 || a.Idle != 1000 {
		t.Errorf("clean round %v, pre-drop %v, idle %v", a.CleanRound, a.PreDrop, a.Idle)
	}
}

func TestNoDrops(t *testing.T) {
	samples := readStats(t, "stats-1.txt")
	for i := range samples {
		samples[i].Delta.Drops = 0
	}
	a, err := Analyze(samples, readRounds(t, "limit.log"), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if a.FirstDrop != nil || a.LastClean.Number != 15 || !contains(a.Remarks, "not reached") {
		t.Errorf("without drops: last clean round %d, remarks %q", a.LastClean.Number, a.Remarks)
	}
}

func TestFlatStats(t *testing.T) {
	var samples []sensorstats.Sample
	for i := range 20 {
		samples = append(samples, sensorstats.Sample{Number: uint64(i + 2), Delta: sensorstats.Counters{Events: uint64(1000 + i%3*100)}})
	}
	if s := shapeOf(samples, time.Second); len(s.Bursts) != 0 || s.Resting != 20 {
		t.Errorf("a level that wobbles has %d bursts", len(s.Bursts))
	}
	if _, err := Analyze(nil, nil, time.Second); err == nil {
		t.Error("an analysis of nothing")
	}
}

// Logs as event-generator 0.12 (gRPC) and 0.13 (HTTP) write them: a round that
// is repeated, more alerts than expected, a share of loss below zero.
func TestReadLogOfToday(t *testing.T) {
	const log = `INFO sleep for 100ms                               action=syscall.A
INFO round #1                                      sleep=10ms
INFO resting...                                   
INFO syscall.A                                     actual=200 expected=200 ratio=1
INFO syscall.B                                     actual=206 expected=200 ratio=1.03
INFO statistics                                    cpu="3.5%" lost="-1%" res_mem="67 MB" throughput="80.0 EPS" virt_mem="313 MB"
WARN unexpected events received, retrying with sleep=10ms 
INFO                                              
INFO round #2                                      sleep="78.125µs"
INFO resting...                                   
INFO syscall.A                                     actual=9 expected=10 ratio=0.9
INFO syscall.B                                     actual=10 expected=10 ratio=1
INFO statistics                                    cpu="41.6%" lost="5%" res_mem="122 MB" throughput="4.0 EPS" virt_mem="1.6 GB"
`
	rounds, err := ReadLog(strings.NewReader(log))
	want := []LogRound{
		{Number: 1, Line: 2, Sleep: 10 * time.Millisecond, Actions: []Action{{"syscall.A", 200, 200}, {"syscall.B", 206, 200}}, CPU: 3.5, Throughput: 80, Repeated: true},
		{Number: 2, Line: 9, Sleep: 78125 * time.Nanosecond, Actions: []Action{{"syscall.A", 9, 10}, {"syscall.B", 10, 10}}, CPU: 41.6, Throughput: 4},
	}
	if diff := cmp.Diff(want, rounds); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestReadLogErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "no line of the form",
		"hello\nworld":                  "in 2 lines",
		`INFO round #x sleep=1ms`:       "line 1",
		"\n\nINFO round #1 sleep=often": "line 3",
	} {
		if _, err := ReadLog(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzReadLog(f *testing.F) {
	for _, name := range []string{"limit.log", "limit.json.log", "limit.colour.log", "slow.log"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	samples := readStats(f, "stats-1.txt")
	f.Fuzz(func(t *testing.T, text string) {
		leaks.Within(t, 128<<20, func() {
			rounds, err := ReadLog(strings.NewReader(text))
			if err != nil {
				return
			}
			if _, err := Analyze(samples, rounds, time.Second); err != nil {
				t.Fatal(err)
			}
		})
	})
}

// Both figures are of one round: the one before the first drop, or the last
// whole one.
func TestSameRound(t *testing.T) {
	second := func(events, drops uint64) sensorstats.Sample {
		return sensorstats.Sample{Elapsed: 1e9, Delta: sensorstats.Counters{Events: events, Drops: drops}}
	}
	stats := func(dropped bool) []sensorstats.Sample {
		var samples []sensorstats.Sample
		for _, level := range []uint64{1e5, 2e5, 3e5} {
			for range 5 {
				samples = append(samples, second(level, 0))
			}
			for range 3 {
				samples = append(samples, second(100, 0))
			}
		}
		if dropped {
			samples[19].Delta.Drops = 7 // in the third burst
		}
		for i := range samples {
			samples[i].Number = uint64(i + 1)
		}
		return samples
	}
	log := func(eps ...float64) []LogRound {
		var rounds []LogRound
		for i, x := range eps {
			rounds = append(rounds, LogRound{Number: i + 1, Throughput: x, Sleep: time.Millisecond >> i})
		}
		return rounds
	}
	for _, tt := range []struct {
		name          string
		dropped       bool
		rounds        []LogRound
		eps, syscalls float64
	}{
		{"the round before the drop", true, log(1000, 2000, 3000), 2000, 2e5},
		{"no drop", false, log(1000, 2000, 3000), 3000, 3e5},
		{"no drop, and the last round interrupted", false, log(1000, 2000, -1), 2000, 2e5},
		{"no drop, and a rate that fell", false, log(1000, 3000, 2500), 2500, 3e5},
	} {
		a, err := Analyze(stats(tt.dropped), tt.rounds, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if syscalls, _ := a.Syscalls(); a.EPS != tt.eps || syscalls != tt.syscalls {
			t.Errorf("%s: %v EPS and %v syscalls/s, want %v and %v", tt.name, a.EPS, syscalls, tt.eps, tt.syscalls)
		}
	}
	a, err := Analyze(stats(true), log(1000, 900_000, 3000), time.Second)
	if err != nil || !contains(a.Remarks, "EPS exceeds syscalls/s") {
		t.Errorf("impossible figures pass: %v, %q", err, a.Remarks)
	}
	if _, err := ReadLog(strings.NewReader("INFO statistics throughput=\"1 EPS\"\n")); err == nil || !strings.Contains(err.Error(), "before 0.5.1") || !strings.Contains(err.Error(), "0.5.1 or newer") {
		t.Errorf("an old log: %v", err)
	}
}

// performed is the number of actions of a round.
func performed(r LogRound) int {
	n := 0
	for _, a := range r.Actions {
		n += a.Expected
	}
	return n
}
