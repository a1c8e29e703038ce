package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/bench/intake"
	"github.com/peregrine-sec/peregrine/internal/bench/match"
	"github.com/peregrine-sec/peregrine/internal/bench/target"
	"github.com/peregrine-sec/peregrine/internal/bench/usage"
	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/internal/sensorstats"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func TestMain(m *testing.M) { leaks.Main(m) }

var update = flag.Bool("update", false, "rewrite the golden files")

// example is a run with a clean round and one with every fault.
func example() *Run {
	latency := match.Quantiles{Count: 5000, Min: 200_000, P50: 900_000, P90: 1_500_000, P99: 2_345_678, P999: 4e6, Max: 1_234_000_000}
	action := func(ok, lost int) bench.ActionResult {
		return bench.ActionResult{Name: "syscall.ReadSensitiveFileUntrusted", Rule: "Read sensitive file untrusted",
			Score: bench.Score{Started: ok, OK: ok, Matched: ok - lost, Lost: lost}, Loss: bench.Loss{Lost: lost, Of: ok, Share: float64(lost) / float64(ok), Upper: 0.0006},
			Cost: match.Quantiles{Count: 1, P50: 3000, P99: 9000}, Latency: latency, Response: latency}
	}
	clean := bench.Round{Schema: 1, Number: 1, Start: 1e18, End: 1e18 + 5e9, DrainEnd: 1e18 + 6e9,
		Rate: bench.Rate{Target: 1000, Offered: 999.8, Completed: 999.8}, Actions: []bench.ActionResult{action(5000, 0)},
		Total: bench.Score{Started: 5000, OK: 5000, Matched: 5000}, Loss: bench.Loss{Of: 5000, Upper: 0.0006}, Latency: latency,
		Sensor: &bench.SensorStats{Plateau: 4, EventsMean: 12345.6}, Usage: &usage.Window{CPU: 0.123, User: 0.05, System: 0.073, CPUPeak: 0.2, Throttled: 12e6, RSSMean: 47 << 20, RSSPeak: 48 << 20, PSSPeak: 30 << 20},
		Syscalls: &bench.HostCount{PerSecond: 54321, Estimated: true}, Observer: bench.Observer{CPU: 0.02, Generator: 0.11, Reads: 400}}
	bad := clean
	bad.Number, bad.Rate = 2, bench.Rate{Target: 100_000, Offered: 80_000}
	bad.Actions = []bench.ActionResult{action(400_000, 4000)}
	bad.Total = bench.Score{Started: 400_000, OK: 400_000, Matched: 396_000, Lost: 4000}
	bad.Loss = bench.Loss{Lost: 4000, Of: 400_000, Share: 0.01, Lower: 0.0097, Upper: 0.0103}
	bad.Sensor = &bench.SensorStats{Plateau: 4, EventsMean: 1_234_567, Drops: 76543, OutputsDropped: 12, ByCause: sensorstats.Causes{Buffer: 76543}}
	bad.Usage, bad.Syscalls = nil, nil
	bad.Flags = []bench.Flag{bench.GeneratorLimited, bench.OutputDrops}
	bad.Findings = []bench.Finding{{Code: "kernel_drops", Text: "the probe dropped 76543 events"}, {Code: "lost", Text: "4000 of 400000 alerts never came"}}
	return &Run{Version: "1.2.3", Notes: []string{"getppid stands in for 2 % of the calls"}, Identity: target.Identity{Name: "Falco", Version: "0.44.1", PID: 42, Rules: []string{"a.yaml"}}, Schema: 1, Command: []string{"peregrine", "bench", "ReadSensitiveFileUntrusted", "--rate", "1k,100k"},
		Started: time.Unix(1_700_000_000, 0).UTC(), Ended: time.Unix(1_700_000_060, 0).UTC(), Sensor: []string{"falco", "-c", "x.yaml"},
		Host:      Host{Hostname: "node", Kernel: "6.1.0", CPU: "Some CPU", CPUs: 4, Memory: 8 << 30},
		Preflight: &bench.Preflight{Idle: 321}, Rounds: []bench.Round{clean, bad}}
}

func judged(t *testing.T) (*Run, []bench.Condition) {
	t.Helper()
	r := example()
	var conditions []bench.Condition
	for _, text := range []string{"lost>0.1%", "late>0", "cpu>1"} {
		c, err := bench.ParseCondition(text)
		if err != nil {
			t.Fatal(err)
		}
		conditions = append(conditions, c)
	}
	r.Evaluate(conditions)
	return r, conditions
}

func TestGolden(t *testing.T) {
	r, conditions := judged(t)
	outputs := map[string]func(*bytes.Buffer) error{"junit.xml": func(b *bytes.Buffer) error { return r.JUnit(b, conditions) }}
	for _, format := range Formats {
		if format == "html" { // see TestHTMLDraws
			continue
		}
		outputs["run."+format] = func(b *bytes.Buffer) error { return r.Write(b, format) }
	}
	for name, write := range outputs {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			if err := write(&got); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name)
			if *update {
				if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("run with -update if this is meant:\n%s", diff)
			}
		})
	}
	if err := r.Write(&bytes.Buffer{}, "pdf"); err == nil {
		t.Error("an unknown format was written")
	}
}

func TestJSONRoundTrip(t *testing.T) {
	r, _ := judged(t)
	var text bytes.Buffer
	if err := r.Write(&text, "json"); err != nil {
		t.Fatal(err)
	}
	var back Run
	if err := json.Unmarshal(text.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(*r, back); diff != "" {
		t.Error(diff)
	}
}

// A disk that is full keeps whole records only, and the next ones when there is
// room again. A link in the place of a file is not followed.
func TestFullDisk(t *testing.T) {
	disk := needs.SmallDisk(t, "64k")
	d, err := NewDirectory(filepath.Join(disk, "run"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	ballast := filepath.Join(disk, "ballast")
	record := func(number int) error {
		round := example().Rounds[0]
		round.Number = number
		return d.Record(&round, nil, match.NewIndex(nil, nil, "", match.Clock{}), nil)
	}
	if err := record(1); err != nil {
		t.Fatal(err)
	}
	_ = os.WriteFile(ballast, make([]byte, 1<<20), 0o600) // as much as fits
	for tries := 0; err == nil; tries++ {
		if err = record(2); tries == 1000 {
			t.Fatal("the disk never becomes full")
		}
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := record(3); err != nil {
		t.Errorf("with room again: %v", err)
	}
	text, err := os.ReadFile(filepath.Join(d.Path, "rounds.jsonl"))
	if err != nil || !strings.HasSuffix(string(text), "\n") || !strings.Contains(string(text), `"round":3,`) {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	for line := range strings.Lines(string(text)) {
		if !json.Valid([]byte(line)) {
			t.Errorf("torn: %s", line)
		}
	}
}

// No link is followed, no matter who created it.
func TestLinks(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"rounds.jsonl", "run.json"} {
		path := filepath.Join(dir, "of "+name)
		if err := errors.Join(os.Mkdir(path, 0o755), os.Symlink(victim, filepath.Join(path, name))); err != nil {
			t.Fatal(err)
		}
		if _, err := NewDirectory(path); err == nil {
			t.Errorf("%s: a link was followed", name)
		}
	}
	d, err := NewDirectory(filepath.Join(dir, "run"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Symlink(victim, filepath.Join(d.Path, "run.json")), d.Finish(example()), d.Close()); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(victim); err != nil || string(text) != "precious" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestDirectory(t *testing.T) {
	d, err := NewDirectory(filepath.Join(t.TempDir(), "run"))
	if err != nil {
		t.Fatal(err)
	}
	actions := []match.Action{{Name: "syscall.A", Rule: "A"}}
	x := match.NewIndex(actions, []generator.Instance{
		{TID: 5, Worker: 1, Planned: 90, Start: 100, End: 110}, {TID: 5, Planned: 200, Start: 200, End: 210, Errno: 13}}, "", match.Clock{})
	x.Match([]intake.Alert{{Rule: "A", Time: 105, Received: 150}}, 0, nil)
	round := &example().Rounds[0]
	strays := []bench.Stray{{Alert: intake.Alert{Rule: "A", Time: 300, TID: 9}, Class: "foreign"}}
	if err := d.Record(round, actions, x, strays); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"instances.jsonl": `{"round":1,"action":"syscall.A","state":"matched","worker":1,"tid":5,"planned":90,"start":100,"end":110,"event":105,"received":150}
{"round":1,"action":"syscall.A","state":"failed","worker":0,"tid":5,"planned":200,"start":200,"end":210,"errno":13}
`,
		"strays.jsonl": `{"round":1,"time":300,"received":0,"rule":"A","tid":9,"class":"foreign"}
`}
	for name, text := range want {
		got, err := os.ReadFile(filepath.Join(d.Path, name))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(text, string(got)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		for line := range strings.Lines(string(got)) {
			if !json.Valid([]byte(line)) {
				t.Errorf("%s: not JSON: %s", name, line)
			}
		}
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Read(d.Path); err == nil {
		t.Error("an unfinished run was read")
	}
	if err := d.Finish(example()); err != nil {
		t.Fatal(err)
	}
	if page, err := os.ReadFile(filepath.Join(d.Path, "report.html")); err != nil || !strings.Contains(string(page), "Bench of Falco") {
		t.Errorf("%.100s, %v", page, err)
	}
	newer := example()
	newer.Schema = bench.RoundSchema + 1
	if err := d.Finish(newer); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(d.Path); err == nil || !strings.Contains(err.Error(), "schema") {
		t.Errorf("%v, want a word on the schema", err)
	}
}
